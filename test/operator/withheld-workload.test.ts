/** A scale-down while the workload may not be written: nothing is said of a volume whose pod is still there. */
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { annotations } from '../../operator/api/names.ts';
import {
  configMaps,
  persistentVolumeClaims,
  serviceAccounts,
  statefulSets,
} from '../../operator/resources/kinds.ts';
import { waitUntil } from '../kube/wait-until.ts';
import { openProvider, Rig, ref, relayStatus } from './rig.ts';

describe('a scale-down of a workload that is withheld', () => {
  let rig: Rig;
  before(async () => {
    rig = await Rig.start();
    await rig.operator();
  });
  after(() => rig?.stop());

  test('drains its replica, marks no volume, and writes nothing over and over', async () => {
    const namespace = await rig.namespace('withheld');
    const spool = { mode: 'PerReplica', drainTimeoutSeconds: 600 } as const;
    await rig.createRelay(namespace, { ...openProvider, replicas: 2, spool });
    await rig.waitFor(statefulSets, ref(namespace));
    for (const at of [0, 1]) {
      await rig.createClaim(namespace, `spool-mail-${at}`);
      await rig.createPod(namespace, `mail-${at}`, relayStatus('x', { draining: at === 1 }));
    }
    await rig.settled(await rig.audit.mark());
    const theirs = { apiVersion: 'v1', kind: 'ConfigMap', name: 'theirs', uid: 'theirs', controller: true };
    await rig.client.mergePatch(serviceAccounts, ref(namespace), { metadata: { ownerReferences: [theirs] } });
    await rig.waitForReason(namespace, 'Stalled', 'NameTaken');
    await rig.settled(await rig.audit.mark());
    const claim = () => rig.client.get(persistentVolumeClaims, ref(namespace, 'spool-mail-1'));
    const before = await claim();
    const fingerprint = async () => (await rig.relay(namespace)).status?.config?.fingerprint;
    const draining = async (): Promise<string[]> =>
      JSON.parse((await rig.client.get(configMaps, ref(namespace, 'mail-config'))).data!['config.json']!)
        .draining ?? [];
    const told = await fingerprint();
    const scaledAt = rig.asked;
    await rig.patchRelay(namespace, { replicas: 1 });
    await waitUntil('the replica is told to drain', async () => (await draining()).includes('mail-1'));
    // Pods that drain are asked twice a second: it has been empty since its time of grace, and planned away many times.
    await waitUntil('it is asked many times', () => rig.asked - scaledAt > 120, 120_000);
    assert.equal((await claim()).metadata.resourceVersion, before.metadata.resourceVersion);
    assert.deepEqual(await draining(), ['mail-1']);
    assert.notEqual(await fingerprint(), told);
    assert.equal((await rig.client.get(statefulSets, ref(namespace))).spec?.replicas, 2);

    await rig.client.delete(serviceAccounts, ref(namespace));
    const live = await rig.waitFor(statefulSets, ref(namespace), ({ spec }) => spec?.replicas === 1);
    const { metadata } = await claim();
    assert.equal(metadata.annotations?.[annotations.unsentMessages], '0');
    assert.match(metadata.annotations?.[annotations.unservedBy] ?? '', new RegExp(`^${live.metadata.uid}/`));
  });
});
