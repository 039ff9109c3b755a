import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, afterEach, before, describe, test } from 'node:test';
import { defineResource } from '../../operator/kube/resource.ts';
import type { Operator } from '../../operator/operator.ts';
import {
  configMaps,
  deployments,
  prometheusRules,
  serviceMonitors,
  services,
} from '../../operator/resources/kinds.ts';
import { type Service, startService } from '../cluster/process.ts';
import { waitUntil } from '../kube/wait-until.ts';
import { openWatches, operatorWrites, strayWrites, writers } from './audit.ts';
import { monitoringDefinitions } from './monitoring.ts';
import { openProvider, Rig } from './rig.ts';

interface Lease {
  readonly metadata: { readonly name: string };
  readonly spec?: { readonly holderIdentity?: string };
}
interface LogLine {
  readonly msg: string;
  readonly kind?: string;
  readonly retryInMs?: number;
}
const leases = defineResource<Lease>({
  apiVersion: 'coordination.k8s.io/v1',
  kind: 'Lease',
  plural: 'leases',
  namespaced: true,
});
/** As long as the lease of one who is gone without a word holds; see operator/kube/lease.ts. */
const leaseMs = 15_000;
const lease = { name: 'mailrelay-operator', namespace: 'default' };
/** Each process is a user of its own, so that the audit log tells them apart. */
const leading = ['first', 'second', 'third', 'steady', 'stalled', 'patient'].map(name => ({
  ...{ name, token: `token-of-${name}` },
  groups: ['system:masters'],
}));
/** May read nothing. */
const refused = { name: 'refused', token: 'token-of-refused', groups: [] };
const main = join(import.meta.dirname, '../../operator/main.ts');

describe('the operator as a program', () => {
  let rig: Rig;
  let operator: Operator | undefined;
  before(async () => {
    rig = await Rig.start({ tokens: [...leading, refused] });
  });
  afterEach(async () => {
    if (operator !== undefined) await rig.stopOperator(operator);
    operator = undefined;
  });
  after(() => rig?.stop());

  const commandOf = async (name: string): Promise<readonly string[]> => [
    ...[process.execPath, main, '--kubeconfig', await rig.server.tokenKubeconfig(`token-of-${name}`)],
    ...['--relay-image', 'relay:1', '--health-host', '127.0.0.1', '--health-port', '0'],
  ];
  const startProcess = async (name: string, flags: readonly string[] = []): Promise<Service> =>
    startService(name, [...(await commandOf(name)), ...flags], join(rig.server.directory, `${name}.log`));
  /** What a process has said. */
  const logged = async (name: string): Promise<readonly LogLine[]> => {
    const text = await readFile(join(rig.server.directory, `${name}.log`), 'utf8');
    const lines = text.split('\n').filter(line => line.startsWith('{') && line.endsWith('}'));
    return lines.map(line => JSON.parse(line) as LogLine);
  };
  const isSynced = (name: string): Promise<void> =>
    waitUntil(
      `${name} is synced`,
      async () => (await logged(name)).some(({ msg }) => msg === 'caches are synced'),
      60_000,
    );
  const holder = async (): Promise<string> =>
    (await rig.client.find(leases, lease))?.spec?.holderIdentity ?? '';
  const isDone = (namespace: string): Promise<unknown> =>
    rig.waitFor(deployments, { name: 'mail', namespace });

  test('hands over on SIGTERM at once and on SIGKILL when the lease has run out, and one alone writes', async () => {
    const namespace = await rig.namespace('hand-over');
    await rig.createRelay(namespace, openProvider);
    const mark = await rig.audit.mark();
    const first = await startProcess('first');
    await isDone(namespace);
    const firstHolder = await holder();
    const second = await startProcess('second');
    const third = await startProcess('third');
    await Promise.all([isSynced('second'), isSynced('third')]);
    await first.stop('SIGTERM');
    const ended = performance.now();
    await waitUntil('another one leads', async () => !['', firstHolder].includes(await holder()), 30_000);
    // Nobody had to wait for the lease to run out: it was given back. How soon it is taken is measured in bench/.
    assert.ok(performance.now() - ended < leaseMs, `${performance.now() - ended} ms`);
    await rig.patchRelay(namespace, { retry: { attempts: 9 } });
    await rig.waitFor(configMaps, { name: 'mail-config', namespace }, ({ data }) =>
      /"attempts": 9/.test(data?.['config.json'] ?? ''),
    );
    const secondHolder = await holder();

    const secondLeads = (await logged('second')).some(({ msg }) => msg === 'leading');
    const [leader, standby] = secondLeads ? [second, third] : [third, second];
    await leader.stop('SIGKILL');
    await waitUntil('the last one leads', async () => (await holder()) !== secondHolder, 60_000);
    await rig.patchRelay(namespace, { retry: { attempts: 8 } });
    await rig.waitFor(configMaps, { name: 'mail-config', namespace }, ({ data }) =>
      /"attempts": 8/.test(data?.['config.json'] ?? ''),
    );
    await standby.stop('SIGTERM');
    const events = await rig.audit.since(mark);
    assert.deepEqual(strayWrites(events, lease.name), []);
    assert.equal(writers(events).length, 3);
    // Two writers would have conflicted or written twice.
    const configWrites = operatorWrites(events).filter(text => /configmaps/.test(text));
    assert.deepEqual(configWrites, [
      `patch configmaps ${namespace}/mail-config 201`,
      `patch configmaps ${namespace}/mail-config 200`,
      `patch configmaps ${namespace}/mail-config 200`,
    ]);
  });

  test('writes nothing when it stood still, another has taken over, and it comes back', async () => {
    const namespace = await rig.namespace('stalled');
    await rig.createRelay(namespace, openProvider);
    const mark = await rig.audit.mark();
    const first = await startProcess('stalled');
    await isDone(namespace);
    const firstHolder = await holder();
    const second = await startProcess('steady');
    // It counts from its first look at the lease.
    await isSynced('steady');
    let isOver = false;
    const edit = async (): Promise<void> => {
      for (let count = 0; !isOver; count += 1) {
        await rig.patchRelay(namespace, { retry: { attempts: 1 + (count % 10) } });
        await new Promise(resolve => setTimeout(resolve, 50));
      }
    };
    let edits: Promise<void> | undefined;
    const written = async (by: string): Promise<boolean> => writers(await rig.audit.since(mark)).includes(by);
    try {
      await waitUntil('the first one writes', () => written('stalled'));
      // What is on its way when the process stops nobody can call back: it has nothing on its way.
      await rig.settled(mark);
      await first.freeze();
      // From now on somebody edits without a pause: whoever believes to lead has something to write at any moment.
      edits = edit();
      await waitUntil('the other one leads', async () => (await holder()) !== firstHolder, 20_000);
      await waitUntil('it writes', () => written('steady'));
      const woken = await rig.audit.mark();
      first.thaw();
      // It has been heard of again, and had the time for many writes.
      await waitUntil('the first one has asked for the lease', async () =>
        (await rig.audit.since(woken)).some(
          ({ user, objectRef }) => user.username === 'stalled' && objectRef?.resource === 'leases',
        ),
      );
      await new Promise(resolve => setTimeout(resolve, 2000));
    } finally {
      isOver = true;
      await Promise.all([edits, first.stop(), second.stop()]);
    }
    const events = await rig.audit.since(mark);
    assert.deepEqual(strayWrites(events, lease.name), []);
    assert.deepEqual(writers(events), ['stalled', 'steady']);
  });

  test('goes on by itself when the API server was away, and never pauses longer than a second for it', async () => {
    const namespace = await rig.namespace('away');
    await rig.createRelay(namespace, openProvider);
    const patient = await startProcess('patient', ['--no-leader-elect', '--log-level', 'debug']);
    try {
      await isDone(namespace);
      await rig.settled(await rig.audit.mark());
      await rig.server.stopServing();
      const pauses = async () =>
        (await logged('patient')).filter(({ msg }) => /^the API server is (still )?in trouble/.test(msg));
      // Long enough that a pause which grew would be longer by now.
      await waitUntil(
        'each kind has tried five times',
        async () => {
          const kinds = Map.groupBy(await pauses(), ({ kind }) => kind);
          return [...kinds.values()].filter(tries => tries.length >= 5).length >= 11;
        },
        60_000,
      );
      const away = await rig.audit.mark();
      await rig.server.resumeServing();
      await rig.patchRelay(namespace, { retry: { attempts: 6 } });
      await waitUntil(
        'the edit is brought about',
        async () => {
          const { data } = await rig.client.get(configMaps, { name: 'mail-config', namespace });
          return /"attempts": 6/.test(data?.['config.json'] ?? '');
        },
        60_000,
      );
      const longest = Math.max(...(await pauses()).map(({ retryInMs = 0 }) => retryInMs));
      assert.ok(longest <= 1000, `${longest} ms`);
      await rig.settled(away);
      const watches = openWatches(await rig.audit.since(away));
      assert.equal(watches.size, 11);
      assert.ok(
        [...watches.values()].every(open => open === 1),
        JSON.stringify([...watches]),
      );
    } finally {
      await patient.stop();
    }
  });

  test('works on nothing but its namespaces and its selector', async () => {
    const [mine, other] = [await rig.namespace('mine'), await rig.namespace('not-mine')];
    operator = await rig.operator([
      ...['--no-leader-elect', '--watch-namespaces', mine, '--selector', 'shard=a'],
    ]);
    const labels = { shard: 'a' };
    await rig.createRelay(mine, openProvider, { labels });
    await rig.createRelay(other, openProvider, { labels });
    await rig.createRelay(mine, openProvider, { name: 'elsewhere', labels: { shard: 'b' } });
    await isDone(mine);
    const mark = await rig.audit.mark();
    await rig.settled(mark);
    assert.equal((await rig.relay(other)).status, undefined);
    assert.equal((await rig.relay(mine, 'elsewhere')).status, undefined);
    assert.equal(await rig.client.find(services, { name: 'elsewhere', namespace: mine }), undefined);
  });

  test('ends on SIGTERM while it may read nothing, and so is not ready yet', async t => {
    const [program = '', ...args] = await commandOf(refused.name);
    const child = spawn(program, args, { stdio: ['ignore', 'pipe', 'inherit'] });
    t.after(() => child.kill('SIGKILL'));
    let said = '';
    child.stdout.setEncoding('utf8').on('data', (text: string) => {
      said += text;
    });
    await waitUntil('it has been refused', () => /forbidden/.test(said), 60_000);
    child.kill('SIGTERM');
    assert.deepEqual(await once(child, 'exit'), [0, null]);
  });

  test('makes what the Prometheus operator reads where its kinds are', async () => {
    const namespace = await rig.namespace('monitoring');
    for (const definition of monitoringDefinitions) await rig.define(definition);
    operator = await rig.operator();
    await rig.createRelay(namespace, {
      ...openProvider,
      monitoring: { serviceMonitor: { enabled: true }, prometheusRule: { enabled: true } },
    });
    const ref = { name: 'mail', namespace };
    await rig.waitFor(serviceMonitors, ref);
    await rig.waitFor(prometheusRules, ref);
    await rig.patchRelay(namespace, {
      monitoring: { serviceMonitor: { enabled: false }, prometheusRule: { enabled: false } },
    });
    await waitUntil(
      'both are gone',
      async () =>
        (await rig.client.find(serviceMonitors, ref)) === undefined &&
        (await rig.client.find(prometheusRules, ref)) === undefined,
    );
    await rig.settled(await rig.audit.mark());
    const mark = await rig.audit.mark();
    assert.deepEqual(await rig.settled(mark), []);
  });
});
