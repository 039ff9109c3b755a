import assert from 'node:assert/strict';
import { before, describe, test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { type Cluster, useCluster } from '../cluster/cluster.ts';
import { installOperator } from './installation.ts';
import { play } from './scene.ts';
import { providerSpec } from './upstreams.ts';

describe('relays whose API server is away', () => {
  let cluster: Cluster;
  before(async () => {
    cluster = await useCluster();
    await installOperator(cluster);
  });

  test('while the API server is away for a minute mail goes on and fails over; afterwards changes take effect in the same pods', async t => {
    await play(t, cluster, {}, async scene => {
      await scene.ready('True', 'Available');
      const { primary, backup, last } = scene.upstreams;
      const pod = await scene.pod();
      const load = scene.mail.load(await scene.service(), 2);
      await scene.until('mail flows', () => primary.messages.length > 20);
      await cluster.stopPart('kube-apiserver');
      try {
        await primary.down();
        await scene.until('backup takes over', () => backup.messages.length > 50);
        await delay(60_000); // the minute
      } finally {
        await cluster.startPart('kube-apiserver');
      }
      await scene.until('the API server is back', async () => (await scene.pod()).uid === pod.uid);
      const before = backup.messages.length;
      await scene.until('mail still flows', () => backup.messages.length > before + 20);
      await load.stop();
      await scene.accounted();
      assert.deepEqual(load.errors, []);

      // The same Secrets stay mounted, so that no new pod is needed.
      const forwardProviders = [
        providerSpec('last', last),
        providerSpec('backup', backup),
        providerSpec('primary', primary),
      ];
      await scene.change({ forwardProviders });
      const generation = async (): Promise<number> => (await scene.status()).observedGeneration ?? 0;
      await scene.until('the operator has taken it in', async () => (await generation()) === 2, 10);
      const inEffect = async (): Promise<boolean> => {
        const { providers } = await scene.relay(pod);
        return providers[0]?.name === 'last' && providers[0].state === 'active';
      };
      // The kubelet comes back to the API server in its own time: its watches pause for up to a minute each.
      await scene.until('the change is in effect', inEffect, 180);
      await scene.ready('True');
      const now = await scene.pod();
      assert.deepEqual([now.uid, now.restarts], [pod.uid, pod.restarts]);
    });
  });
});
