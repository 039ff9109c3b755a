/** The end of a MailRelay: nothing is judged and nothing let go before its last pod is gone. */
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { mailRelays } from '../../operator/api/mail-relay.ts';
import { annotations, drainFinalizer, labels } from '../../operator/api/names.ts';
import type { OwnerReference } from '../../operator/kube/object.ts';
import type { Operator } from '../../operator/operator.ts';
import { pods } from '../../operator/reconcile/caches.ts';
import { configMaps, deployments, statefulSets } from '../../operator/resources/kinds.ts';
import { waitUntil } from '../kube/wait-until.ts';
import { DeletionScene, deleted, four, none, unsentOn } from './deletion-scene.ts';
import { gone } from './gone.ts';
import { Rig, ref, relayStatus } from './rig.ts';

const another: OwnerReference = {
  ...{ apiVersion: 'v1', kind: 'ConfigMap', name: 'theirs', uid: 'theirs', controller: true },
};

describe('a MailRelay that is deleted', () => {
  let rig: Rig;
  let scene: DeletionScene;
  let operator: Operator;
  before(async () => {
    rig = await Rig.start();
    scene = new DeletionScene(rig);
    operator = await rig.operator();
  });
  after(() => rig?.stop());

  /** Not let go, and nothing of its volume is judged. */
  const isHeld = async (namespace: string): Promise<void> => {
    assert.deepEqual((await rig.relay(namespace)).metadata.finalizers, [drainFinalizer]);
    assert.equal((await scene.claim(namespace)).metadata.ownerReferences, undefined);
  };
  /** Words alone are written once a minute. */
  const waitsFor = (namespace: string, words: RegExp): Promise<void> => {
    const isSaid = async () => {
      const ready = await rig.condition(namespace, 'Ready');
      return ready?.reason === 'Draining' && words.test(ready.message);
    };
    return waitUntil(`it says ${words}`, isSaid, 90_000);
  };

  test('waits for pods that have sent everything, also while they end: they may write on the volume', async () => {
    const namespace = 'ending';
    const pod = ref(namespace, 'mail-a');
    const ip = await scene.running(namespace, deleted(), four);
    await rig.client.mergePatch(pods, pod, { metadata: { finalizers: ['example.com/hold'] } });
    await scene.remove(namespace);
    await scene.drains(namespace, 'mail-a');
    rig.answers.set(ip, relayStatus('', { draining: true }));
    await rig.waitFor(deployments, ref(namespace), ({ spec }) => spec?.replicas === 0);
    await waitsFor(namespace, /the end of pod mail-a/);
    await isHeld(namespace);
    await rig.client.delete(pods, pod, { gracePeriodSeconds: 0 });
    await rig.waitFor(pods, pod, ({ metadata }) => metadata.deletionTimestamp !== undefined);
    await rig.settled(await rig.audit.mark());
    await waitsFor(namespace, /the end of pod mail-a.*kubectl .*delete pod mail-a --force/);
    await isHeld(namespace);
    const mark = await rig.audit.mark();
    await delay(7000);
    const looks = (await rig.audit.since(mark)).filter(
      ({ verb, objectRef, userAgent = '' }) =>
        `${verb} ${objectRef?.resource} ${objectRef?.namespace}` === `get deployments ${namespace}` &&
        userAgent.startsWith('mailrelay-operator/'),
    );
    assert.ok(looks.length < 2, `${looks.length} looks while nothing happens`);
    await rig.client.mergePatch(pods, pod, { metadata: { finalizers: null } });
    await gone(rig, namespace);
    const claim = await scene.claim(namespace);
    assert.equal(claim.metadata.ownerReferences?.length, 1);
    assert.equal(unsentOn(claim), '0');
  });

  test('waits until the controller has seen that no pod is wanted any more', async () => {
    const namespace = 'unseen';
    await scene.running(namespace, deleted({ drainTimeoutSeconds: 1 }), four);
    const { metadata } = await rig.client.get(deployments, ref(namespace));
    const sees = (observedGeneration: number | undefined): Promise<unknown> =>
      rig.client.mergePatch(
        deployments,
        ref(namespace),
        { status: { observedGeneration } },
        { subresource: 'status' },
      );
    await sees(metadata.generation);
    await scene.remove(namespace);
    const live = await rig.waitFor(deployments, ref(namespace), ({ spec }) => spec?.replicas === 0);
    await rig.client.delete(pods, ref(namespace, 'mail-a'), { gracePeriodSeconds: 0 });
    await waitsFor(namespace, /Deployment mail must first be scaled to nothing/);
    await isHeld(namespace);
    await sees(live.metadata.generation);
    await gone(rig, namespace);
    assert.equal(unsentOn(await scene.claim(namespace)), '4');
  });

  test('waits for the pods of a workload that somebody deleted', async () => {
    const namespace = 'no-workload';
    await scene.running(namespace, deleted(), four);
    await rig.client.mergePatch(pods, ref(namespace, 'mail-a'), {
      metadata: { finalizers: ['example.com/hold'] },
    });
    await rig.patchRelay(namespace, { suspend: true });
    await rig.waitForReason(namespace, 'Ready', 'Suspended');
    await rig.client.delete(deployments, ref(namespace));
    await rig.client.delete(pods, ref(namespace, 'mail-a'), { gracePeriodSeconds: 0 });
    await scene.remove(namespace);
    await waitsFor(namespace, /the end of pod mail-a/);
    await isHeld(namespace);
    await rig.client.mergePatch(pods, ref(namespace, 'mail-a'), { metadata: { finalizers: null } });
    await gone(rig, namespace);
    assert.equal((await scene.claim(namespace)).metadata.ownerReferences, undefined);
  });

  test('goes when its time is up though its pods could not be told: the configuration is somebody else’s', async () => {
    const namespace = 'untold';
    await scene.running(namespace, deleted({ drainTimeoutSeconds: 1 }), four);
    await rig.client.mergePatch(configMaps, ref(namespace, 'mail-config'), {
      metadata: { ownerReferences: [another] },
    });
    await rig.waitForReason(namespace, 'Stalled', 'NameTaken');
    await scene.remove(namespace);
    await gone(rig, namespace);
    const claim = await scene.claim(namespace);
    assert.equal(claim.metadata.ownerReferences, undefined);
    assert.equal(unsentOn(claim), '4');
  });

  test('has its pods drained also when their workload lost the label that it is found by during a suspension', async () => {
    const namespace = 'unlabelled';
    const ip = await scene.running(namespace, deleted(), four);
    await rig.patchRelay(namespace, { suspend: true });
    await rig.waitForReason(namespace, 'Ready', 'Suspended');
    await rig.settled(await rig.audit.mark());
    await rig.client.mergePatch(deployments, ref(namespace), {
      metadata: { labels: { [labels.managedBy]: 'Helm' } },
    });
    await scene.remove(namespace);
    await scene.drains(namespace, 'mail-a');
    assert.equal((await rig.client.get(deployments, ref(namespace))).spec?.replicas, 1);
    rig.answers.set(ip, relayStatus('', { draining: true }));
    await rig.waitFor(deployments, ref(namespace), ({ spec }) => spec?.replicas === 0);
    await rig.client.delete(pods, ref(namespace, 'mail-a'), { gracePeriodSeconds: 0 });
    await gone(rig, namespace);
    assert.equal(unsentOn(await scene.claim(namespace)), '0');
  });

  test('takes the pods of all replicas away before it goes', async () => {
    const namespace = await rig.namespace('replicas');
    await rig.createRelay(namespace, {
      ...deleted({ mode: 'PerReplica', drainTimeoutSeconds: 1 }),
      replicas: 2,
    });
    await rig.waitFor(statefulSets, ref(namespace));
    for (const at of [0, 1]) {
      await rig.createClaim(namespace, `spool-mail-${at}`);
      await rig.createPod(namespace, `mail-${at}`, relayStatus('', { queue: at === 0 ? four : none }));
    }
    await scene.counted(namespace, 4);
    await scene.remove(namespace);
    await rig.waitFor(statefulSets, ref(namespace), ({ spec }) => spec?.replicas === 0);
    await waitsFor(namespace, /the end of pods mail-0, mail-1/);
    await rig.client.delete(pods, ref(namespace, 'mail-1'), { gracePeriodSeconds: 0 });
    await rig.settled(await rig.audit.mark());
    assert.deepEqual((await rig.relay(namespace)).metadata.finalizers, [drainFinalizer]);
    await gone(rig, namespace);
    assert.equal(unsentOn(await scene.claim(namespace, 'spool-mail-0')), '4');
  });

  test('goes on with an operator that starts in the middle of the drain', async () => {
    const namespace = 'restarted';
    const ip = await scene.running(namespace, deleted({ drainTimeoutSeconds: 600 }), four);
    await scene.remove(namespace);
    await scene.drains(namespace, 'mail-a');
    await rig.stopOperator(operator);
    const { asked } = rig;
    operator = await rig.operator();
    await waitUntil('it has asked the pod', () => rig.asked > asked);
    await rig.settled(await rig.audit.mark());
    assert.deepEqual((await rig.relay(namespace)).metadata.finalizers, [drainFinalizer]);
    rig.answers.set(ip, relayStatus('', { draining: true }));
    await gone(rig, namespace);
    const claim = await scene.claim(namespace);
    assert.equal(unsentOn(claim), '0', JSON.stringify(claim));
    assert.equal(claim.metadata.annotations?.[annotations.deadMessages], '0');
    assert.equal(await rig.client.find(mailRelays, ref(namespace)), undefined);
  });
});
