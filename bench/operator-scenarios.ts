/** What is measured of the operator: each scenario leaves the arena as it found it and gives rows of the table. */
import { mailRelays } from '../operator/api/mail-relay.ts';
import { createInformer } from '../operator/kube/informer.ts';
import type { KubeObject } from '../operator/kube/object.ts';
import { type Pod, pods } from '../operator/reconcile/caches.ts';
import { secrets } from '../operator/reconcile/secret-facts.ts';
import { type ConfigMap, configMaps } from '../operator/resources/kinds.ts';
import { selectorLabels } from '../operator/resources/names.ts';
import { waitUntil } from '../test/kube/wait-until.ts';
import { type AuditEvent, openWatches, operatorWrites } from '../test/operator/audit.ts';
import { type Arena, inParallel, namespace, type OperatorProcess, relayName } from './operator-arena.ts';

export interface Row {
  readonly what: string;
  readonly value: number;
  readonly unit: string;
  readonly target?: { readonly at: 'least' | 'most'; readonly value: number };
}

export const most = (value: number): NonNullable<Row['target']> => ({ at: 'most', value });
export const least = (value: number): NonNullable<Row['target']> => ({ at: 'least', value });

export const pause = (ms: number): Promise<void> => new Promise(resolve => setTimeout(resolve, ms));

/** Waits until the operator has looked at `count` and nothing is left to do. Seconds since `began`. */
export async function converged(operator: OperatorProcess, count: number, began: number): Promise<number> {
  await waitUntil(
    `${count} MailRelays are done`,
    async () => {
      await pause(200);
      const [done = 0, waiting] = await operator.metrics([
        'controller_runtime_reconcile_total',
        'workqueue_depth',
      ]);
      return done >= count && waiting === 0;
    },
    600_000,
  );
  return (performance.now() - began) / 1000;
}

/** Writes and reads of an operator to whom nothing happens, extrapolated to an hour. */
export async function idle(arena: Arena, seconds: number): Promise<Row[]> {
  const mark = await arena.audit.mark();
  await pause(seconds * 1000);
  const events = await arena.audit.since(mark);
  const hourly = 3600 / seconds;
  const kinds = new Map<string, number>();
  for (const event of events.filter(isRead)) {
    const { resource = '' } = event.objectRef ?? {};
    kinds.set(resource, (kinds.get(resource) ?? 0) + 1);
  }
  const worst = Math.max(0, ...kinds.values());
  return [
    {
      what: 'idle: writes an hour',
      value: operatorWrites(events).length * hourly,
      unit: '',
      target: most(0),
    },
    { what: 'idle: reads an hour, the kind with most', value: worst * hourly, unit: '', target: most(12) },
  ];
}

function isRead({ verb, stage, userAgent = '', objectRef }: AuditEvent): boolean {
  if (!userAgent.startsWith('mailrelay-operator/') || objectRef?.resource === 'leases') return false;
  return verb === 'watch' ? stage === 'ResponseStarted' : verb === 'get' || verb === 'list';
}

/** From the answer to a person's edit to its arrival in the ConfigMap, and from a foreign change to its undoing. */
export async function latency(arena: Arena, relays: number, edits: number): Promise<Row[]> {
  const informer = createInformer<ConfigMap>({
    client: arena.client,
    resource: configMaps,
    namespaces: [namespace],
  });
  informer.start();
  await informer.hasSynced;
  const arrives = (name: string, wanted: RegExp): Promise<number> => {
    const { promise, resolve } = Promise.withResolvers<number>();
    const end = informer.subscribe(({ object }) => {
      if (object.metadata.name !== name || !wanted.test(object.data?.['config.json'] ?? '')) return;
      end();
      resolve(performance.now());
    });
    return promise;
  };
  const [applied, repaired]: [number[], number[]] = [[], []];
  for (let at = 0; at < edits; at += 1) {
    const name = relayName((at * 37) % relays);
    // Another value than the last time round, also with few MailRelays: an edit that changes nothing never arrives.
    const attempts = 4 + ((at + Math.floor(at / relays)) % 5);
    const arrival = arrives(`${name}-config`, new RegExp(`"attempts": ${attempts}\\b`));
    const began = performance.now();
    await arena.client.mergePatch(mailRelays, { name, namespace }, { spec: { retry: { attempts } } });
    applied.push((await arrival) - began);
    if (at % 4 > 0) continue;
    const repair = arrives(`${name}-config`, /"attempts"/);
    const broken = performance.now();
    const drift = { data: { 'config.json': 'foreign' } };
    await arena.client.mergePatch(configMaps, { name: `${name}-config`, namespace }, drift);
    repaired.push((await repair) - broken);
  }
  await informer.stop();
  return [
    { what: 'edit to ConfigMap, p50', value: quantile(applied, 0.5), unit: 'ms' },
    { what: 'edit to ConfigMap, p99', value: quantile(applied, 0.99), unit: 'ms', target: most(250) },
    { what: 'drift undone, p99', value: quantile(repaired, 0.99), unit: 'ms', target: most(1000) },
  ];
}

function quantile(values: readonly number[], share: number): number {
  const sorted = values.toSorted((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? 0;
}

/** A pod for each relay; then the Secret that all share gets another password. */
export async function sharedSecret(arena: Arena, relays: number): Promise<Row[]> {
  await inParallel(relays, 32, at => {
    const name = relayName(at);
    const set = {
      apiVersion: 'apps/v1',
      kind: 'ReplicaSet',
      name: `${name}-bench`,
      uid: 'none',
      controller: true,
    };
    const metadata = { name, namespace, labels: selectorLabels({ name }), ownerReferences: [set] };
    const pod = { metadata, spec: { containers: [{ name: 'relay', image: 'relay' }] } };
    return arena.client.create(pods, pod as Pod);
  });
  await quiet(arena);
  const mark = await arena.audit.mark();
  const began = performance.now();
  const data = { password: btoa(`password-${Date.now()}`) };
  await arena.client.mergePatch(secrets, { name: 'primary-smtp', namespace }, { data });
  let writes: string[] = [];
  await waitUntil(
    'every pod is told',
    async () => {
      await pause(200);
      writes = operatorWrites(await arena.audit.since(mark));
      return writes.length >= relays;
    },
    120_000,
  );
  const seconds = (performance.now() - began) / 1000;
  await quiet(arena);
  writes = operatorWrites(await arena.audit.since(mark));
  const reads = (await arena.audit.since(mark)).filter(
    event => isRead(event) && event.verb === 'get' && event.objectRef?.resource === 'secrets',
  );
  const counts = new Map<string, number>();
  for (const text of writes) counts.set(text, (counts.get(text) ?? 0) + 1);
  await inParallel(relays, 32, at =>
    arena.client.delete<KubeObject>(pods, { name: relayName(at), namespace }, { gracePeriodSeconds: 0 }),
  );
  await quiet(arena);
  return [
    { what: `Secret shared by ${relays}: every pod told`, value: seconds, unit: 's' },
    { what: '… most writes for one relay', value: Math.max(...counts.values()), unit: '', target: most(1) },
    { what: '… writes in all', value: writes.length, unit: '', target: most(relays) },
    { what: '… reads of the Secret', value: reads.length, unit: '', target: most(1) },
  ];
}

/** Resolves when no operator has written for a while. */
export async function quiet(arena: Arena): Promise<void> {
  for (let before = -1, now = await arena.audit.mark(); before !== now; ) {
    before = now;
    await pause(2500);
    const events = await arena.audit.since(now);
    if (operatorWrites(events).length === 0) return;
    now = await arena.audit.mark();
  }
}

/** The API server gone without a word, and back. */
export async function outage(arena: Arena, operator: OperatorProcess, seconds: number): Promise<Row[]> {
  const before = operator.descriptors();
  await arena.server.stopServing();
  await pause(seconds * 1000);
  const mark = await arena.audit.mark();
  await arena.server.resumeServing();
  const back = performance.now();
  await editArrives(arena, 9);
  const recovery = (performance.now() - back) / 1000;
  await pause(5000);
  const events = await arena.audit.since(mark);
  const open = [...openWatches(events).values()];
  const writes = operatorWrites(events).length;
  return [
    {
      what: `API server away for ${seconds} s: first edit applied after its return`,
      value: recovery,
      unit: 's',
      target: most(5),
    },
    { what: '… watches per kind, most', value: Math.max(...open), unit: '', target: most(1) },
    {
      what: '… file descriptors more than before',
      value: operator.descriptors() - before,
      unit: '',
      target: most(8),
    },
    { what: '… writes beside that edit', value: Math.max(0, writes - 2), unit: '' },
  ];
}

async function editArrives(arena: Arena, attempts: number): Promise<void> {
  const ref = { name: relayName(0), namespace };
  await arena.client.mergePatch(mailRelays, ref, { spec: { retry: { attempts } } });
  const config = { name: `${ref.name}-config`, namespace };
  const wanted = new RegExp(`"attempts": ${attempts}\\b`);
  await waitUntil(
    'the edit is applied',
    async () => wanted.test((await arena.client.get(configMaps, config)).data?.['config.json'] ?? ''),
    60_000,
  );
}

/** Memory of a process that found all its MailRelays there and nothing to do. */
export async function restarted(
  arena: Arena,
  leader: OperatorProcess,
  relays: number,
): Promise<{ row: Row; leader: OperatorProcess }> {
  await leader.service.stop('SIGTERM');
  const operator = await arena.startOperator();
  await converged(operator, relays, performance.now());
  await pause(5000);
  return { row: memory(`memory with ${relays} after a restart (RSS)`, operator, relays), leader: operator };
}

/** Resident memory now, held to what is allowed for so many. */
export function memory(what: string, operator: OperatorProcess, relays: number): Row {
  const allowed = relays >= 5000 ? 300 : relays > 0 ? 160 : 110;
  return { what, value: operator.rssMiB(), unit: 'MiB', target: most(allowed) };
}

/** A second operator stands by; the first one ends. Resolves with who leads now. */
export async function handOver(
  arena: Arena,
  leader: OperatorProcess,
  signal: 'SIGTERM' | 'SIGKILL',
): Promise<{ row: Row; leader: OperatorProcess }> {
  const standby = await arena.startOperator();
  await waitUntil(
    'the standby is synced',
    async () => (await standby.metric('kube_watch_starts_total')) > 10,
    60_000,
  );
  await pause(2000);
  const began = performance.now();
  const ended = leader.service.stop(signal);
  await waitUntil('the standby leads', () => standby.leads(), 60_000);
  const seconds = (performance.now() - began) / 1000;
  await ended;
  await editArrives(arena, signal === 'SIGTERM' ? 7 : 8);
  const target = most(signal === 'SIGTERM' ? 2 : 17);
  return { row: { what: `hand-over on ${signal}`, value: seconds, unit: 's', target }, leader: standby };
}
