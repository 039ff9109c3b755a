import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { mailRelays } from '../../operator/api/mail-relay.ts';
import { annotations } from '../../operator/api/names.ts';
import { pods } from '../../operator/reconcile/caches.ts';
import type { RelayStatus } from '../../operator/reconcile/relay-status.ts';
import { configMaps, deployments, services, statefulSets } from '../../operator/resources/kinds.ts';
import { waitUntil } from '../kube/wait-until.ts';
import { DeletionScene, deleted, four, none, unsentOn } from './deletion-scene.ts';
import { gone } from './gone.ts';
import { Rig, ref, relayStatus } from './rig.ts';

/** They wait more than they work: for grace times and for pods that are asked again. */
const atOnce = { concurrency: 4 };

describe('the deletion of a MailRelay whose volume is to go with it', atOnce, () => {
  let rig: Rig;
  let scene: DeletionScene;
  before(async () => {
    rig = await Rig.start();
    scene = new DeletionScene(rig);
    await rig.operator();
  });
  after(() => rig?.stop());

  test('lets the volume go when it is known to be empty', async () => {
    const namespace = 'emptied';
    const ip = await scene.running(namespace, deleted(), four);
    assert.equal((await scene.claim(namespace)).metadata.ownerReferences, undefined);
    const { metadata } = await rig.relay(namespace);
    await scene.remove(namespace);
    await scene.drains(namespace, 'mail-a');
    assert.equal((await scene.claim(namespace)).metadata.ownerReferences, undefined);
    rig.answers.set(ip, relayStatus('', { draining: true }));
    await gone(rig, namespace);
    const claim = await scene.claim(namespace);
    assert.deepEqual(
      claim.metadata.ownerReferences?.map(({ uid }) => uid),
      [metadata.uid],
    );
    assert.equal(unsentOn(claim), '0');
  });

  test('keeps the volume when its mail could not be sent in time, and says how much that is', async () => {
    const namespace = 'not-in-time';
    await scene.running(namespace, deleted({ drainTimeoutSeconds: 1 }), four);
    await scene.remove(namespace);
    await gone(rig, namespace);
    const claim = await scene.claim(namespace);
    assert.equal(claim.metadata.ownerReferences, undefined);
    assert.equal(unsentOn(claim), '4');
    assert.match(
      await rig.waitForEvent(namespace, 'DeleteLeftMail'),
      /^on mail-spool: 4 unsent messages, .*so that it is kept; /,
    );
  });

  test('keeps the volume of a pod that was never heard from', async () => {
    const namespace = 'never-heard';
    await scene.running(namespace, deleted({ drainTimeoutSeconds: 1 }), undefined);
    await scene.remove(namespace);
    await gone(rig, namespace);
    assert.equal(unsentOn(await scene.claim(namespace)), 'unknown');
    assert.equal((await scene.claim(namespace)).metadata.ownerReferences, undefined);
    assert.match(
      await rig.waitForEvent(namespace, 'DeleteLeftMail'),
      /^on mail-spool: perhaps unsent messages, dead letters or quarantined files, so that it is kept; /,
    );
  });

  const left: readonly {
    readonly namespace: string;
    readonly on: string;
    readonly more: Partial<RelayStatus>;
    readonly marks: readonly [unsent: string, dead: string, quarantined: string];
    readonly told: RegExp;
  }[] = [
    {
      namespace: 'dead-letters',
      on: 'dead letters are on it, for which nothing waits',
      more: { queue: { ...none, dead: { messages: 3, bytes: 30 } } },
      marks: ['0', '3', '0'],
      told: /^on mail-spool: 3 dead letters, so that it is kept; /,
    },
    {
      namespace: 'quarantined',
      on: 'a file is in quarantine on it, for which nothing waits',
      more: { quarantine: { files: 1 } },
      marks: ['0', '0', '1'],
      told: /^on mail-spool: 1 quarantined file, so that it is kept; /,
    },
    {
      namespace: 'older-relay',
      on: 'its pod is of a version that says nothing of quarantine',
      more: { quarantine: undefined } as unknown as Partial<RelayStatus>,
      marks: ['0', '0', 'unknown'],
      told: /^on mail-spool: perhaps quarantined files, so that it is kept; /,
    },
  ];
  for (const { namespace, on, more, marks, told } of left) {
    test(`keeps the volume when ${on}`, async () => {
      const ip = await scene.running(namespace, deleted({ drainTimeoutSeconds: 600 }), none);
      rig.answers.set(ip, relayStatus('', { draining: true, ...more }));
      await scene.remove(namespace);
      await gone(rig, namespace);
      const { metadata } = await scene.claim(namespace);
      assert.equal(metadata.ownerReferences, undefined);
      const names = [annotations.unsentMessages, annotations.deadMessages, annotations.quarantinedFiles];
      assert.deepEqual(
        names.map(name => metadata.annotations?.[name]),
        marks,
      );
      assert.match(await rig.waitForEvent(namespace, 'DeleteLeftMail'), told);
    });
  }

  test('lets the volume go that was kept for dead letters once another MailRelay has had them expire', async () => {
    const namespace = 'expired';
    const ip = await scene.running(namespace, deleted(), none);
    const queue = { ...none, dead: { messages: 3, bytes: 30 } };
    rig.answers.set(ip, relayStatus('', { draining: true, queue }));
    await scene.remove(namespace);
    await gone(rig, namespace);
    await scene.removeChildren(namespace);
    await rig.createRelay(namespace, deleted());
    await rig.waitFor(deployments, ref(namespace));
    await waitUntil(
      'the claim says nothing more',
      async () => unsentOn(await scene.claim(namespace)) === undefined,
    );
    assert.equal((await scene.claim(namespace)).metadata.annotations?.[annotations.deadMessages], undefined);
    await rig.createPod(namespace, 'mail-b', relayStatus('', { draining: true }));
    await scene.counted(namespace, 0);
    const { metadata } = await rig.relay(namespace);
    await scene.remove(namespace);
    await gone(rig, namespace);
    const claim = await scene.claim(namespace);
    assert.deepEqual(
      claim.metadata.ownerReferences?.map(({ uid }) => uid),
      [metadata.uid],
    );
  });

  test('drains what runs when the spec is wrong by then', async () => {
    const namespace = 'wrong-spec';
    const ip = await scene.running(namespace, deleted(), four);
    await rig.withoutRules(() =>
      rig.patchRelay(namespace, { resend: { initialDelaySeconds: 600, maxDelaySeconds: 60 } }),
    );
    await rig.waitForReason(namespace, 'Stalled', 'InvalidConfiguration');
    await scene.remove(namespace);
    await rig.waitForReason(namespace, 'Ready', 'Draining');
    await scene.drains(namespace, 'mail-a');
    const config = await rig.client.get(configMaps, { name: 'mail-config', namespace });
    assert.match(config.data!['config.json']!, /smtp.primary.com/);
    assert.doesNotMatch(config.data!['config.json']!, /"maxDelaySeconds": 60\b/);
    const pod = await rig.client.get(pods, { name: 'mail-a', namespace });
    const { status } = await rig.relay(namespace);
    assert.equal(pod.metadata.annotations?.[annotations.configFingerprint], status?.config?.fingerprint);
    rig.answers.set(ip, relayStatus('', { draining: true }));
    await gone(rig, namespace);
    assert.equal((await scene.claim(namespace)).metadata.ownerReferences?.length, 1);
  });

  test('keeps every volume under foreground deletion, which takes the pods first', async () => {
    const namespace = 'foreground';
    await scene.running(namespace, deleted(), four);
    await scene.remove(namespace, 'Foreground');
    await waitUntil(
      'it is written down what the pod leaves',
      async () => unsentOn(await scene.claim(namespace)) === '4',
    );
    // The garbage collector, which is not there, takes the children, pods before their owners, and then this.
    await rig.client.delete(deployments, ref(namespace), { propagation: 'Foreground' });
    await rig.client.delete(pods, ref(namespace, 'mail-a'), { gracePeriodSeconds: 0 });
    await rig.waitFor(
      mailRelays,
      ref(namespace),
      ({ metadata }) => metadata.finalizers?.join() === 'foregroundDeletion',
    );
    const claim = await scene.claim(namespace);
    assert.equal(claim.metadata.ownerReferences, undefined);
    assert.equal(unsentOn(claim), '4');
    assert.match(
      await rig.waitForEvent(namespace, 'DeleteLeftMail'),
      /^on mail-spool: 4 unsent messages, perhaps /,
    );
    await rig.client.mergePatch(mailRelays, ref(namespace), { metadata: { finalizers: null } });
  });

  test('leaves everything as it is when the children are to stay', async () => {
    const namespace = 'orphan';
    await scene.running(namespace, deleted(), four);
    await scene.remove(namespace, 'Orphan');
    await rig.waitFor(mailRelays, ref(namespace), ({ metadata }) => metadata.finalizers?.join() === 'orphan');
    const claim = await scene.claim(namespace);
    assert.equal(claim.metadata.ownerReferences, undefined);
    assert.equal(unsentOn(claim), undefined);
    await rig.client.mergePatch(mailRelays, ref(namespace), { metadata: { finalizers: null } });
  });

  test('says what is in its way, and goes on when that is gone', async () => {
    const namespace = 'in-the-way';
    const ip = await scene.running(namespace, deleted(), four);
    const predecessor = {
      apiVersion: 'mailrelay.dev/v1alpha1',
      kind: 'MailRelay',
      name: 'mail',
      uid: 'gone',
    };
    await rig.client.mergePatch(services, ref(namespace), {
      metadata: { ownerReferences: [{ ...predecessor, controller: true }] },
    });
    await scene.remove(namespace);
    await waitUntil('it says so', async () =>
      /predecessor/.test((await rig.condition(namespace, 'Ready'))?.message ?? ''),
    );
    assert.equal((await rig.condition(namespace, 'Ready'))?.reason, 'Draining');
    await rig.client.delete(services, ref(namespace));
    await scene.drains(namespace, 'mail-a');
    rig.answers.set(ip, relayStatus('', { draining: true }));
    await gone(rig, namespace);
  });

  test('judges each volume of a StatefulSet by itself', async () => {
    const namespace = await rig.namespace('each-by-itself');
    await rig.createRelay(namespace, {
      ...deleted({ mode: 'PerReplica', drainTimeoutSeconds: 12 }),
      replicas: 3,
    });
    await rig.waitFor(statefulSets, ref(namespace));
    const queues = [none, four, undefined];
    for (const [at, queue] of queues.entries()) {
      await rig.createClaim(namespace, `spool-mail-${at}`);
      const status = queue && relayStatus('', { queue, draining: true });
      await rig.createPod(namespace, `mail-${at}`, status);
    }
    await scene.counted(namespace, 4);
    await scene.remove(namespace);
    await gone(rig, namespace);
    const claims = await Promise.all([0, 1, 2].map(at => scene.claim(namespace, `spool-mail-${at}`)));
    assert.deepEqual(claims.map(unsentOn), ['0', '4', 'unknown']);
    assert.deepEqual(
      claims.map(({ metadata }) => metadata.ownerReferences?.length ?? 0),
      [1, 0, 0],
    );
  });
});
