/** Workloads without an owner beside a deletion: our own that lost it, and copies that only look so, as from a backup. */
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { mailRelays } from '../../operator/api/mail-relay.ts';
import type { MailRelaySpecInput } from '../../operator/api/schema.ts';
import { events } from '../../operator/kube/event-wire.ts';
import type { KubeObject } from '../../operator/kube/object.ts';
import type { Resource } from '../../operator/kube/resource.ts';
import { pods } from '../../operator/reconcile/caches.ts';
import {
  configMaps,
  deployments,
  persistentVolumeClaims,
  statefulSets,
} from '../../operator/resources/kinds.ts';
import { childLabels, selectorLabels } from '../../operator/resources/names.ts';
import { waitUntil } from '../kube/wait-until.ts';
import { DeletionScene, deleted, four, unsentOn } from './deletion-scene.ts';
import { openProvider, Rig, ref, relayStatus } from './rig.ts';

const brief: MailRelaySpecInput = { ...openProvider, spool: { drainTimeoutSeconds: 1 } };
const briefReplica: MailRelaySpecInput = {
  ...openProvider,
  spool: { mode: 'PerReplica', drainTimeoutSeconds: 1 },
};

describe('a workload that nobody owns', () => {
  let rig: Rig;
  let scene: DeletionScene;
  before(async () => {
    rig = await Rig.start();
    scene = new DeletionScene(rig);
    await rig.operator();
  });
  after(() => rig?.stop());

  const isGone = (namespace: string): Promise<void> =>
    waitUntil(
      `${namespace}/mail is gone`,
      async () => (await rig.client.find(mailRelays, ref(namespace))) === undefined,
      60_000,
    );
  /** The garbage collector, which is not there, is done with a foreground deletion when only its finalizer is left. */
  const isLetGo = (namespace: string): Promise<unknown> =>
    waitUntil(
      `${namespace}/mail waits for the garbage collector alone`,
      async () => (await rig.relay(namespace)).metadata.finalizers?.join() === 'foregroundDeletion',
      60_000,
    );
  /** As it comes out of a backup: all our labels, another manager. */
  const copy = (namespace: string, resource: Resource, replicas = 1): Promise<KubeObject> => {
    const labels = selectorLabels({ name: 'mail' });
    const template = { metadata: { labels }, spec: { containers: [{ name: 'relay', image: 'copied' }] } };
    const set = resource.kind === statefulSets.kind ? { serviceName: 'mail-pods' } : {};
    return rig.client.create(resource, {
      metadata: { ...ref(namespace), labels: childLabels({ name: 'mail' }) },
      spec: { replicas, selector: { matchLabels: labels }, template, ...set },
    } as KubeObject);
  };
  const untouched = async (resource: Resource, before: KubeObject): Promise<void> => {
    const now = await rig.client.get(resource, before.metadata);
    assert.equal(now.metadata.resourceVersion, before.metadata.resourceVersion);
  };

  for (const [mode, resource, spec] of [
    ['shared', deployments, brief],
    ['per-replica', statefulSets, briefReplica],
  ] as const) {
    for (const propagation of ['Background', 'Foreground'] as const) {
      test(`and somebody has copied keeps no deletion up: ${resource.kind}, ${propagation}`, async () => {
        const namespace = await rig.namespace(`copy-${mode}-${propagation.toLowerCase()}`);
        const theirs = await copy(namespace, resource as Resource);
        if (mode === 'per-replica') {
          const claim = { accessModes: ['ReadWriteOnce'], resources: { requests: { storage: '1Gi' } } };
          await rig.client.create(persistentVolumeClaims, {
            metadata: ref(namespace, 'spool-mail-0'),
            spec: claim,
          });
        }
        await rig.createRelay(namespace, spec);
        await rig.waitForReason(namespace, 'Stalled', 'NameTaken');
        await scene.remove(namespace, propagation);
        await (propagation === 'Background' ? isGone(namespace) : isLetGo(namespace));
        await untouched(resource as Resource, theirs);
      });
    }
  }

  test('and somebody has copied has pods that are neither written to nor asked', async () => {
    const namespace = await rig.namespace('pods-of-a-copy');
    await copy(namespace, deployments as Resource);
    await rig.createPod(namespace, 'mail-a', relayStatus('x', { queue: four }));
    const pod = await rig.client.get(pods, ref(namespace, 'mail-a'));
    const { asked } = rig;
    await rig.createRelay(namespace, brief);
    await rig.waitForReason(namespace, 'Stalled', 'NameTaken');
    await rig.patchRelay(namespace, { retry: { attempts: 7 } });
    await rig.waitFor(
      mailRelays,
      ref(namespace),
      ({ status, metadata: { generation } }) => status?.observedGeneration === generation,
    );
    await rig.settled(await rig.audit.mark());
    await untouched(pods as Resource, pod);
    assert.equal(rig.asked, asked);
    const { status } = await rig.relay(namespace);
    assert.equal(status?.queue, undefined);
    assert.equal(status?.replicas, 0);
    await scene.remove(namespace);
    await isGone(namespace);
  });

  test('and somebody has copied says nothing of the mode of one that runs beside it, which drains at its deletion', async () => {
    const namespace = 'another-mode';
    await scene.running(namespace, { ...openProvider, spool: { drainTimeoutSeconds: 600 } }, four);
    const theirs = await copy(namespace, statefulSets as Resource);
    await rig.settled(await rig.audit.mark());
    await rig.patchRelay(namespace, { retry: { attempts: 7 } });
    await rig.waitFor(
      mailRelays,
      ref(namespace),
      ({ status, metadata: { generation } }) => status?.observedGeneration === generation,
    );
    assert.equal((await rig.condition(namespace, 'ConfigurationValid'))?.status, 'True');
    assert.equal((await rig.condition(namespace, 'SpoolHealthy'))?.reason, 'Healthy');
    await scene.remove(namespace);
    await scene.drains(namespace, 'mail-a');
    const { message } = await rig.waitForReason(namespace, 'Ready', 'Draining');
    assert.match(message, /^mail-a must first send 4 messages/);
    await untouched(statefulSets as Resource, theirs);
  });

  test('and somebody has copied is no change that waits while the MailRelay is suspended', async () => {
    const namespace = await rig.namespace('suspended');
    await rig.createRelay(namespace, openProvider);
    await rig.waitForReason(namespace, 'Ready', 'PodsUnavailable');
    await copy(namespace, statefulSets as Resource);
    await rig.settled(await rig.audit.mark());
    await rig.patchRelay(namespace, { suspend: true });
    const { message } = await rig.waitForReason(namespace, 'Ready', 'Suspended');
    assert.doesNotMatch(message, /StatefulSet/);
  });

  test('and somebody has copied has pods of which none is said to drain, however many there are', async () => {
    const namespace = await rig.namespace('larger-copy');
    await copy(namespace, statefulSets as Resource, 3);
    for (const at of [0, 1, 2]) {
      await rig.createPod(namespace, `mail-${at}`, relayStatus('x', { queue: four }));
    }
    await rig.createRelay(namespace, { ...briefReplica, replicas: 1 });
    await rig.waitForReason(namespace, 'Stalled', 'NameTaken');
    await rig.settled(await rig.audit.mark());
    const config = await rig.client.get(configMaps, ref(namespace, 'mail-config'));
    assert.equal(JSON.parse(config.data!['config.json']!).draining, undefined);
    const { items } = await rig.client.list(events, { namespace });
    assert.deepEqual(
      items.map(event => (event as unknown as { readonly reason: string }).reason),
      ['NameTaken'],
    );
    assert.equal(await rig.condition(namespace, 'Reconciling'), undefined);
    await scene.remove(namespace);
    await isGone(namespace);
  });

  test('and is ours wants no pod after a foreground deletion, which does not take it: its pods are waited for', async () => {
    const namespace = 'own-foreground';
    await scene.running(namespace, deleted(), four);
    await rig.settled(await rig.audit.mark());
    await rig.patchRelay(namespace, { suspend: true });
    await rig.waitForReason(namespace, 'Ready', 'Suspended');
    await rig.client.mergePatch(deployments, ref(namespace), { metadata: { ownerReferences: null } });
    await scene.remove(namespace, 'Foreground');
    const live = await rig.waitFor(deployments, ref(namespace), ({ spec }) => spec?.replicas === 0);
    assert.equal(live.metadata.ownerReferences, undefined);
    const { message } = await rig.waitForReason(namespace, 'Ready', 'Draining');
    assert.match(message, /the end of pod mail-a|scaled to nothing/);
    await rig.client.delete(pods, ref(namespace, 'mail-a'), { gracePeriodSeconds: 0 });
    await isLetGo(namespace);
    const claim = await scene.claim(namespace);
    assert.equal(claim.metadata.ownerReferences, undefined);
    assert.equal(unsentOn(claim), '4');
  });
});
