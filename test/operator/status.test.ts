import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { mailRelays } from '../../operator/api/mail-relay.ts';
import { annotations, drainFinalizer } from '../../operator/api/names.ts';
import type { KubeObject } from '../../operator/kube/object.ts';
import { defineResource } from '../../operator/kube/resource.ts';
import type { Operator } from '../../operator/operator.ts';
import { pods } from '../../operator/reconcile/caches.ts';
import { secrets } from '../../operator/reconcile/secret-facts.ts';
import {
  configMaps,
  deployments,
  networkPolicies,
  persistentVolumeClaims,
  serviceAccounts,
  services,
  statefulSets,
} from '../../operator/resources/kinds.ts';
import { waitUntil } from '../kube/wait-until.ts';
import { gone } from './gone.ts';
import { openProvider, Rig, relayStatus, twoProviders } from './rig.ts';

const password = { username: 'user', password: 'secret' };
const one = { messages: 1, bytes: 10 };
const none = { messages: 0, bytes: 0 };

const storageClasses = defineResource<KubeObject>({
  apiVersion: 'storage.k8s.io/v1',
  kind: 'StorageClass',
  plural: 'storageclasses',
  namespaced: false,
});

describe('the status of a MailRelay', () => {
  let rig: Rig;
  let operator: Operator;
  before(async () => {
    rig = await Rig.start();
    operator = await rig.operator();
  });
  after(() => rig?.stop());

  const fingerprintOf = async (namespace: string): Promise<string> =>
    (await rig.relay(namespace)).status?.config?.fingerprint ?? '';
  /** The controller that is not there. */
  const rollOut = async (namespace: string, ready: number): Promise<void> => {
    const ref = { name: 'mail', namespace };
    const { metadata } = await rig.waitFor(deployments, ref);
    const status = {
      observedGeneration: metadata.generation,
      replicas: ready,
      readyReplicas: ready,
      updatedReplicas: ready,
      availableReplicas: ready,
    };
    await rig.client.mergePatch(deployments, ref, { status }, { subresource: 'status' });
  };

  test('says Ready when the pods run the configuration and can send', async () => {
    const namespace = await rig.namespace('ready');
    await rig.createRelay(namespace, openProvider);
    await rig.waitForReason(namespace, 'Ready', 'PodsUnavailable');
    const fingerprint = await fingerprintOf(namespace);
    const [primary] = relayStatus('').providers;
    const ip = await rig.createPod(namespace, 'mail-a', relayStatus('earlier', { providers: [primary!] }));
    await rollOut(namespace, 1);
    await rig.waitForReason(namespace, 'Ready', 'ConfigurationNotLoaded');
    await rig.waitForReason(namespace, 'Reconciling', 'LoadingConfiguration');
    const pod = await rig.client.get(pods, { name: 'mail-a', namespace });
    assert.equal(pod.metadata.annotations?.[annotations.configFingerprint], fingerprint);
    rig.answers.set(ip, relayStatus(fingerprint, { providers: [primary!] }));
    // The claim of a cluster without controllers is never bound.
    await rig.waitForReason(namespace, 'Ready', 'Available');
    const { status } = await rig.relay(namespace);
    assert.equal(status?.activeProvider, 'primary');
    assert.equal(status?.usableProviders, '1/1');
    assert.deepEqual(status?.config, { fingerprint, loadedReplicas: 1 });
    await waitUntil('it reconciles no more', async () => !(await rig.condition(namespace, 'Reconciling')));
    const mark = await rig.audit.mark();
    assert.deepEqual(await rig.settled(mark), []);
  });

  test('lets kubectl wait through a rollout, for the edit and for its end', async () => {
    const namespace = await rig.namespace('wait');
    await rig.createRelay(namespace, openProvider);
    await rig.waitForReason(namespace, 'Ready', 'PodsUnavailable');
    const fingerprint = await fingerprintOf(namespace);
    const [primary] = relayStatus('').providers;
    await rig.createPod(namespace, 'mail-a', relayStatus(fingerprint, { providers: [primary!] }));
    await rollOut(namespace, 1);
    const wait = (timeout: string) =>
      rig.server.kubectl([
        ...['wait', '--for=condition=Ready', 'mailrelay/mail', '-n', namespace],
        `--timeout=${timeout}`,
      ]);
    await wait('20s');
    await rig.patchRelay(namespace, { image: 'relay.example.com/mailrelay:2' });
    // The pod of the old image is still ready, and is all there is.
    await assert.rejects(wait('3s'), /timed out/);
    const ready = await rig.waitForReason(namespace, 'Ready', 'Progressing');
    assert.equal(ready.status, 'Unknown');
    await rollOut(namespace, 1);
    await wait('20s');
  });

  test('names a Secret that is missing or half, and mends when it comes', async () => {
    const namespace = await rig.namespace('secrets');
    await rig.createRelay(namespace, twoProviders);
    const missing = await rig.waitForReason(namespace, 'CredentialsAvailable', 'SecretMissing');
    assert.match(missing.message, /primary-smtp.*backup-smtp/);
    const { status } = await rig.relay(namespace);
    assert.deepEqual(
      status?.providers?.map(({ name, state }) => [name, state]),
      [
        ['primary', 'Misconfigured'],
        ['backup', 'Misconfigured'],
      ],
    );
    await rig.createSecret(namespace, 'primary-smtp', password);
    await rig.createSecret(namespace, 'backup-smtp', { username: 'user' });
    const half = await rig.waitForReason(namespace, 'CredentialsAvailable', 'KeyMissing');
    assert.match(half.message, /backup-smtp has no key password/);
    assert.doesNotMatch(half.message, /primary/);
    await rig.client.mergePatch(
      secrets,
      { name: 'backup-smtp', namespace },
      { data: { password: btoa('secret') } },
    );
    await rig.waitForReason(namespace, 'CredentialsAvailable', 'Available');
    await rig.client.delete(secrets, { name: 'primary-smtp', namespace });
    await rig.waitForReason(namespace, 'CredentialsAvailable', 'SecretMissing');
    const text = JSON.stringify(await rig.relay(namespace));
    assert.ok(!text.includes('secret"') && !text.includes(btoa('secret')));
  });

  test('of relays that share a Secret costs one write each when it changes', async () => {
    const namespace = await rig.namespace('shared-secret');
    await rig.createSecret(namespace, 'primary-smtp', password);
    await rig.createSecret(namespace, 'backup-smtp', password);
    const names = ['a', 'b', 'c'];
    for (const name of names) {
      await rig.createRelay(namespace, twoProviders, { name });
      await rig.waitForReason(namespace, 'CredentialsAvailable', 'Available', name);
      await rig.createPod(namespace, `${name}-pod`, relayStatus(''), name);
    }
    // A status that waits for a pod's first answer comes a second later.
    await rig.settled(await rig.audit.mark(), 2000);
    const mark = await rig.audit.mark();
    await rig.client.mergePatch(
      secrets,
      { name: 'primary-smtp', namespace },
      { data: { password: btoa('new') } },
    );
    const writes = await rig.settled(mark);
    assert.deepEqual(
      writes.sort(),
      names.map(name => `patch pods ${namespace}/${name}-pod 200`),
    );
    const reads = (await rig.audit.since(mark)).filter(
      ({ verb, objectRef }) => verb === 'get' && objectRef?.resource === 'secrets',
    );
    assert.equal(reads.length, 1);
  });

  test('costs one read and no write when a Secret gets a label, nor does a restart after that', async () => {
    const namespace = await rig.namespace('labelled-secret');
    await rig.createSecret(namespace, 'primary-smtp', password);
    await rig.createSecret(namespace, 'backup-smtp', password);
    await rig.createRelay(namespace, twoProviders);
    await rig.waitForReason(namespace, 'CredentialsAvailable', 'Available');
    await rig.createPod(namespace, 'mail-a', relayStatus(''));
    const ours = (writes: readonly string[]) => writes.filter(write => write.includes(` ${namespace}/`));
    await rig.settled(await rig.audit.mark());
    const pod = await rig.client.get(pods, { name: 'mail-a', namespace });
    assert.match(pod.metadata.annotations?.[annotations.credentialsRevision] ?? '', /^[0-9a-f]{16}$/);
    const mark = await rig.audit.mark();
    await rig.client.mergePatch(
      secrets,
      { name: 'primary-smtp', namespace },
      { metadata: { labels: { checked: 'yes' } } },
      { fieldManager: 'labeller' },
    );
    const reads = async () =>
      (await rig.audit.since(mark)).filter(
        ({ verb, objectRef }) =>
          verb === 'get' && objectRef?.resource === 'secrets' && objectRef.namespace === namespace,
      ).length;
    await waitUntil('it is read', async () => (await reads()) > 0);
    assert.deepEqual(ours(await rig.settled(mark)), []);
    assert.equal(await reads(), 1);
    await rig.stopOperator(operator);
    operator = await rig.operator();
    assert.deepEqual(ours(await rig.settled(mark)), []);
  });

  test('says what waits while suspended, and nothing is written', async () => {
    const namespace = await rig.namespace('suspended');
    await rig.createRelay(namespace, openProvider);
    await rig.waitForReason(namespace, 'Ready', 'PodsUnavailable');
    await rig.patchRelay(namespace, { suspend: true });
    assert.match((await rig.waitForReason(namespace, 'Ready', 'Suspended')).message, /no changes wait/);
    await rig.settled(await rig.audit.mark());
    const mark = await rig.audit.mark();
    await rig.patchRelay(namespace, { retry: { attempts: 7 } });
    await waitUntil('it says that changes wait', async () =>
      /changes wait: ConfigMap\/mail-config/.test((await rig.condition(namespace, 'Ready'))?.message ?? ''),
    );
    assert.deepEqual(await rig.settled(mark), [`patch mailrelays/status ${namespace}/mail 200`]);
    await rig.patchRelay(namespace, { suspend: false });
    await rig.waitFor(configMaps, { name: 'mail-config', namespace }, ({ data }) =>
      /"attempts": 7/.test(data?.['config.json'] ?? ''),
    );
  });

  test('says Stalled with every problem of a spec that the CRD cannot check', async () => {
    const namespace = await rig.namespace('invalid');
    // An object may be older than a rule of the CRD.
    await rig.withoutRules(() =>
      rig.createRelay(namespace, {
        ...openProvider,
        resend: { initialDelaySeconds: 600, maxDelaySeconds: 60 },
      }),
    );
    await rig.waitForReason(namespace, 'Stalled', 'InvalidConfiguration');
    assert.equal((await rig.condition(namespace, 'Ready'))?.reason, 'InvalidConfiguration');
    assert.equal((await rig.client.list(deployments, { namespace })).items.length, 0);
    const { message } = (await rig.condition(namespace, 'ConfigurationValid'))!;
    assert.match(message, /spec.resend.maxDelaySeconds: 60 must be/);
    await rig.patchRelay(namespace, { resend: { maxDelaySeconds: 6000 } });
    await rig.waitFor(deployments, { name: 'mail', namespace });
    await waitUntil('it is no longer stalled', async () => !(await rig.condition(namespace, 'Stalled')));
  });

  test('has the scale subresource, which pods follow', async () => {
    const namespace = await rig.namespace('scale');
    await rig.createRelay(namespace, { ...openProvider, spool: { mode: 'PerReplica' } });
    const ref = { name: 'mail', namespace };
    await rig.waitFor(statefulSets, ref);
    await rig.client.mergePatch(mailRelays, ref, { spec: { replicas: 3 } }, { subresource: 'scale' });
    await rig.waitFor(statefulSets, ref, ({ spec }) => spec?.replicas === 3);
    assert.match((await rig.relay(namespace)).status?.selector ?? '', /app.kubernetes.io\/instance=mail/);
  });

  test('lets replicas go from the top, each when it is empty', async () => {
    const namespace = await rig.namespace('scale-down');
    await rig.createRelay(namespace, { ...openProvider, replicas: 3, spool: { mode: 'PerReplica' } });
    const ref = { name: 'mail', namespace };
    await rig.waitFor(statefulSets, ref);
    const busy = { ...relayStatus('').queue, failed: one };
    const ips: string[] = [];
    for (const at of [0, 1, 2]) {
      ips.push(await rig.createPod(namespace, `mail-${at}`, relayStatus('', { queue: busy })));
    }
    await rig.patchRelay(namespace, { replicas: 1 });
    await rig.waitForReason(namespace, 'Reconciling', 'ScalingDown');
    const config = { name: 'mail-config', namespace };
    await rig.waitFor(configMaps, config, ({ data }) =>
      /"draining": \[\s*"mail-1",\s*"mail-2"\s*\]/.test(data?.['config.json'] ?? ''),
    );
    assert.equal((await rig.client.get(statefulSets, ref)).spec?.replicas, 3);
    rig.answers.set(ips[2]!, relayStatus('', { draining: true }));
    await rig.waitFor(statefulSets, ref, ({ spec }) => spec?.replicas === 2);
    rig.answers.set(
      ips[1]!,
      relayStatus('', { draining: true, queue: { ...busy, failed: none, dead: one } }),
    );
    await rig.waitFor(statefulSets, ref, ({ spec }) => spec?.replicas === 1);
    // As long as they are there nobody calls them back to work.
    await rig.settled(await rig.audit.mark());
    const { data } = await rig.client.get(configMaps, config);
    assert.match(data?.['config.json'] ?? '', /"draining": \[\s*"mail-1",\s*"mail-2"\s*\]/);
    for (const name of ['mail-1', 'mail-2']) {
      await rig.client.delete(pods, { name, namespace }, { gracePeriodSeconds: 0 });
    }
    await rig.waitFor(configMaps, config, live => !/draining/.test(live.data?.['config.json'] ?? ''));
  });

  test('names the volume and the messages of a replica whose time is up', async () => {
    const namespace = await rig.namespace('left-behind');
    const spool = { mode: 'PerReplica', drainTimeoutSeconds: 1 } as const;
    await rig.createRelay(namespace, { ...openProvider, replicas: 2, spool });
    const ref = { name: 'mail', namespace };
    await rig.waitFor(statefulSets, ref);
    const claim = {
      metadata: {
        name: 'spool-mail-1',
        namespace,
        labels: (await rig.client.get(statefulSets, ref)).metadata.labels!,
      },
      spec: { accessModes: ['ReadWriteOnce'], resources: { requests: { storage: '10Gi' } } },
    };
    await rig.client.create(persistentVolumeClaims, claim);
    await rig.createPod(namespace, 'mail-0', relayStatus(''));
    const queue = { ...relayStatus('').queue, failed: { messages: 4, bytes: 40 } };
    await rig.createPod(namespace, 'mail-1', relayStatus('', { queue }));
    await waitUntil(
      'the queue is counted',
      async () => (await rig.relay(namespace)).status?.queue?.failed === 4,
      15_000,
    );
    await rig.patchRelay(namespace, { replicas: 1 });
    await rig.waitFor(statefulSets, ref, ({ spec }) => spec?.replicas === 1);
    await rig.client.delete(pods, { name: 'mail-1', namespace }, { gracePeriodSeconds: 0 });
    const { message } = await rig.waitForReason(namespace, 'SpoolHealthy', 'MailLeftBehind');
    assert.match(message, /spool-mail-1 \(4 unsent messages\b/);
    await rig.patchRelay(namespace, { replicas: 2 });
    await waitUntil('nothing is left behind', async () => {
      const { status } = await rig.relay(namespace);
      return (status?.heldVolumes ?? []).length === 0;
    });
  });

  test('grows volumes whose class allows it, in both modes, and says how far that is', async () => {
    await rig.client.create(storageClasses, {
      metadata: { name: 'growing' },
      provisioner: 'example.com/none',
      allowVolumeExpansion: true,
    } as KubeObject);
    const spool = { storageClassName: 'growing', size: '2Gi' } as const;
    const modes = [
      { namespace: await rig.namespace('grow-shared'), name: 'mail-spool', mode: 'Shared' },
      { namespace: await rig.namespace('grow-replica'), name: 'spool-mail-0', mode: 'PerReplica' },
    ] as const;
    /** The controllers that are not there. */
    const provide = (ref: { name: string; namespace: string }, storage: string) =>
      rig.client.mergePatch(
        persistentVolumeClaims,
        ref,
        { status: { phase: 'Bound', capacity: { storage } } },
        { subresource: 'status' },
      );
    for (const { mode, ...ref } of modes) {
      await rig.createRelay(ref.namespace, { ...openProvider, spool: { ...spool, mode } });
      if (mode === 'PerReplica') {
        const { spec } = await rig.waitFor(statefulSets, { ...ref, name: 'mail' });
        const [template] = spec?.volumeClaimTemplates ?? [];
        const metadata = { ...ref, labels: template!.metadata!.labels! };
        await rig.client.create(persistentVolumeClaims, { metadata, spec: template!.spec! });
      }
      await rig.waitFor(persistentVolumeClaims, ref);
      await rig.client.mergePatch(persistentVolumeClaims, ref, { spec: { volumeName: `pv-${mode.length}` } });
      await provide(ref, '2Gi');
      await rig.createPod(ref.namespace, mode === 'Shared' ? 'mail-a' : 'mail-0', relayStatus(''));
      await rig.waitForReason(ref.namespace, 'SpoolHealthy', 'Healthy');
      await rig.patchRelay(ref.namespace, { spool: { size: '3Gi' } });
      const { message } = await rig.waitForReason(ref.namespace, 'SpoolHealthy', 'ResizePending');
      assert.equal(message, `${ref.name} is being grown from 2Gi to 3Gi`);
      const { spec } = await rig.client.get(persistentVolumeClaims, ref);
      assert.equal(spec?.resources?.requests?.['storage'], '3Gi');
      await provide(ref, '3Gi');
      await rig.waitForReason(ref.namespace, 'SpoolHealthy', 'Healthy');
      assert.equal(await rig.condition(ref.namespace, 'Stalled'), undefined);
    }
  });

  test('grows volumes and refuses to shrink them', async () => {
    const namespace = await rig.namespace('resize');
    await rig.createRelay(namespace, { ...openProvider, spool: { size: '2Gi' } });
    const ref = { name: 'mail-spool', namespace };
    const asked = (size: string) =>
      rig.waitFor(persistentVolumeClaims, ref, ({ spec }) => spec?.resources?.requests?.['storage'] === size);
    await asked('2Gi');
    // The API server refuses to change a claim that is not bound, and one whose class does not allow it.
    await rig.patchRelay(namespace, { spool: { size: '3Gi' } });
    const refused = await rig.waitForReason(namespace, 'SpoolHealthy', 'ResizeRefused');
    assert.match(refused.message, /mail-spool/);
    await assert.rejects(rig.patchRelay(namespace, { spool: { size: '1Gi' } }), /a volume cannot shrink/);
    // A smaller relay of the same name finds the volume that the larger one has left.
    await rig.client.delete(mailRelays, { name: 'mail', namespace });
    await waitUntil(
      'it is gone',
      async () => (await rig.client.find(mailRelays, { name: 'mail', namespace })) === undefined,
    );
    for (const resource of [deployments, services, configMaps, serviceAccounts, networkPolicies]) {
      const { items } = await rig.client.list<KubeObject>(resource, { namespace });
      for (const { metadata } of items) await rig.client.delete<KubeObject>(resource, metadata);
    }
    await rig.createRelay(namespace, { ...openProvider, spool: { size: '1Gi' } });
    const shrink = await rig.waitForReason(namespace, 'SpoolHealthy', 'ShrinkRefused');
    assert.match(shrink.message, /2Gi.*1Gi/);
    await asked('2Gi');
  });

  test('holds a deleted relay until its pods are empty', async () => {
    const namespace = await rig.namespace('delete');
    await rig.createRelay(namespace, openProvider);
    await rig.waitFor(deployments, { name: 'mail', namespace });
    const queue = { ...relayStatus('').queue, active: one };
    const ip = await rig.createPod(namespace, 'mail-a', relayStatus('', { queue }));
    await waitUntil(
      'the queue is counted',
      async () => (await rig.relay(namespace)).status?.queue?.active === 1,
      15_000,
    );
    await rig.client.delete(mailRelays, { name: 'mail', namespace });
    await rig.waitForReason(namespace, 'Ready', 'Draining');
    assert.deepEqual((await rig.relay(namespace)).metadata.finalizers, [drainFinalizer]);
    rig.answers.set(ip, relayStatus('', { draining: true }));
    await gone(rig, namespace);
    const claim = await rig.client.get(persistentVolumeClaims, { name: 'mail-spool', namespace });
    assert.equal(claim.metadata.ownerReferences, undefined);
  });

  test('goes at once when there is no pod, suspended or not', async () => {
    const namespace = await rig.namespace('delete-empty');
    await rig.createRelay(namespace, openProvider);
    await rig.waitForReason(namespace, 'Ready', 'PodsUnavailable');
    await rig.patchRelay(namespace, { suspend: true });
    await rig.waitForReason(namespace, 'Ready', 'Suspended');
    await rig.client.delete(mailRelays, { name: 'mail', namespace });
    await waitUntil(
      'it is gone',
      async () => (await rig.client.find(mailRelays, { name: 'mail', namespace })) === undefined,
    );
  });

  test('is written at most a few times when only counts change', async () => {
    const namespace = await rig.namespace('counts');
    await rig.createRelay(namespace, openProvider);
    await rig.waitForReason(namespace, 'Ready', 'PodsUnavailable');
    const ip = await rig.createPod(namespace, 'mail-a', relayStatus(''));
    await rig.waitForReason(namespace, 'Reconciling', 'Progressing');
    await rig.settled(await rig.audit.mark());
    const mark = await rig.audit.mark();
    const began = performance.now();
    for (let messages = 1; messages <= 8; messages += 1) {
      const queue = { ...relayStatus('').queue, failed: { messages, bytes: 1 } };
      rig.answers.set(ip, relayStatus('', { queue }));
      await new Promise(resolve => setTimeout(resolve, 250));
    }
    const writes = await rig.settled(mark);
    // One in ten seconds, however long that takes on a busy machine.
    assert.ok(writes.length <= Math.ceil((performance.now() - began) / 10_000), writes.join('\n'));
    assert.ok(operator.probesPort > 0);
  });
});
