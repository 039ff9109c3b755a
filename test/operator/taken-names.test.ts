/** Objects of somebody else that have the name of a child: left alone, and used by no pod of ours. */
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { mailRelays } from '../../operator/api/mail-relay.ts';
import { annotations, labels } from '../../operator/api/names.ts';
import type { MailRelaySpecInput } from '../../operator/api/schema.ts';
import type { KubeObject, OwnerReference } from '../../operator/kube/object.ts';
import type { Resource } from '../../operator/kube/resource.ts';
import { pods } from '../../operator/reconcile/caches.ts';
import {
  configMaps,
  type Deployment,
  deployments,
  networkPolicies,
  persistentVolumeClaims,
  serviceAccounts,
  statefulSets,
} from '../../operator/resources/kinds.ts';
import { childLabels, selectorLabels } from '../../operator/resources/names.ts';
import { waitUntil } from '../kube/wait-until.ts';
import { claimSpec, openProvider, Rig, ref, relayStatus } from './rig.ts';

const perReplica: MailRelaySpecInput = { ...openProvider, spool: { mode: 'PerReplica' } };
const another: OwnerReference = {
  apiVersion: 'v1',
  kind: 'ConfigMap',
  name: 'theirs',
  uid: 'theirs',
  controller: true,
};

describe('a name that somebody else has taken', () => {
  let rig: Rig;
  before(async () => {
    rig = await Rig.start();
    await rig.operator();
  });
  after(() => rig?.stop());

  const lookAgain = (namespace: string, at: string): Promise<unknown> =>
    rig.client.mergePatch(mailRelays, ref(namespace), {
      metadata: { annotations: { [annotations.reconcileRequestedAt]: at } },
    });
  const untouched = async (resource: Resource, before: KubeObject): Promise<void> => {
    const now = await rig.client.get(resource, before.metadata);
    assert.equal(now.metadata.resourceVersion, before.metadata.resourceVersion);
  };

  const needed: readonly {
    readonly resource: Resource;
    readonly name: string;
    readonly spec: MailRelaySpecInput;
    readonly more?: object;
    readonly workload: Resource;
  }[] = [
    {
      ...{ resource: configMaps, name: 'mail-config', more: { data: { 'config.json': '{}' } } },
      ...{ spec: openProvider, workload: deployments },
    },
    { resource: serviceAccounts, name: 'mail', spec: openProvider, workload: deployments },
    {
      ...{ resource: persistentVolumeClaims, name: 'mail-spool', more: { spec: claimSpec } },
      ...{ spec: openProvider, workload: deployments },
    },
    {
      ...{ resource: persistentVolumeClaims, name: 'spool-mail-0', more: { spec: claimSpec } },
      ...{ spec: perReplica, workload: statefulSets },
    },
  ];
  for (const { resource, name, spec, more, workload } of needed) {
    test(`is told, and no pod uses it: ${resource.kind} ${name}`, async () => {
      const namespace = await rig.namespace(`needed-${resource.plural}-${name}`);
      const theirs = await rig.client.create(resource, { metadata: { name, namespace }, ...more });
      await rig.createRelay(namespace, spec);
      const { message } = await rig.waitForReason(namespace, 'Stalled', 'NameTaken');
      assert.match(message, new RegExp(`^${resource.kind} ${name} exists and belongs to nobody`));
      assert.match(message, /no pod is started with it: delete it, or make the MailRelay under another name/);
      const ready = await rig.condition(namespace, 'Ready');
      assert.deepEqual([ready?.status, ready?.reason], ['False', 'Stalled']);
      await rig.settled(await rig.audit.mark());
      assert.equal(await rig.client.find(workload, ref(namespace)), undefined);
      await untouched(resource, theirs);

      await rig.client.delete(resource, theirs.metadata);
      await rig.client
        .mergePatch(resource, theirs.metadata, { metadata: { finalizers: null } })
        .catch(() => {});
      await lookAgain(namespace, 'now');
      await rig.waitFor(workload, ref(namespace));
      await waitUntil('it is not stalled', async () => !(await rig.condition(namespace, 'Stalled')));
    });
  }

  for (const [name, spec, workload] of [
    ['mail-spool', openProvider, deployments],
    ['spool-mail-0', perReplica, statefulSets],
  ] as const) {
    test(`is that of this MailRelay's volume when its claim is labelled so: ${name}`, async () => {
      const namespace = await rig.namespace(`labelled-${name}`);
      const metadata = { name, namespace };
      await rig.client.create(persistentVolumeClaims, { metadata, spec: claimSpec });
      await rig.createRelay(namespace, spec);
      const { message } = await rig.waitForReason(namespace, 'Stalled', 'NameTaken');
      const [, said = ''] = /label it (\S+ \S+) where it holds mail/.exec(message) ?? [];
      const given = Object.fromEntries(said.split(' ').map(label => label.split('=')));
      await rig.client.mergePatch(persistentVolumeClaims, metadata, { metadata: { labels: given } });
      await lookAgain(namespace, 'now');
      await rig.waitFor(workload as Resource, ref(namespace));
      await waitUntil('it is not stalled', async () => !(await rig.condition(namespace, 'Stalled')));
      const claim = await rig.client.get(persistentVolumeClaims, metadata);
      assert.deepEqual(claim.metadata.labels, childLabels({ name: 'mail' }));
    });
  }

  test('while pods run leaves their workload as it is', async () => {
    const namespace = await rig.namespace('running');
    await rig.createRelay(namespace, openProvider);
    const { metadata } = await rig.waitFor(deployments, ref(namespace));
    await rig.settled(await rig.audit.mark());
    const config = ref(namespace, 'mail-config');
    await rig.client.mergePatch(configMaps, config, { metadata: { ownerReferences: [another] } });
    await rig.waitForReason(namespace, 'Stalled', 'NameTaken');
    await rig.patchRelay(namespace, { image: 'relay.example.com/mailrelay:2' });
    await rig.waitFor(
      mailRelays,
      ref(namespace),
      ({ status, metadata: { generation } }) => status?.observedGeneration === generation,
    );
    await rig.settled(await rig.audit.mark());
    const now = await rig.client.get(deployments, ref(namespace));
    assert.equal(now.metadata.generation, metadata.generation);
  });

  test('of a child that mail does without keeps no mail back', async () => {
    const namespace = await rig.namespace('without');
    const policy = { metadata: ref(namespace), spec: { podSelector: {} } };
    const theirs = await rig.client.create(networkPolicies, policy);
    await rig.createRelay(namespace, openProvider);
    const { metadata } = await rig.waitFor(deployments, ref(namespace));
    const one = { replicas: 1, readyReplicas: 1, updatedReplicas: 1, availableReplicas: 1 };
    const status = { observedGeneration: metadata.generation, ...one };
    await rig.client.mergePatch(deployments, ref(namespace), { status }, { subresource: 'status' });
    const { fingerprint = '' } = (
      await rig.waitFor(mailRelays, ref(namespace), live => live.status?.config?.fingerprint !== undefined)
    ).status!.config!;
    const [primary] = relayStatus('').providers;
    await rig.createPod(namespace, 'mail-a', relayStatus(fingerprint, { providers: [primary!] }));
    const ready = await rig.waitForReason(namespace, 'Ready', 'Degraded');
    assert.equal(ready.status, 'True');
    assert.match(ready.message, /^NetworkPolicy mail exists and belongs to nobody/);
    assert.equal((await rig.condition(namespace, 'Stalled'))?.reason, 'NameTaken');
    await untouched(networkPolicies, theirs);
  });

  test('of the workload says nothing of our mail, and is not scaled when the MailRelay goes', async () => {
    const namespace = await rig.namespace('workload');
    const theirs: Deployment = await rig.client.create(deployments, {
      metadata: { ...ref(namespace), labels: childLabels({ name: 'mail' }), ownerReferences: [another] },
      spec: {
        replicas: 3,
        selector: { matchLabels: selectorLabels({ name: 'mail' }) },
        template: {
          metadata: { labels: selectorLabels({ name: 'mail' }) },
          spec: { containers: [{ name: 'relay', image: 'theirs' }] },
        },
      },
    });
    const status = { observedGeneration: 1, replicas: 3, readyReplicas: 3, updatedReplicas: 3 };
    await rig.client.mergePatch(deployments, theirs.metadata, { status }, { subresource: 'status' });
    await rig.createPod(namespace, 'mail-a', relayStatus(''));
    await rig.createRelay(namespace, { ...openProvider, spool: { drainTimeoutSeconds: 600 } });
    await rig.waitForReason(namespace, 'Stalled', 'NameTaken');
    await rig.settled(await rig.audit.mark());
    const relay = await rig.relay(namespace);
    assert.deepEqual([relay.status?.replicas, relay.status?.readyReplicas], [0, 0]);
    await rig.client.delete(mailRelays, ref(namespace));
    await waitUntil(
      'the MailRelay is gone',
      async () => (await rig.client.find(mailRelays, ref(namespace))) === undefined,
    );
    assert.equal((await rig.client.get(deployments, ref(namespace))).spec?.replicas, 3);
    const pod = await rig.client.get(pods, ref(namespace, 'mail-a'));
    assert.equal(pod.metadata.labels?.[labels.instance], 'mail');
  });
});
