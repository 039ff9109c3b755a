/** Pods that admission lets nobody change: they learn of what is new by their kubelet all the same. */
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { mailRelays } from '../../operator/api/mail-relay.ts';
import { annotations } from '../../operator/api/names.ts';
import { pods } from '../../operator/reconcile/caches.ts';
import { configMaps, deployments } from '../../operator/resources/kinds.ts';
import { fingerprintOf } from '../../relay/config/fingerprint.ts';
import { waitUntil } from '../kube/wait-until.ts';
import { openProvider, Rig, ref, relayStatus } from './rig.ts';
import { unanswered, webhooks } from './unanswered.ts';
import { unchangeable } from './unchangeable.ts';

const [primary] = relayStatus('').providers;
const runs = (fingerprint: string) => relayStatus(fingerprint, { providers: [primary!] });

describe('a pod that may not be changed', () => {
  let rig: Rig;
  before(async () => {
    rig = await Rig.start();
    await rig.operator();
  });
  after(() => rig?.stop());

  const wanted = async (namespace: string): Promise<string> =>
    fingerprintOf((await rig.client.get(configMaps, ref(namespace, 'mail-config'))).data!['config.json']!);
  const told = async (namespace: string, pod: string): Promise<string | undefined> =>
    (await rig.client.get(pods, ref(namespace, pod))).metadata.annotations?.[annotations.configFingerprint];
  /** Two pods that run what is wanted. Resolves with their addresses. */
  const started = async (name: string): Promise<string[]> => {
    const namespace = await rig.namespace(name);
    const spool = { drainTimeoutSeconds: 1 };
    await rig.createRelay(namespace, { ...openProvider, spool });
    const { metadata } = await rig.waitFor(deployments, ref(namespace));
    await rig.bind(namespace);
    const answer = runs(await wanted(namespace));
    const addresses = [
      await rig.createPod(namespace, 'mail-a', answer),
      await rig.createPod(namespace, 'mail-b', answer),
    ];
    const counts = { replicas: 1, readyReplicas: 1, updatedReplicas: 1, availableReplicas: 1 };
    const status = { observedGeneration: metadata.generation, ...counts };
    await rig.client.mergePatch(deployments, ref(namespace), { status }, { subresource: 'status' });
    await rig.waitForReason(namespace, 'Ready', 'Available');
    return addresses;
  };
  /** As pods whose kubelet has brought it by itself. Resolves with the configuration. */
  const changed = async (namespace: string, addresses: readonly string[]): Promise<string> => {
    const before = await wanted(namespace);
    await rig.patchRelay(namespace, { retry: { attempts: 7 } });
    await waitUntil('the configuration is written', async () => (await wanted(namespace)) !== before);
    const fingerprint = await wanted(namespace);
    for (const address of addresses) rig.answers.set(address, runs(fingerprint));
    return fingerprint;
  };
  /** Ready says it of the spec as it is now, and nothing is under way. */
  const isInForce = (namespace: string): Promise<void> =>
    waitUntil('the new spec is in force', async () => {
      const { metadata } = await rig.relay(namespace);
      const ready = await rig.condition(namespace, 'Ready');
      const isNow = ready?.reason === 'Available' && ready.observedGeneration === metadata.generation;
      return isNow && (await rig.condition(namespace, 'Reconciling')) === undefined;
    });

  test('since that is refused holds up no other pod and no drain, and is no failure', async () => {
    const namespace = 'refused';
    const addresses = await started(namespace);
    await unchangeable(rig, pods, ref(namespace, 'mail-a'), 'object.metadata.name != "mail-a"');
    const fingerprint = await changed(namespace, addresses);
    await isInForce(namespace);
    assert.notEqual(await told(namespace, 'mail-a'), fingerprint);
    assert.equal(await told(namespace, 'mail-b'), fingerprint);
    const mark = await rig.audit.mark();
    assert.deepEqual(await rig.settled(mark, 3000), []);
    await rig.client.delete(mailRelays, ref(namespace));
    await rig.waitFor(deployments, ref(namespace), ({ spec }) => spec?.replicas === 0);
  });

  test('for the moment is told later, and what is in force is said meanwhile', async () => {
    const namespace = 'unanswered';
    const addresses = await started(namespace);
    const { metadata } = await rig.client.create(webhooks, unanswered(pods, namespace));
    const attempt = { metadata: { annotations: { 'example.com/try': '1' } } };
    await waitUntil('no pod can be changed', () =>
      rig.client.mergePatch(pods, ref(namespace, 'mail-a'), attempt).then(
        () => false,
        () => true,
      ),
    );
    const fingerprint = await changed(namespace, addresses);
    await isInForce(namespace);
    await rig.client.delete(webhooks, metadata);
    for (const pod of ['mail-a', 'mail-b']) {
      const isTold = async () => (await told(namespace, pod)) === fingerprint;
      await waitUntil(`${pod} is told`, isTold, 60_000);
    }
  });
});
