/** Claims without the labels by which the operator's cache knows them: they may hold mail like any others. */
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { mailRelays } from '../../operator/api/mail-relay.ts';
import { annotations, labels } from '../../operator/api/names.ts';
import type { MailRelaySpecInput } from '../../operator/api/schema.ts';
import type { ObjectMeta } from '../../operator/kube/object.ts';
import {
  deployments,
  type PersistentVolumeClaim,
  persistentVolumeClaims,
  statefulSets,
} from '../../operator/resources/kinds.ts';
import { childLabels } from '../../operator/resources/names.ts';
import { syncOptions } from '../../operator/resources/persistent-volume-claim.ts';
import { waitUntil } from '../kube/wait-until.ts';
import { gone } from './gone.ts';
import { openProvider, Rig, ref, relayStatus } from './rig.ts';

const ours = childLabels({ name: 'mail' });
const perReplica = (replicas: number, spool: MailRelaySpecInput['spool'] = {}): MailRelaySpecInput => ({
  ...openProvider,
  replicas,
  spool: { mode: 'PerReplica', ...spool },
});

describe('a claim', () => {
  let rig: Rig;
  before(async () => {
    rig = await Rig.start();
    await rig.operator();
  });
  after(() => rig?.stop());

  const has = (namespace: string, name: string, labelled: Record<string, string>) =>
    rig.waitFor(persistentVolumeClaims, ref(namespace, name), ({ metadata }) =>
      Object.entries(labelled).every(([label, value]) => metadata.labels?.[label] === value),
    );
  /** As it may come out of a backup. */
  const bareClaim = async (
    namespace: string,
    name: string,
    metadata: Partial<ObjectMeta> = {},
  ): Promise<PersistentVolumeClaim> => {
    const spec = { accessModes: ['ReadWriteOnce'], resources: { requests: { storage: '1Gi' } } };
    await rig.client.create(persistentVolumeClaims, { metadata: { name, namespace, ...metadata }, spec });
    return rig.bind(namespace, name);
  };
  const unsentOn = async (namespace: string, name: string): Promise<string | undefined> => {
    const { metadata } = await rig.client.get(persistentVolumeClaims, ref(namespace, name));
    return metadata.annotations?.[annotations.unsentMessages];
  };

  test('of a replica without labels keeps the replica until it has sent what is on it, and is labelled', async () => {
    const namespace = await rig.namespace('scale-down');
    await rig.createRelay(namespace, perReplica(3));
    await rig.waitFor(statefulSets, ref(namespace));
    await rig.settled(await rig.audit.mark());
    // Made while nothing of the MailRelay changes, and no pod is there at the moment.
    await bareClaim(namespace, 'spool-mail-1');
    await bareClaim(namespace, 'spool-mail-2', { labels: { [labels.instance]: 'mail' } });
    await rig.patchRelay(namespace, { replicas: 1 });
    const { message } = await rig.waitForReason(namespace, 'Reconciling', 'ScalingDown');
    assert.match(message, /mail-1, mail-2 must first send an unknown number/);
    await rig.settled(await rig.audit.mark());
    assert.equal((await rig.client.get(statefulSets, ref(namespace))).spec?.replicas, 3);
    await has(namespace, 'spool-mail-1', ours);
    await has(namespace, 'spool-mail-2', ours);
    for (const at of [1, 2]) {
      await rig.createPod(namespace, `mail-${at}`, relayStatus('', { draining: true }));
    }
    await rig.waitFor(statefulSets, ref(namespace), ({ spec }) => spec?.replicas === 1);
    assert.equal(await unsentOn(namespace, 'spool-mail-1'), '0');
    assert.equal(await unsentOn(namespace, 'spool-mail-2'), '0');
  });

  test('of a replica that has lost its labels gets them back, also when no pod serves it', async () => {
    const namespace = await rig.namespace('stripped');
    await rig.createRelay(namespace, perReplica(1));
    await rig.waitFor(statefulSets, ref(namespace));
    await rig.createClaim(namespace, 'spool-mail-0');
    await rig.createClaim(namespace, 'spool-mail-1', { [annotations.unsentMessages]: '4' });
    await rig.waitForReason(namespace, 'SpoolHealthy', 'MailLeftBehind');
    for (const name of ['spool-mail-0', 'spool-mail-1']) {
      await rig.client.mergePatch(persistentVolumeClaims, ref(namespace, name), {
        metadata: { labels: null },
      });
      await has(namespace, name, ours);
    }
    await rig.settled(await rig.audit.mark());
    const { heldVolumes = [] } = (await rig.relay(namespace)).status ?? {};
    assert.deepEqual(
      heldVolumes.map(({ claim }) => claim),
      ['spool-mail-1'],
    );
  });

  test('of all pods that has lost its labels gets them back, and is waited for by a deletion', async () => {
    const namespace = await rig.namespace('shared');
    await rig.createRelay(namespace, { ...openProvider, spool: { retention: 'Delete' } });
    await rig.waitFor(deployments, ref(namespace));
    await rig.bind(namespace);
    const strip = () =>
      rig.client.mergePatch(persistentVolumeClaims, ref(namespace, 'mail-spool'), {
        metadata: { labels: null, annotations: null },
      });
    await strip();
    await has(namespace, 'mail-spool', ours);
    await rig.settled(await rig.audit.mark());
    assert.equal(await rig.condition(namespace, 'Stalled'), undefined);
    // No pod is there at the moment: the next one has to send what is on the volume.
    await strip();
    await rig.client.delete(mailRelays, ref(namespace));
    const { message } = await rig.waitForReason(namespace, 'Ready', 'Draining');
    assert.match(message, /the next pod of the volume must first send/);
    await has(namespace, 'mail-spool', ours);
    const draining = relayStatus('', { draining: true });
    await rig.createPod(namespace, 'mail-a', draining);
    await gone(rig, namespace);
    const claim = await rig.client.get(persistentVolumeClaims, ref(namespace, 'mail-spool'));
    assert.equal(claim.metadata.ownerReferences?.length, 1);
  });

  test('of a replica that somebody else controls is told and not written to, though a StatefulSet mounts it', async () => {
    const namespace = await rig.namespace('controlled');
    await rig.createRelay(namespace, perReplica(1));
    await rig.waitFor(statefulSets, ref(namespace));
    await rig.settled(await rig.audit.mark());
    const owner = { apiVersion: 'v1', kind: 'ConfigMap', name: 'theirs', uid: 'theirs', controller: true };
    const theirs = await bareClaim(namespace, 'spool-mail-0', { ownerReferences: [owner] });
    await rig.patchRelay(namespace, { retry: { attempts: 5 } });
    const { message } = await rig.waitForReason(namespace, 'Stalled', 'NameTaken');
    assert.match(message, /^PersistentVolumeClaim spool-mail-0 exists and belongs to ConfigMap theirs;/);
    await rig.settled(await rig.audit.mark());
    const { metadata } = await rig.client.get(persistentVolumeClaims, theirs.metadata);
    assert.equal(metadata.resourceVersion, theirs.metadata.resourceVersion);
    await rig.client.delete(mailRelays, ref(namespace));
    await gone(rig, namespace);
  });

  test('of a replica that its StatefulSet owns is freed, keeps its replica until that has sent, and stays', async () => {
    const namespace = await rig.namespace('owned');
    await rig.createRelay(namespace, perReplica(2));
    const set = await rig.waitFor(statefulSets, ref(namespace));
    await rig.settled(await rig.audit.mark());
    const owner = { apiVersion: 'apps/v1', kind: 'StatefulSet', name: 'mail', uid: set.metadata.uid! };
    const other = { apiVersion: 'v1', kind: 'ConfigMap', name: 'theirs', uid: 'theirs' };
    await bareClaim(namespace, 'spool-mail-0', { labels: ours, ownerReferences: [owner, other] });
    const controller = { ...owner, controller: true, blockOwnerDeletion: true };
    await bareClaim(namespace, 'spool-mail-1', { labels: ours, ownerReferences: [controller] });
    const ownersOf = async (name: string) =>
      (await rig.client.get(persistentVolumeClaims, ref(namespace, name))).metadata.ownerReferences?.map(
        ({ uid }) => uid,
      ) ?? [];
    await rig.patchRelay(namespace, { replicas: 1 });
    await rig.waitForReason(namespace, 'Reconciling', 'ScalingDown');
    await rig.settled(await rig.audit.mark());
    assert.equal((await rig.client.get(statefulSets, ref(namespace))).spec?.replicas, 2);
    assert.deepEqual(await ownersOf('spool-mail-0'), ['theirs']);
    assert.deepEqual(await ownersOf('spool-mail-1'), []);
  });

  test('of all pods that its Deployment owns is freed, and does not go with it', async () => {
    const namespace = await rig.namespace('owned-shared');
    const claim = () => rig.client.get(persistentVolumeClaims, ref(namespace, 'mail-spool'));
    const owners = async () => (await claim()).metadata.ownerReferences?.map(({ uid }) => uid) ?? [];
    await rig.createRelay(namespace, { ...openProvider, spool: { drainTimeoutSeconds: 1 } });
    const { metadata } = await rig.waitFor(deployments, ref(namespace));
    await rig.bind(namespace);
    await rig.settled(await rig.audit.mark());
    const owner = { apiVersion: 'apps/v1', kind: 'Deployment', name: 'mail', uid: metadata.uid! };
    const other = { apiVersion: 'v1', kind: 'ConfigMap', name: 'theirs', uid: 'theirs' };
    const own = () =>
      rig.client.mergePatch(persistentVolumeClaims, ref(namespace, 'mail-spool'), {
        metadata: { ownerReferences: [owner, other] },
      });
    await own();
    await rig.patchRelay(namespace, { retry: { attempts: 5 } });
    await waitUntil('it is freed', async () => (await owners()).join() === 'theirs');
    // While nothing of the MailRelay is written.
    await rig.patchRelay(namespace, { suspend: true });
    await rig.waitForReason(namespace, 'Ready', 'Suspended');
    await own();
    await rig.client.delete(mailRelays, ref(namespace));
    await gone(rig, namespace);
    assert.deepEqual(await owners(), ['theirs']);
  });

  test('of a replica asks Argo CD to leave it while a pod serves it, beside what somebody else asks for', async () => {
    const namespace = await rig.namespace('pruning');
    await rig.createRelay(namespace, perReplica(2));
    await rig.waitFor(statefulSets, ref(namespace));
    await rig.createClaim(namespace, 'spool-mail-0');
    await rig.createClaim(namespace, 'spool-mail-1', { [syncOptions]: 'Delete=false' });
    const asks = (name: string, text: string) =>
      rig.waitFor(
        persistentVolumeClaims,
        ref(namespace, name),
        ({ metadata }) => metadata.annotations?.[syncOptions] === text,
      );
    await asks('spool-mail-0', 'Prune=false');
    await asks('spool-mail-1', 'Delete=false,Prune=false');
    await rig.settled(await rig.audit.mark());
    await rig.patchRelay(namespace, { retry: { attempts: 5 } });
    const mark = await rig.audit.mark();
    await waitUntil('it is written', async () => (await rig.settled(mark)).length > 0);
    const written = (await rig.settled(mark)).filter(write => write.includes('persistentvolumeclaims'));
    assert.deepEqual(written, []);
  });
});
