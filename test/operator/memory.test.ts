import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { mailRelays } from '../../operator/api/mail-relay.ts';
import { annotations } from '../../operator/api/names.ts';
import type { Operator } from '../../operator/operator.ts';
import { type Pod, pods } from '../../operator/reconcile/caches.ts';
import { deployments, persistentVolumeClaims, statefulSets } from '../../operator/resources/kinds.ts';
import { selectorLabels } from '../../operator/resources/names.ts';
import { waitUntil } from '../kube/wait-until.ts';
import { openProvider, Rig, relayStatus } from './rig.ts';

const [primary] = relayStatus('').providers;
const [busy, none] = [
  { messages: 4, bytes: 40 },
  { messages: 0, bytes: 0 },
];
const queue = { active: none, failed: busy, held: none, dead: none };

describe('what an operator knows of a MailRelay', () => {
  let rig: Rig;
  let operator: Operator;
  before(async () => {
    rig = await Rig.start();
    operator = await rig.operator();
  });
  after(() => rig?.stop());

  test('is not unsaid when another operator begins, which writes nothing', async () => {
    const namespace = await rig.namespace('restart');
    await rig.createRelay(namespace, openProvider);
    const ref = { name: 'mail', namespace };
    const { metadata } = await rig.waitFor(deployments, ref);
    const status = {
      observedGeneration: metadata.generation,
      replicas: 1,
      readyReplicas: 1,
      updatedReplicas: 1,
    };
    await rig.client.mergePatch(deployments, ref, { status }, { subresource: 'status' });
    await waitUntil(
      'the configuration is known',
      async () => (await rig.relay(namespace)).status?.config !== undefined,
    );
    const fingerprint = (await rig.relay(namespace)).status?.config?.fingerprint ?? '';
    await rig.createPod(namespace, 'mail-a', relayStatus(fingerprint, { providers: [primary!] }));
    await rig.waitForReason(namespace, 'Ready', 'Available');
    await rig.settled(await rig.audit.mark());
    await rig.stopOperator(operator);
    const mark = await rig.audit.mark();
    operator = await rig.operator();
    assert.deepEqual(await rig.settled(mark), []);
    assert.equal((await rig.condition(namespace, 'Ready'))?.reason, 'Available');
  });

  test('of a volume with mail stays while it is suspended; requests wait for its end', async () => {
    const namespace = await rig.namespace('remembered');
    const spool = { mode: 'PerReplica', drainTimeoutSeconds: 1 } as const;
    await rig.createRelay(namespace, { ...openProvider, replicas: 2, spool });
    const ref = { name: 'mail', namespace };
    const { metadata } = await rig.waitFor(statefulSets, ref);
    await rig.client.create(persistentVolumeClaims, {
      metadata: { name: 'spool-mail-1', namespace, labels: metadata.labels! },
      spec: { accessModes: ['ReadWriteOnce'], resources: { requests: { storage: '10Gi' } } },
    });
    await rig.createPod(namespace, 'mail-1', relayStatus('', { queue }));
    await waitUntil('it is counted', async () => (await rig.relay(namespace)).status?.queue?.failed === 4);
    await rig.patchRelay(namespace, { replicas: 1 });
    const held = async (): Promise<unknown> =>
      (await rig.relay(namespace)).status?.heldVolumes?.map(({ claim, messages }) => [claim, messages]);
    await rig.waitForReason(namespace, 'SpoolHealthy', 'MailLeftBehind');
    await rig.patchRelay(namespace, { suspend: true });
    await rig.waitForReason(namespace, 'Ready', 'Suspended');
    assert.deepEqual(await held(), [['spool-mail-1', 4]]);
    const asked = { metadata: { annotations: { [annotations.resendRequestedAt]: 'now' } } };
    await rig.client.mergePatch(mailRelays, { name: 'mail', namespace }, asked);
    await rig.settled(await rig.audit.mark());
    assert.equal((await rig.relay(namespace)).status?.lastHandledResendAt, undefined);
    await rig.patchRelay(namespace, { suspend: false });
    await waitUntil(
      'it is handled',
      async () => (await rig.relay(namespace)).status?.lastHandledResendAt === 'now',
    );
    assert.deepEqual(await held(), [['spool-mail-1', 4]]);
  });

  test('of the time to drain begins when it is no longer suspended', async () => {
    const namespace = await rig.namespace('paused');
    const spool = { mode: 'PerReplica', drainTimeoutSeconds: 5 } as const;
    await rig.createRelay(namespace, { ...openProvider, replicas: 2, spool });
    const ref = { name: 'mail', namespace };
    await rig.waitFor(statefulSets, ref);
    await rig.createPod(namespace, 'mail-1', relayStatus('', { queue }));
    await waitUntil('it is counted', async () => (await rig.relay(namespace)).status?.queue?.failed === 4);
    await rig.patchRelay(namespace, { suspend: true, replicas: 1 });
    await rig.waitForReason(namespace, 'Ready', 'Suspended');
    await new Promise(resolve => setTimeout(resolve, 5500));
    await rig.patchRelay(namespace, { suspend: false });
    await rig.waitForReason(namespace, 'Reconciling', 'ScalingDown');
    assert.equal((await rig.client.get(statefulSets, ref)).spec?.replicas, 2);
  });

  test('does not come from a pod that only has the labels, which is left alone', async () => {
    const namespace = await rig.namespace('foreign-pod');
    await rig.createRelay(namespace, openProvider);
    await rig.waitForReason(namespace, 'Ready', 'PodsUnavailable');
    const impostor = { name: 'impostor', namespace };
    const spec = { containers: [{ name: 'relay', image: 'relay' }] };
    const labels = selectorLabels({ name: 'mail' });
    await rig.client.create(pods, { metadata: { ...impostor, labels }, spec } as Pod);
    const status = { phase: 'Running', podIP: '10.9.9.9' };
    rig.answers.set(status.podIP, relayStatus('', { queue }));
    await rig.client.mergePatch(pods, impostor, { status }, { subresource: 'status' });
    await rig.createPod(namespace, 'mail-a', relayStatus(''));
    await waitUntil('ours is counted', async () => (await rig.relay(namespace)).status?.queue !== undefined);
    await rig.settled(await rig.audit.mark());
    assert.equal((await rig.relay(namespace)).status?.queue?.failed, 0);
    const { metadata } = await rig.client.get(pods, impostor);
    assert.equal(metadata.annotations?.[annotations.configFingerprint], undefined);
  });
});
