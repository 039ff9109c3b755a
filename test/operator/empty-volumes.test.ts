/** Whether a volume that was called empty still is, when its MailRelay goes and is to take it along. */
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { mailRelays } from '../../operator/api/mail-relay.ts';
import { annotations } from '../../operator/api/names.ts';
import type { MailRelaySpecInput } from '../../operator/api/schema.ts';
import type { Resource } from '../../operator/kube/resource.ts';
import type { Operator } from '../../operator/operator.ts';
import { pods } from '../../operator/reconcile/caches.ts';
import {
  configMaps,
  deployments,
  networkPolicies,
  type PersistentVolumeClaim,
  persistentVolumeClaims,
  podDisruptionBudgets,
  serviceAccounts,
  services,
  statefulSets,
} from '../../operator/resources/kinds.ts';
import { waitUntil } from '../kube/wait-until.ts';
import { gone } from './gone.ts';
import { openProvider, Rig, ref, relayStatus } from './rig.ts';

const empty = relayStatus('', { draining: true });
/** Its volumes are to go with it. */
const perReplica: MailRelaySpecInput = {
  ...openProvider,
  spool: { mode: 'PerReplica', retention: 'Delete' },
};
/** Of what has the MailRelay's own name. */
const everyKind: readonly Resource[] = [
  serviceAccounts,
  services,
  networkPolicies,
  podDisruptionBudgets,
  statefulSets,
];
const shared: MailRelaySpecInput = { ...openProvider, spool: { retention: 'Delete' } };

describe('the volume of a replica that is gone', () => {
  let rig: Rig;
  let operator: Operator;
  before(async () => {
    rig = await Rig.start();
    operator = await rig.operator();
  });
  after(() => rig?.stop());

  const claimOf = (namespace: string, name: string): Promise<PersistentVolumeClaim> =>
    rig.client.get(persistentVolumeClaims, { name, namespace });
  const unsentOn = ({ metadata }: PersistentVolumeClaim): string | undefined =>
    metadata.annotations?.[annotations.unsentMessages];
  /** Deletes it, which it may have been already, and waits until it is gone. */
  const removed = async (namespace: string): Promise<void> => {
    await rig.client.delete(mailRelays, ref(namespace));
    await gone(rig, namespace);
  };
  const scale = (resource: Resource, namespace: string, replicas: number): Promise<unknown> =>
    rig.client.mergePatch(resource, ref(namespace), { spec: { replicas } }, { subresource: 'scale' });
  /** Two replicas that became one: what the other had is sent. */
  const scaledDown = async (namespace: string, spec: MailRelaySpecInput): Promise<void> => {
    await rig.namespace(namespace);
    await rig.createRelay(namespace, { ...spec, replicas: 2 });
    await rig.waitFor(statefulSets, ref(namespace));
    for (const at of [0, 1]) {
      await rig.createClaim(namespace, `spool-mail-${at}`);
      await rig.createPod(namespace, `mail-${at}`, empty);
    }
    await rig.patchRelay(namespace, { replicas: 1 });
    await rig.waitFor(statefulSets, ref(namespace), ({ spec: { replicas } = {} }) => replicas === 1);
    await rig.client.delete(pods, { name: 'mail-1', namespace }, { gracePeriodSeconds: 0 });
    await rig.settled(await rig.audit.mark());
    assert.equal(unsentOn(await claimOf(namespace, 'spool-mail-1')), '0');
  };
  const isKept = async (namespace: string, name: string): Promise<void> => {
    const claim = await claimOf(namespace, name);
    assert.deepEqual(claim.metadata.ownerReferences ?? [], []);
    assert.equal(unsentOn(claim), 'unknown');
    const told = await rig.waitForEvent(namespace, 'DeleteLeftMail');
    assert.match(told, new RegExp(`on ${name}: perhaps unsent messages, dead letters or quarantined files`));
  };
  const goes = async (namespace: string, name: string): Promise<void> => {
    const claim = await claimOf(namespace, name);
    assert.equal(claim.metadata.ownerReferences?.length, 1, `${name} goes`);
    assert.equal(unsentOn(claim), '0');
  };
  const changeImage = async (namespace: string, image: string): Promise<void> => {
    await rig.patchRelay(namespace, { image });
    await rig.waitFor(
      statefulSets,
      ref(namespace),
      ({ spec }) => spec?.template.spec?.containers[0]?.image === image,
    );
  };
  /** As `kubectl rollout restart` does it. */
  const restartPods = (namespace: string, at: string): Promise<unknown> => {
    const metadata = { annotations: { 'kubectl.kubernetes.io/restartedAt': at } };
    return rig.client.mergePatch(statefulSets, ref(namespace), { spec: { template: { metadata } } });
  };

  test('is kept when somebody had the replica back for a while during a suspension', async () => {
    const namespace = 'suspended';
    await scaledDown(namespace, perReplica);
    await rig.patchRelay(namespace, { suspend: true });
    await rig.waitForReason(namespace, 'Ready', 'Suspended');
    await scale(statefulSets, namespace, 2);
    await scale(statefulSets, namespace, 1);
    await removed(namespace);
    await isKept(namespace, 'spool-mail-1');
    await goes(namespace, 'spool-mail-0');
  });

  test('is kept, and says so before, when somebody had the replica back while no operator ran', async () => {
    const namespace = 'no-operator';
    await scaledDown(namespace, perReplica);
    await rig.stopOperator(operator);
    await scale(statefulSets, namespace, 2);
    await scale(statefulSets, namespace, 1);
    operator = await rig.operator();
    const { message } = await rig.waitForReason(namespace, 'SpoolHealthy', 'MailLeftBehind');
    assert.match(message, /spool-mail-1 \(unknown\)/);
    assert.equal(unsentOn(await claimOf(namespace, 'spool-mail-1')), 'unknown');
    await removed(namespace);
    await isKept(namespace, 'spool-mail-1');
  });

  test('is not called empty by another pod that has the address of its pod meanwhile', async () => {
    const namespace = await rig.namespace('addresses');
    const spool = { mode: 'PerReplica', retention: 'Delete', drainTimeoutSeconds: 15 } as const;
    await rig.createRelay(namespace, { ...openProvider, spool, replicas: 2 });
    await rig.waitFor(statefulSets, ref(namespace));
    await rig.createClaim(namespace, 'spool-mail-1');
    const { queue } = empty;
    const full = { host: 'mail-1', queue: { ...queue, failed: { messages: 4, bytes: 4 } } };
    const ip = await rig.createPod(namespace, 'mail-1', relayStatus('', full));
    await waitUntil(
      'its mail is known',
      async () => (await rig.relay(namespace)).status?.queue?.failed === 4,
    );
    rig.answers.set(ip, { ...empty, host: 'other-6b7f8c9d-x2x2x' });
    await rig.patchRelay(namespace, { replicas: 1 });
    await rig.waitFor(statefulSets, ref(namespace), ({ spec: { replicas } = {} }) => replicas === 1);
    assert.equal(unsentOn(await claimOf(namespace, 'spool-mail-1')), '4');
  });

  test('is kept when it is that of all pods, and somebody had one back for a while', async () => {
    const namespace = await rig.namespace('all-pods');
    await rig.createRelay(namespace, shared);
    await rig.waitFor(deployments, ref(namespace));
    await rig.bind(namespace);
    await rig.createPod(namespace, 'mail-a', empty);
    await rig.patchRelay(namespace, { replicas: 0 });
    await rig.waitFor(deployments, ref(namespace), ({ spec }) => spec?.replicas === 0);
    await rig.client.delete(pods, { name: 'mail-a', namespace }, { gracePeriodSeconds: 0 });
    await rig.settled(await rig.audit.mark());
    assert.equal(unsentOn(await claimOf(namespace, 'mail-spool')), '0');
    await rig.stopOperator(operator);
    await scale(deployments, namespace, 1);
    await scale(deployments, namespace, 0);
    await rig.client.delete(mailRelays, ref(namespace));
    operator = await rig.operator();
    await removed(namespace);
    await isKept(namespace, 'mail-spool');
  });

  test('goes when the replica has not come back, whatever else was changed', async () => {
    const namespace = 'other-changes';
    await scaledDown(namespace, perReplica);
    for (const image of ['relay:2', 'relay:3']) {
      await changeImage(namespace, image);
      await restartPods(namespace, image);
      await rig.settled(await rig.audit.mark());
    }
    await rig.stopOperator(operator);
    await restartPods(namespace, 'while no operator runs');
    operator = await rig.operator();
    const mark = await rig.audit.mark();
    await rig.settled(mark);
    assert.deepEqual(await rig.settled(await rig.audit.mark()), []);
    assert.equal((await rig.relay(namespace)).status?.heldVolumes, undefined);
    await removed(namespace);
    await goes(namespace, 'spool-mail-0');
    await goes(namespace, 'spool-mail-1');
  });

  test('goes with a later MailRelay of the name that never had the replica', async () => {
    const namespace = 'later';
    await scaledDown(namespace, { ...perReplica, spool: { mode: 'PerReplica', retention: 'Retain' } });
    await changeImage(namespace, 'relay:2');
    const before = await rig.client.get(statefulSets, ref(namespace));
    await removed(namespace);
    await rig.createRelay(namespace, perReplica);
    // The garbage collector comes late.
    await rig.waitForReason(namespace, 'Reconciling', 'Retrying');
    assert.equal(unsentOn(await claimOf(namespace, 'spool-mail-1')), '0');
    for (const resource of everyKind) await rig.client.delete(resource, ref(namespace));
    await rig.client.delete(services, { name: 'mail-pods', namespace });
    await rig.client.delete(configMaps, { name: 'mail-config', namespace });
    await rig.waitFor(statefulSets, ref(namespace), ({ metadata }) => metadata.uid !== before.metadata.uid);
    await rig.createPod(namespace, 'mail-0', empty);
    await changeImage(namespace, 'relay:3');
    await rig.settled(await rig.audit.mark());
    assert.equal((await rig.relay(namespace)).status?.heldVolumes, undefined);
    await removed(namespace);
    await goes(namespace, 'spool-mail-1');
  });
});
