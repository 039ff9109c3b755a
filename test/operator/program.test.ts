import assert from 'node:assert/strict';
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
const leases = defineResource<Lease>({
  apiVersion: 'coordination.k8s.io/v1',
  kind: 'Lease',
  plural: 'leases',
  namespaced: true,
});
const lease = { name: 'mailrelay-operator', namespace: 'default' };
/** Each process is a user of its own, so that the audit log tells them apart. */
const users = ['first', 'second', 'third', 'steady', 'stalled'].map(name => ({
  ...{ name, token: `token-of-${name}` },
  groups: ['system:masters'],
}));
const main = join(import.meta.dirname, '../../operator/main.ts');

describe('the operator as a program', () => {
  let rig: Rig;
  let operator: Operator | undefined;
  before(async () => {
    rig = await Rig.start({ tokens: users });
  });
  afterEach(async () => {
    if (operator !== undefined) await rig.stopOperator(operator);
    operator = undefined;
  });
  after(() => rig?.stop());

  const startProcess = async (name: string): Promise<Service> =>
    startService(
      name,
      [
        ...[process.execPath, main, '--kubeconfig', await rig.server.tokenKubeconfig(`token-of-${name}`)],
        ...['--relay-image', 'relay:1', '--health-host', '127.0.0.1', '--health-port', '0'],
      ],
      join(rig.server.directory, `${name}.log`),
    );
  const holder = async (): Promise<string> =>
    (await rig.client.find(leases, lease))?.spec?.holderIdentity ?? '';
  const isDone = (namespace: string): Promise<unknown> =>
    rig.waitFor(deployments, { name: 'mail', namespace });

  test('hands over on SIGTERM within 2 s and on SIGKILL within 17 s, and one alone writes', async () => {
    const namespace = await rig.namespace('hand-over');
    await rig.createRelay(namespace, openProvider);
    const mark = await rig.audit.mark();
    const first = await startProcess('first');
    await isDone(namespace);
    const firstHolder = await holder();
    const second = await startProcess('second');
    const third = await startProcess('third');
    await new Promise(resolve => setTimeout(resolve, 2000));
    await first.stop('SIGTERM');
    const released = performance.now();
    await waitUntil('another one leads', async () => !['', firstHolder].includes(await holder()));
    const handOver = performance.now() - released;
    assert.ok(handOver < 2000, `${handOver} ms`);
    await rig.patchRelay(namespace, { retry: { attempts: 9 } });
    await rig.waitFor(configMaps, { name: 'mail-config', namespace }, ({ data }) =>
      /"attempts": 9/.test(data?.['config.json'] ?? ''),
    );
    const secondHolder = await holder();

    // Which of the two leads is in its log.
    const { readFile } = await import('node:fs/promises');
    const log = await readFile(join(rig.server.directory, 'second.log'), 'utf8');
    const [leader, standby] = /"leading"/.test(log) ? [second, third] : [third, second];
    await leader.stop('SIGKILL');
    const killed = performance.now();
    await waitUntil('the last one leads', async () => (await holder()) !== secondHolder, 20_000);
    const takeOver = performance.now() - killed;
    assert.ok(takeOver < 17_500, `${takeOver} ms`);
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
    // Somebody edits without a pause, so that whoever believes to lead has something to write at any moment.
    let isOver = false;
    const edits = (async (): Promise<void> => {
      for (let count = 0; !isOver; count += 1) {
        await rig.patchRelay(namespace, { retry: { attempts: 1 + (count % 10) } });
        await new Promise(resolve => setTimeout(resolve, 50));
      }
    })();
    const written = async (by: string): Promise<boolean> => writers(await rig.audit.since(mark)).includes(by);
    try {
      await waitUntil('the first one writes', () => written('stalled'));
      first.signal('SIGSTOP');
      await waitUntil('the other one leads', async () => (await holder()) !== firstHolder, 20_000);
      await waitUntil('it writes', () => written('steady'));
      const woken = await rig.audit.mark();
      first.signal('SIGCONT');
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

  test('goes on by itself when the API server was away', async () => {
    const namespace = await rig.namespace('away');
    operator = await rig.operator();
    await rig.createRelay(namespace, openProvider);
    await isDone(namespace);
    await rig.settled(await rig.audit.mark());
    await rig.server.stopServing();
    await new Promise(resolve => setTimeout(resolve, 3000));
    const away = await rig.audit.mark();
    await rig.server.resumeServing();
    const back = performance.now();
    await rig.patchRelay(namespace, { retry: { attempts: 6 } });
    await rig.waitFor(configMaps, { name: 'mail-config', namespace }, ({ data }) =>
      /"attempts": 6/.test(data?.['config.json'] ?? ''),
    );
    assert.ok(performance.now() - back < 6000, `${performance.now() - back} ms`);
    await rig.settled(away);
    const watches = openWatches(await rig.audit.since(away));
    assert.equal(watches.size, 11);
    assert.ok(
      [...watches.values()].every(open => open === 1),
      JSON.stringify([...watches]),
    );
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
