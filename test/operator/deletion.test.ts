import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { mailRelays } from '../../operator/api/mail-relay.ts';
import { annotations, drainFinalizer } from '../../operator/api/names.ts';
import type { MailRelaySpecInput } from '../../operator/api/schema.ts';
import type { Resource } from '../../operator/kube/resource.ts';
import type { Operator } from '../../operator/operator.ts';
import { pods } from '../../operator/reconcile/caches.ts';
import type { RelayStatus } from '../../operator/reconcile/relay-status.ts';
import {
  configMaps,
  deployments,
  networkPolicies,
  type PersistentVolumeClaim,
  persistentVolumeClaims,
  serviceAccounts,
  services,
  statefulSets,
} from '../../operator/resources/kinds.ts';
import { waitUntil } from '../kube/wait-until.ts';
import { openProvider, Rig, relayStatus } from './rig.ts';

const none = relayStatus('').queue;
const four = { ...none, failed: { messages: 4, bytes: 40 } };
/** Its volume is to go with it. */
const deleted = (more: MailRelaySpecInput['spool'] = {}): MailRelaySpecInput => ({
  ...openProvider,
  spool: { retention: 'Delete', ...more },
});

describe('the deletion of a MailRelay whose volume is to go with it', () => {
  let rig: Rig;
  let operator: Operator;
  before(async () => {
    rig = await Rig.start();
    operator = await rig.operator();
  });
  after(() => rig?.stop());

  const ref = (namespace: string) => ({ name: 'mail', namespace });
  const claimOf = (namespace: string, name = 'mail-spool'): Promise<PersistentVolumeClaim> =>
    rig.client.get(persistentVolumeClaims, { name, namespace });
  const unsentOn = ({ metadata }: PersistentVolumeClaim): string | undefined =>
    metadata.annotations?.[annotations.unsentMessages];
  const remove = (namespace: string, propagation: 'Background' | 'Foreground' | 'Orphan' = 'Background') =>
    rig.client.delete(mailRelays, ref(namespace), { propagation });
  const gone = (namespace: string, timeoutMs = 60_000): Promise<void> =>
    waitUntil(
      `${namespace}/mail is gone`,
      async () => (await rig.client.find(mailRelays, ref(namespace))) === undefined,
      timeoutMs,
    );
  const drains = (namespace: string, pod: string): Promise<unknown> =>
    rig.waitFor(configMaps, { name: 'mail-config', namespace }, ({ data }) =>
      (JSON.parse(data!['config.json']!).draining ?? []).includes(pod),
    );
  /** Counts alone are written once in 10 s, and a calm pod is asked once in 10 s. */
  const counted = (namespace: string, failed: number): Promise<void> =>
    waitUntil(
      `${failed} messages are counted`,
      async () => (await rig.relay(namespace)).status?.queue?.failed === failed,
      60_000,
    );
  /** What the garbage collector and the controllers would, which are not there. */
  const removeChildren = async (namespace: string): Promise<void> => {
    const named: readonly Resource[] = [deployments, serviceAccounts, services, networkPolicies];
    for (const resource of named) {
      await rig.client.delete(resource, ref(namespace));
    }
    await rig.client.delete(configMaps, { name: 'mail-config', namespace });
    await rig.client.delete(services, { name: 'mail-pods', namespace });
    await rig.client.delete(pods, { name: 'mail-a', namespace }, { gracePeriodSeconds: 0 });
  };
  /** A relay with one pod that has said this of its queue, or nothing at all, and a bound volume. */
  const running = async (
    namespace: string,
    spec: MailRelaySpecInput,
    queue: typeof none | undefined,
  ): Promise<string> => {
    await rig.namespace(namespace);
    await rig.createRelay(namespace, spec);
    await rig.waitFor(deployments, ref(namespace));
    await rig.bind(namespace);
    const ip = await rig.createPod(namespace, 'mail-a', queue && relayStatus('', { queue }));
    const { failed } = queue ?? none;
    if (queue !== undefined) await counted(namespace, failed.messages);
    return ip;
  };

  test('lets the volume go when it is known to be empty', async () => {
    const namespace = 'emptied';
    const ip = await running(namespace, deleted(), four);
    assert.equal((await claimOf(namespace)).metadata.ownerReferences, undefined);
    const { metadata } = await rig.relay(namespace);
    await remove(namespace);
    await drains(namespace, 'mail-a');
    assert.equal((await claimOf(namespace)).metadata.ownerReferences, undefined);
    rig.answers.set(ip, relayStatus('', { draining: true }));
    await gone(namespace);
    const claim = await claimOf(namespace);
    assert.deepEqual(
      claim.metadata.ownerReferences?.map(({ uid }) => uid),
      [metadata.uid],
    );
    assert.equal(unsentOn(claim), '0');
  });

  test('keeps the volume when its mail could not be sent in time, and says how much that is', async () => {
    const namespace = 'not-in-time';
    await running(namespace, deleted({ drainTimeoutSeconds: 1 }), four);
    await remove(namespace);
    await gone(namespace);
    const claim = await claimOf(namespace);
    assert.equal(claim.metadata.ownerReferences, undefined);
    assert.equal(unsentOn(claim), '4');
    assert.match(
      await rig.waitForEvent(namespace, 'DeleteLeftMail'),
      /^on mail-spool: 4 unsent messages, .*so that it is kept; /,
    );
  });

  test('keeps the volume of a pod that was never heard from', async () => {
    const namespace = 'never-heard';
    await running(namespace, deleted({ drainTimeoutSeconds: 1 }), undefined);
    await remove(namespace);
    await gone(namespace);
    assert.equal(unsentOn(await claimOf(namespace)), 'unknown');
    assert.equal((await claimOf(namespace)).metadata.ownerReferences, undefined);
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
      const ip = await running(namespace, deleted({ drainTimeoutSeconds: 600 }), none);
      rig.answers.set(ip, relayStatus('', { draining: true, ...more }));
      await remove(namespace);
      await gone(namespace);
      const { metadata } = await claimOf(namespace);
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
    const ip = await running(namespace, deleted(), none);
    const queue = { ...none, dead: { messages: 3, bytes: 30 } };
    rig.answers.set(ip, relayStatus('', { draining: true, queue }));
    await remove(namespace);
    await gone(namespace);
    await removeChildren(namespace);
    await rig.createRelay(namespace, deleted());
    await rig.waitFor(deployments, ref(namespace));
    await waitUntil(
      'the claim says nothing more',
      async () => unsentOn(await claimOf(namespace)) === undefined,
    );
    assert.equal((await claimOf(namespace)).metadata.annotations?.[annotations.deadMessages], undefined);
    await rig.createPod(namespace, 'mail-b', relayStatus('', { draining: true }));
    await counted(namespace, 0);
    const { metadata } = await rig.relay(namespace);
    await remove(namespace);
    await gone(namespace);
    const claim = await claimOf(namespace);
    assert.deepEqual(
      claim.metadata.ownerReferences?.map(({ uid }) => uid),
      [metadata.uid],
    );
  });

  test('drains what runs when the spec is wrong by then', async () => {
    const namespace = 'wrong-spec';
    const ip = await running(namespace, deleted(), four);
    await rig.withoutRules(() =>
      rig.patchRelay(namespace, { resend: { initialDelaySeconds: 600, maxDelaySeconds: 60 } }),
    );
    await rig.waitForReason(namespace, 'Stalled', 'InvalidConfiguration');
    await remove(namespace);
    await rig.waitForReason(namespace, 'Ready', 'Draining');
    await drains(namespace, 'mail-a');
    const config = await rig.client.get(configMaps, { name: 'mail-config', namespace });
    assert.match(config.data!['config.json']!, /smtp.primary.com/);
    assert.doesNotMatch(config.data!['config.json']!, /"maxDelaySeconds": 60\b/);
    const pod = await rig.client.get(pods, { name: 'mail-a', namespace });
    const { status } = await rig.relay(namespace);
    assert.equal(pod.metadata.annotations?.[annotations.configFingerprint], status?.config?.fingerprint);
    rig.answers.set(ip, relayStatus('', { draining: true }));
    await gone(namespace);
    assert.equal((await claimOf(namespace)).metadata.ownerReferences?.length, 1);
  });

  test('goes on with an operator that starts in the middle of the drain', async () => {
    const namespace = 'restarted';
    const ip = await running(namespace, deleted({ drainTimeoutSeconds: 600 }), four);
    await remove(namespace);
    await drains(namespace, 'mail-a');
    await rig.stopOperator(operator);
    operator = await rig.operator();
    await new Promise(resolve => setTimeout(resolve, 1000));
    assert.deepEqual((await rig.relay(namespace)).metadata.finalizers, [drainFinalizer]);
    rig.answers.set(ip, relayStatus('', { draining: true }));
    await gone(namespace);
    const claim = await claimOf(namespace);
    assert.equal(unsentOn(claim), '0', JSON.stringify(claim));
  });

  test('keeps every volume under foreground deletion, which takes the pods first', async () => {
    const namespace = 'foreground';
    await running(namespace, deleted(), four);
    await remove(namespace, 'Foreground');
    // The garbage collector, which is not there, takes the children and then this.
    await rig.waitFor(
      mailRelays,
      ref(namespace),
      ({ metadata }) => metadata.finalizers?.join() === 'foregroundDeletion',
    );
    const claim = await claimOf(namespace);
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
    await running(namespace, deleted(), four);
    await remove(namespace, 'Orphan');
    await rig.waitFor(mailRelays, ref(namespace), ({ metadata }) => metadata.finalizers?.join() === 'orphan');
    const claim = await claimOf(namespace);
    assert.equal(claim.metadata.ownerReferences, undefined);
    assert.equal(unsentOn(claim), undefined);
    await rig.client.mergePatch(mailRelays, ref(namespace), { metadata: { finalizers: null } });
  });

  test('says what is in its way, and goes on when that is gone', async () => {
    const namespace = 'in-the-way';
    const ip = await running(namespace, deleted(), four);
    const predecessor = {
      apiVersion: 'mailrelay.dev/v1alpha1',
      kind: 'MailRelay',
      name: 'mail',
      uid: 'gone',
    };
    await rig.client.mergePatch(services, ref(namespace), {
      metadata: { ownerReferences: [{ ...predecessor, controller: true }] },
    });
    await remove(namespace);
    await waitUntil('it says so', async () =>
      /predecessor/.test((await rig.condition(namespace, 'Ready'))?.message ?? ''),
    );
    assert.equal((await rig.condition(namespace, 'Ready'))?.reason, 'Draining');
    await rig.client.delete(services, ref(namespace));
    await drains(namespace, 'mail-a');
    rig.answers.set(ip, relayStatus('', { draining: true }));
    await gone(namespace);
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
    await counted(namespace, 4);
    await remove(namespace);
    await gone(namespace, 40_000);
    const claims = await Promise.all([0, 1, 2].map(at => claimOf(namespace, `spool-mail-${at}`)));
    assert.deepEqual(claims.map(unsentOn), ['0', '4', 'unknown']);
    assert.deepEqual(
      claims.map(({ metadata }) => metadata.ownerReferences?.length ?? 0),
      [1, 0, 0],
    );
  });
});
