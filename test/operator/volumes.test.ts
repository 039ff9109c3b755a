import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { mailRelays } from '../../operator/api/mail-relay.ts';
import { annotations } from '../../operator/api/names.ts';
import { pods } from '../../operator/reconcile/caches.ts';
import { deployments, persistentVolumeClaims, statefulSets } from '../../operator/resources/kinds.ts';
import { childLabels } from '../../operator/resources/names.ts';
import { waitUntil } from '../kube/wait-until.ts';
import { gone } from './gone.ts';
import { claimSpec, openProvider, Rig, ref, relayStatus } from './rig.ts';

const perReplica = { mode: 'PerReplica' } as const;
const empty = relayStatus('', { draining: true });

describe('the volumes of a MailRelay', () => {
  let rig: Rig;
  before(async () => {
    rig = await Rig.start();
    await rig.operator();
  });
  after(() => rig?.stop());

  const unsentOn = async (namespace: string, name: string): Promise<string | undefined> => {
    const { metadata } = await rig.client.get(persistentVolumeClaims, { name, namespace });
    return metadata.annotations?.[annotations.unsentMessages];
  };
  const becomes = (namespace: string, name: string, text: string | undefined): Promise<void> =>
    waitUntil(`${name} says ${text}`, async () => (await unsentOn(namespace, name)) === text, 60_000);

  test('say what is on them while no pod serves them, and nothing while one does', async () => {
    const namespace = await rig.namespace('marks');
    await rig.createRelay(namespace, { ...openProvider, replicas: 2, spool: perReplica });
    await rig.waitFor(statefulSets, ref(namespace));
    for (const at of [0, 1]) {
      await rig.createClaim(namespace, `spool-mail-${at}`);
      await rig.createPod(namespace, `mail-${at}`, empty);
    }
    await rig.patchRelay(namespace, { replicas: 1 });
    await rig.waitFor(statefulSets, ref(namespace), ({ spec }) => spec?.replicas === 1);
    assert.equal(await unsentOn(namespace, 'spool-mail-1'), '0');
    await rig.client.delete(pods, { name: 'mail-1', namespace }, { gracePeriodSeconds: 0 });
    await rig.settled(await rig.audit.mark());
    assert.equal((await rig.relay(namespace)).status?.heldVolumes, undefined);
    await rig.patchRelay(namespace, { replicas: 2 });
    await rig.waitFor(statefulSets, ref(namespace), ({ spec }) => spec?.replicas === 2);
    assert.equal(await unsentOn(namespace, 'spool-mail-1'), undefined);
    assert.equal(await unsentOn(namespace, 'spool-mail-0'), undefined);
  });

  test('of a replica that had nothing to send say what else is on them, which is no trouble', async () => {
    const namespace = await rig.namespace('over');
    await rig.createRelay(namespace, { ...openProvider, replicas: 2, spool: perReplica });
    const { metadata } = await rig.waitFor(statefulSets, ref(namespace));
    for (const at of [0, 1]) await rig.createClaim(namespace, `spool-mail-${at}`);
    await rig.createPod(namespace, 'mail-0', relayStatus(''));
    const queue = { ...empty.queue, dead: { messages: 3, bytes: 30 } };
    const status = relayStatus('', { draining: true, queue, quarantine: { files: 1 } });
    await rig.createPod(namespace, 'mail-1', status);
    await rig.patchRelay(namespace, { replicas: 1 });
    await rig.waitFor(statefulSets, ref(namespace), ({ spec }) => spec?.replicas === 1);
    await rig.client.delete(pods, { name: 'mail-1', namespace }, { gracePeriodSeconds: 0 });
    assert.match(
      await rig.waitForEvent(namespace, 'ScaleDownLeftMail'),
      /^on spool-mail-1: 3 dead letters, 1 quarantined file; its pod has gone$/,
    );
    const { heldVolumes = [] } = (await rig.relay(namespace)).status ?? {};
    assert.deepEqual(
      heldVolumes.map(({ since: _, ...held }) => held),
      [{ claim: 'spool-mail-1', messages: 0, deadMessages: 3, quarantinedFiles: 1 }],
    );
    const { message } = await rig.waitForReason(namespace, 'SpoolHealthy', 'Healthy');
    assert.match(message, /spool-mail-1 \(3 dead letters, 1 quarantined file\); scale up again to get at it/);
    const claim = await rig.client.get(persistentVolumeClaims, { name: 'spool-mail-1', namespace });
    const texts = claim.metadata.annotations ?? {};
    assert.equal(texts[annotations.unsentMessages], '0');
    assert.equal(texts[annotations.deadMessages], '3');
    assert.equal(texts[annotations.quarantinedFiles], '1');
    assert.match(texts[annotations.unservedBy] ?? '', new RegExp(`^${metadata.uid}/[0-9]+$`));
    // Counts are written once in 10 s: the last ones are without the pod that went.
    const counted = async () => (await rig.relay(namespace)).status?.queue?.dead === 0;
    await waitUntil('its dead letters are in no queue any more', counted, 60_000);
    assert.deepEqual(await rig.settled(await rig.audit.mark()), []);
  });

  test('are held again when their claim is made anew, as for a snapshot, and stay though its annotations say empty', async () => {
    const namespace = await rig.namespace('restored');
    const ref = { name: 'spool-mail-1', namespace };
    await rig.createRelay(namespace, {
      ...openProvider,
      replicas: 2,
      spool: { ...perReplica, retention: 'Delete', drainTimeoutSeconds: 60 },
    });
    await rig.waitFor(statefulSets, { name: 'mail', namespace });
    for (const at of [0, 1]) {
      await rig.createClaim(namespace, `spool-mail-${at}`);
      await rig.createPod(namespace, `mail-${at}`, relayStatus('', { draining: true }));
    }
    await rig.patchRelay(namespace, { replicas: 1 });
    await rig.waitFor(statefulSets, { name: 'mail', namespace }, ({ spec }) => spec?.replicas === 1);
    await rig.client.delete(pods, { name: 'mail-1', namespace }, { gracePeriodSeconds: 0 });
    await rig.settled(await rig.audit.mark());
    const { metadata, spec } = await rig.client.get(persistentVolumeClaims, ref);
    assert.equal(metadata.annotations?.[annotations.unsentMessages], '0');
    await rig.client.mergePatch(persistentVolumeClaims, ref, { metadata: { finalizers: null } });
    await rig.client.delete(persistentVolumeClaims, ref);
    await waitUntil('it is gone', async () => {
      await rig.client
        .mergePatch(persistentVolumeClaims, ref, { metadata: { finalizers: null } })
        .catch(() => {});
      return (await rig.client.find(persistentVolumeClaims, ref)) === undefined;
    });
    const { labels, annotations: texts } = metadata;
    await rig.client.create(persistentVolumeClaims, {
      metadata: { ...ref, ...(labels && { labels }), ...(texts && { annotations: texts }) },
      ...(spec && { spec }),
    });
    await rig.bind(namespace, ref.name);
    await rig.waitForReason(namespace, 'SpoolHealthy', 'MailLeftBehind');
    await rig.client.delete(mailRelays, { name: 'mail', namespace });
    await gone(rig, namespace);
    const left = await rig.client.get(persistentVolumeClaims, ref);
    assert.equal(left.metadata.ownerReferences, undefined);
    assert.equal(left.metadata.annotations?.[annotations.unsentMessages], 'unknown');
  });

  test('are shown as unknown when their pod was never heard from', async () => {
    const namespace = await rig.namespace('unheard');
    const spool = { ...perReplica, drainTimeoutSeconds: 1 };
    await rig.createRelay(namespace, { ...openProvider, replicas: 2, spool });
    await rig.waitFor(statefulSets, ref(namespace));
    for (const at of [0, 1]) await rig.createClaim(namespace, `spool-mail-${at}`);
    await rig.createPod(namespace, 'mail-0', relayStatus(''));
    await rig.createPod(namespace, 'mail-1');
    await rig.patchRelay(namespace, { replicas: 1 });
    await rig.waitFor(statefulSets, ref(namespace), ({ spec }) => spec?.replicas === 1);
    await rig.client.delete(pods, { name: 'mail-1', namespace }, { gracePeriodSeconds: 0 });
    const { message } = await rig.waitForReason(namespace, 'SpoolHealthy', 'MailLeftBehind');
    assert.match(message, /spool-mail-1 \(unknown\)/);
    const [held] = (await rig.relay(namespace)).status?.heldVolumes ?? [];
    assert.deepEqual([held?.claim, held?.messages], ['spool-mail-1', undefined]);
    assert.match(
      await rig.waitForEvent(namespace, 'ScaleDownLeftMail'),
      /^on spool-mail-1: perhaps unsent messages/,
    );
  });

  test('are waited for and marked also of a relay whose name begins as those of claims do', async () => {
    const namespace = await rig.namespace('called-spool');
    const name = 'spool';
    await rig.createRelay(namespace, { ...openProvider, replicas: 2, spool: perReplica }, { name });
    await rig.waitFor(statefulSets, ref(namespace, name));
    for (const at of [0, 1]) {
      const metadata = { name: `spool-spool-${at}`, namespace, labels: childLabels({ name }) };
      await rig.client.create(persistentVolumeClaims, { metadata, spec: claimSpec });
      await rig.bind(namespace, metadata.name);
    }
    await rig.settled(await rig.audit.mark());
    // No pod is there at the moment, as between two.
    await rig.client.mergePatch(mailRelays, ref(namespace, name), { spec: { replicas: 1 } });
    await rig.waitForReason(namespace, 'Reconciling', 'ScalingDown', name);
    await rig.createPod(namespace, 'spool-1', empty, name);
    await rig.waitFor(statefulSets, ref(namespace, name), ({ spec }) => spec?.replicas === 1);
    assert.equal(await unsentOn(namespace, 'spool-spool-1'), '0');
  });

  test('that an earlier relay of the name has left are shown with what is on them', async () => {
    const namespace = await rig.namespace('left');
    const marks = (unsent: string, dead: string, quarantined: string) => ({
      [annotations.unsentMessages]: unsent,
      [annotations.deadMessages]: dead,
      [annotations.quarantinedFiles]: quarantined,
    });
    await rig.createClaim(namespace, 'spool-mail-0', marks('7', '0', '0'));
    await rig.createClaim(namespace, 'spool-mail-1', marks('0', '0', '0'));
    await rig.createClaim(namespace, 'spool-mail-2');
    await rig.createClaim(namespace, 'spool-mail-3', marks('0', '1', '2'));
    await rig.createClaim(namespace, 'spool-mail-4', { [annotations.unsentMessages]: '0' });
    await rig.createClaim(namespace, 'mail-spool', marks('3', '0', '0'));
    await rig.createRelay(namespace, openProvider);
    const { message } = await rig.waitForReason(namespace, 'SpoolHealthy', 'MailLeftBehind');
    for (const said of [
      'spool-mail-0 (7 unsent messages), spool-mail-2 (unknown)',
      'spool-mail-3 (1 dead letter, 2 quarantined files)',
      'spool-mail-4 (perhaps dead letters or quarantined files)',
    ]) {
      assert.ok(message.includes(said), message);
    }
    assert.doesNotMatch(message, /spool-mail-1/);
    assert.match(message, /mode PerReplica/);
    assert.match(
      await rig.waitForEvent(namespace, 'MailFound'),
      /on spool-mail-0: 7 unsent messages; no pod serves it/,
    );
    // Its own it takes up again.
    await becomes(namespace, 'mail-spool', undefined);
    const mark = await rig.audit.mark();
    assert.deepEqual(await rig.settled(mark), []);
  });

  test('that are deleted under a running pod are told, with what can still be done', async () => {
    const namespace = await rig.namespace('claim-deleted');
    await rig.createRelay(namespace, openProvider);
    await rig.bind(namespace);
    await rig.createPod(namespace, 'mail-a', relayStatus(''));
    await rig.client.delete(persistentVolumeClaims, { name: 'mail-spool', namespace });
    const { message } = await rig.waitForReason(namespace, 'SpoolHealthy', 'VolumeDeleted');
    assert.match(message, /mail-spool has been deleted.*persistentVolumeReclaimPolicy.*Retain/);
    assert.match(await rig.waitForEvent(namespace, 'VolumeDeleted'), /mail-spool/);
    // The pod is gone, and the claim with it.
    await rig.client.mergePatch(
      persistentVolumeClaims,
      { name: 'mail-spool', namespace },
      { metadata: { finalizers: null } },
    );
    await rig.waitFor(
      persistentVolumeClaims,
      { name: 'mail-spool', namespace },
      ({ metadata }) => metadata.deletionTimestamp === undefined,
    );
    await waitUntil(
      'it is told no more',
      async () => (await rig.condition(namespace, 'SpoolHealthy'))?.reason !== 'VolumeDeleted',
    );
  });

  test('that are still going get no new pods', async () => {
    const namespace = await rig.namespace('going');
    const owner = {
      apiVersion: 'mailrelay.dev/v1alpha1',
      kind: 'MailRelay',
      name: 'mail',
      uid: 'predecessor',
    };
    await rig.createClaim(namespace, 'spool-mail-0');
    const claim = { name: 'spool-mail-0', namespace };
    await rig.client.mergePatch(persistentVolumeClaims, claim, { metadata: { ownerReferences: [owner] } });
    await rig.createRelay(namespace, { ...openProvider, spool: perReplica });
    const { message } = await rig.waitForReason(namespace, 'Reconciling', 'Retrying');
    assert.match(message, /spool-mail-0 .* is still going/);
    assert.equal(await rig.client.find(statefulSets, ref(namespace)), undefined);
    await rig.client.delete(persistentVolumeClaims, claim);
    await rig.client.mergePatch(persistentVolumeClaims, claim, { metadata: { finalizers: null } });
    await rig.waitFor(statefulSets, ref(namespace));
  });

  test('decide the mode, whatever the spec says later', async () => {
    const namespace = await rig.namespace('mode');
    await rig.createRelay(namespace, openProvider);
    await rig.waitFor(deployments, ref(namespace));
    const ip = await rig.createPod(namespace, 'mail-a', relayStatus(''));
    await rig.waitFor(mailRelays, ref(namespace), ({ status }) => status?.activeProvider === 'primary');
    await rig.withoutRules(() => rig.patchRelay(namespace, { spool: { mode: 'PerReplica' } }));
    const { message } = await rig.waitForReason(namespace, 'Stalled', 'InvalidConfiguration');
    assert.match(message, /spec.spool.mode: PerReplica must be Shared/);
    assert.equal(await rig.client.find(statefulSets, ref(namespace)), undefined);
    assert.equal((await rig.client.get(deployments, ref(namespace))).metadata.deletionTimestamp, undefined);
    // What runs goes on and is told.
    const { status } = await rig.relay(namespace);
    assert.equal(status?.activeProvider, 'primary');
    assert.equal(status?.usableProviders, '1/1');
    assert.ok(status?.config?.fingerprint);
    rig.answers.set(
      ip,
      relayStatus('', { providers: [{ ...relayStatus('').providers[0]!, state: 'failing' }] }),
    );
    await rig.waitForReason(namespace, 'ProvidersHealthy', 'AllFailing');
  });

  test('decide the access mode: mail in one directory is not looked for in another', async () => {
    const namespace = await rig.namespace('access-mode');
    await rig.createClaim(namespace, 'mail-spool', { [annotations.unsentMessages]: '5' });
    await rig.createRelay(namespace, { ...openProvider, spool: { accessMode: 'ReadWriteMany' } });
    const { message } = await rig.waitForReason(namespace, 'Stalled', 'InvalidConfiguration');
    assert.match(message, /ReadWriteMany must be ReadWriteOnce, as the volume mail-spool has it/);
    assert.equal(await rig.client.find(deployments, ref(namespace)), undefined);
    assert.equal(await unsentOn(namespace, 'mail-spool'), '5');
  });

  test('keep their storage class, and the relay runs on them', async () => {
    const namespace = await rig.namespace('storage-class');
    await rig.createClaim(namespace, 'mail-spool', {}, 'slow');
    await rig.createRelay(namespace, { ...openProvider, spool: { storageClassName: 'fast' } });
    const { message } = await rig.waitForReason(namespace, 'Stalled', 'ImmutableField');
    assert.match(message, /PersistentVolumeClaim mail-spool: .*"slow".*"fast".*it stays as it is/);
    await rig.waitFor(deployments, ref(namespace));
  });

  test('keep their replicas when somebody scales the workload itself', async () => {
    const namespace = await rig.namespace('scaled-behind');
    await rig.createRelay(namespace, { ...openProvider, replicas: 3, spool: perReplica });
    await rig.waitFor(statefulSets, ref(namespace));
    await rig.client.mergePatch(
      statefulSets,
      ref(namespace),
      { spec: { replicas: 1 } },
      { subresource: 'scale' },
    );
    assert.match(
      await rig.waitForEvent(namespace, 'ScaleDownRefused'),
      /replicas of StatefulSet mail to 1; they are 3 again/,
    );
    await rig.waitFor(statefulSets, ref(namespace), ({ spec }) => spec?.replicas === 3);
  });
});
