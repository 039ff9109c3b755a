/** Children without an owner: what `kubectl delete --cascade=orphan` leaves, and what only looks like it. */
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { mailRelays } from '../../operator/api/mail-relay.ts';
import { annotations, apiVersion, fieldManager, kind, labels } from '../../operator/api/names.ts';
import { parseMailRelay } from '../../operator/api/parse.ts';
import type { MailRelaySpecInput } from '../../operator/api/schema.ts';
import type { KubeObject, OwnerReference } from '../../operator/kube/object.ts';
import type { Resource } from '../../operator/kube/resource.ts';
import { adoptable } from '../../operator/reconcile/adoption.ts';
import { childResources, monitoringResources } from '../../operator/reconcile/caches.ts';
import {
  configMaps,
  deployments,
  networkPolicies,
  persistentVolumeClaims,
  services,
  statefulSets,
} from '../../operator/resources/kinds.ts';
import { childLabels } from '../../operator/resources/names.ts';
import { waitUntil } from '../kube/wait-until.ts';
import { gone } from './gone.ts';
import { monitoringDefinitions } from './monitoring.ts';
import { openProvider, Rig, ref, relayStatus } from './rig.ts';

/** With every kind of child that there is in that mode. */
const everyKind: Readonly<Record<'Shared' | 'PerReplica', MailRelaySpecInput>> = {
  Shared: {
    ...openProvider,
    replicas: 2,
    spool: { mode: 'Shared', accessMode: 'ReadWriteMany' },
    networkPolicy: { enabled: true },
    monitoring: { serviceMonitor: { enabled: true }, prometheusRule: { enabled: true } },
  },
  PerReplica: { ...openProvider, replicas: 2, spool: { mode: 'PerReplica' } },
};

/** A foreign edit for each kind, undone by the operator as for any child of its own. */
const edits: Readonly<Record<string, object>> = {
  ConfigMap: { data: { 'config.json': '{}' } },
  ServiceAccount: { automountServiceAccountToken: true },
  Service: { spec: { selector: { [labels.component]: 'another' } } },
  Deployment: { spec: { template: { spec: { terminationGracePeriodSeconds: 1 } } } },
  StatefulSet: { spec: { template: { spec: { terminationGracePeriodSeconds: 1 } } } },
  PodDisruptionBudget: { spec: { maxUnavailable: 2 } },
  NetworkPolicy: { spec: { egress: [] } },
  ServiceMonitor: { spec: { endpoints: [] } },
  PrometheusRule: { spec: { groups: [] } },
};

const predecessor: OwnerReference = { apiVersion, kind, name: 'mail', uid: 'predecessor', controller: true };

describe('children that have lost their owner', () => {
  let rig: Rig;
  before(async () => {
    rig = await Rig.start();
    for (const definition of monitoringDefinitions) await rig.define(definition);
    await rig.operator();
  });
  after(() => rig?.stop());

  interface Found {
    readonly resource: Resource;
    readonly object: KubeObject & { readonly spec?: unknown; readonly data?: unknown };
  }
  /** All but claims, which never have an owner. */
  const ownedChildren = async (namespace: string): Promise<Found[]> => {
    const kinds = [...childResources, ...monitoringResources].filter(
      resource => resource.kind !== persistentVolumeClaims.kind,
    );
    const lists = await Promise.all(
      kinds.map(async resource => {
        const { items } = await rig.client.list(resource, {
          namespace,
          labelSelector: `${labels.instance}=mail`,
        });
        return items.map(object => ({ resource, object }));
      }),
    );
    return lists.flat();
  };
  const ownersOf = ({ metadata }: KubeObject): string[] =>
    (metadata.ownerReferences ?? []).map(({ uid, controller }) => `${uid} ${controller}`);
  const disown = (resource: Resource, { metadata }: KubeObject): Promise<unknown> =>
    rig.client.mergePatch(resource, metadata, { metadata: { ownerReferences: null } });
  /** Does what the garbage collector does, which is not there. Resolves with the children. */
  const deleteWithoutChildren = async (namespace: string): Promise<Found[]> => {
    await rig.client.delete(mailRelays, ref(namespace), { propagation: 'Orphan' });
    await rig.waitFor(mailRelays, ref(namespace), ({ metadata }) => metadata.finalizers?.join() === 'orphan');
    const before = await ownedChildren(namespace);
    for (const { resource, object } of before) await disown(resource, object);
    await rig.settled(await rig.audit.mark());
    for (const { resource, object } of await ownedChildren(namespace)) {
      assert.deepEqual(
        ownersOf(object),
        [],
        `${resource.kind} is not taken back by a MailRelay that lets go`,
      );
    }
    await rig.client.mergePatch(mailRelays, ref(namespace), { metadata: { finalizers: null } });
    return ownedChildren(namespace);
  };
  const calm = async (namespace: string): Promise<void> => {
    await rig.waitForReason(namespace, 'Ready', 'PodsUnavailable');
    await rig.settled(await rig.audit.mark());
  };
  const untouched = async (resource: Resource, before: KubeObject): Promise<void> => {
    const now = await rig.client.get(resource, before.metadata);
    assert.equal(now.metadata.resourceVersion, before.metadata.resourceVersion);
  };

  for (const mode of ['Shared', 'PerReplica'] as const) {
    const named = async (what: string) => rig.namespace(`${what}-${mode.toLowerCase()}`);

    test(`are those of the next MailRelay of the name, and no pod is restarted, with mode ${mode}`, async () => {
      const namespace = await named('again');
      await rig.createRelay(namespace, everyKind[mode]);
      await calm(namespace);
      const orphans = await deleteWithoutChildren(namespace);
      assert.equal(orphans.length, 9);
      const { metadata } = await rig.createRelay(namespace, everyKind[mode]);
      await calm(namespace);
      assert.equal(await rig.condition(namespace, 'Stalled'), undefined);
      // The same objects with the same spec: no template changed, so that no pod is restarted.
      const summary = ({ resource, object: { metadata: is, spec } }: Found) => ({
        kind: resource.kind,
        name: is.name,
        uid: is.uid,
        spec,
      });
      const now = await ownedChildren(namespace);
      assert.deepEqual(now.map(summary), orphans.map(summary));
      assert.deepEqual(
        now.map(({ object }) => ownersOf(object)),
        orphans.map(() => [`${metadata.uid} true`]),
      );
    });

    test(`become what is wanted, whatever was changed meanwhile, with mode ${mode}`, async () => {
      const namespace = await named('edited');
      await rig.createRelay(namespace, everyKind[mode]);
      await calm(namespace);
      const right = await ownedChildren(namespace);
      for (const { resource, object } of await deleteWithoutChildren(namespace)) {
        await rig.client.mergePatch(resource, object.metadata, edits[resource.kind]!);
      }
      const { metadata } = await rig.createRelay(namespace, everyKind[mode]);
      await calm(namespace);
      const now = await ownedChildren(namespace);
      assert.deepEqual(
        now.map(({ object }) => ownersOf(object)),
        now.map(() => [`${metadata.uid} true`]),
      );
      assert.deepEqual(
        now.map(({ object: { spec, data } }) => ({ spec, data })),
        right.map(({ object: { spec, data } }) => ({ spec, data })),
      );
    });
  }

  test('are taken back by the MailRelay that they belonged to', async () => {
    const namespace = await rig.namespace('taken-back');
    const { metadata } = await rig.createRelay(namespace, everyKind.Shared);
    await calm(namespace);
    for (const { resource, object } of await ownedChildren(namespace)) await disown(resource, object);
    await waitUntil('each has its owner again', async () => {
      const found = await ownedChildren(namespace);
      return found.every(({ object }) => ownersOf(object).join() === `${metadata.uid} true`);
    });
    await waitUntil('it is not stalled', async () => !(await rig.condition(namespace, 'Stalled')));
  });

  test('are taken over with a field beside which none of ours can stand', async () => {
    const namespace = await rig.namespace('excluded');
    await rig.createRelay(namespace, openProvider);
    await calm(namespace);
    await deleteWithoutChildren(namespace);
    await rig.client.mergePatch(deployments, ref(namespace), {
      spec: { strategy: { type: 'RollingUpdate' } },
    });
    const { metadata } = await rig.createRelay(namespace, openProvider);
    const adopted = await rig.waitFor(
      deployments,
      ref(namespace),
      object => ownersOf(object).join() === `${metadata.uid} true`,
    );
    assert.deepEqual(adopted.spec?.strategy, { type: 'Recreate' });
  });

  test('go when the next MailRelay does not want them', async () => {
    const namespace = await rig.namespace('unwanted');
    await rig.createRelay(namespace, everyKind.Shared);
    await calm(namespace);
    await deleteWithoutChildren(namespace);
    await rig.createRelay(namespace, { ...everyKind.Shared, networkPolicy: { enabled: false } });
    await waitUntil(
      'the policy is gone',
      async () => (await rig.client.find(networkPolicies, ref(namespace))) === undefined,
    );
  });

  test('go with a MailRelay that is deleted before it had them all', async () => {
    const namespace = await rig.namespace('deleted-soon');
    const { metadata } = await rig.createRelay(namespace, openProvider);
    await calm(namespace);
    await rig.bind(namespace);
    const ip = await rig.createPod(namespace, 'mail-a', relayStatus(''));
    await rig.client.delete(mailRelays, ref(namespace));
    await rig.waitForReason(namespace, 'Ready', 'Draining');
    const workload = await rig.client.get(deployments, ref(namespace));
    await disown(deployments, workload);
    await rig.waitFor(
      deployments,
      ref(namespace),
      object => ownersOf(object).join() === `${metadata.uid} true`,
    );
    rig.answers.set(ip, relayStatus('', { draining: true }));
    await gone(rig, namespace);
  });

  test('decide the mode of the next MailRelay: pods with mail on their volume run in it', async () => {
    const namespace = await rig.namespace('other-mode');
    await rig.createRelay(namespace, openProvider);
    await calm(namespace);
    await deleteWithoutChildren(namespace);
    const workload = await rig.client.get(deployments, ref(namespace));
    await rig.createRelay(namespace, everyKind.PerReplica);
    const { message } = await rig.waitForReason(namespace, 'Stalled', 'InvalidConfiguration');
    assert.match(message, /spec.spool.mode: PerReplica must be Shared/);
    await untouched(deployments, workload);
    assert.equal(await rig.client.find(statefulSets, ref(namespace)), undefined);
  });

  test('are left alone when they are not wholly ours', async () => {
    const namespace = await rig.namespace('not-ours');
    await rig.createRelay(namespace, openProvider);
    await calm(namespace);
    await deleteWithoutChildren(namespace);
    const another: OwnerReference = { ...predecessor, apiVersion: 'v1', kind: 'ConfigMap', name: 'x' };
    const changed = await Promise.all([
      rig.client.mergePatch(services, ref(namespace), { metadata: { ownerReferences: [another] } }),
      rig.client.mergePatch(services, ref(namespace, 'mail-pods'), {
        metadata: { labels: { [labels.partOf]: 'another' } },
      }),
      rig.client.mergePatch(deployments, ref(namespace), {
        metadata: { labels: { [labels.managedBy]: null } },
      }),
    ]);
    await rig.client.delete(configMaps, ref(namespace, 'mail-config'));
    // A copy, as by `kubectl get -o yaml | kubectl create`: the labels are ours, who wrote it is not.
    const copy = { name: 'mail-config', namespace, labels: childLabels({ name: 'mail' }) };
    changed.push(await rig.client.create(configMaps, { metadata: copy, data: { mine: 'yes' } }));

    await rig.createRelay(namespace, openProvider);
    const { message } = await rig.waitForReason(namespace, 'Stalled', 'NameTaken');
    await waitUntil('all of them are named', async () => {
      const told = (await rig.condition(namespace, 'Stalled'))?.message ?? '';
      return ['Service mail ', 'Service mail-pods ', 'ConfigMap mail-config '].every(name =>
        told.includes(name),
      );
    });
    assert.match(message, /it is left alone/);
    await rig.settled(await rig.audit.mark());
    const resources: readonly Resource[] = [services, services, deployments, configMaps];
    for (const [at, object] of changed.entries()) await untouched(resources[at]!, object);
    // The workload is come to when what its pods need is there.
    await rig.client.delete(configMaps, copy);
    const asked = { metadata: { annotations: { [annotations.reconcileRequestedAt]: 'now' } } };
    await rig.client.mergePatch(mailRelays, ref(namespace), asked);
    await waitUntil('the workload is named', async () =>
      ((await rig.condition(namespace, 'Stalled'))?.message ?? '').includes('Deployment mail '),
    );
    await untouched(deployments, changed[2]!);
    const { status: stalled } = (await rig.condition(namespace, 'Stalled'))!;
    assert.equal(stalled, 'True');
  });

  test('are not adopted for a MailRelay that the API server knows to let go of its children', async () => {
    for (const propagation of ['Orphan', 'Foreground'] as const) {
      const namespace = await rig.namespace(`lets-go-${propagation.toLowerCase()}`);
      await rig.createRelay(namespace, openProvider);
      await calm(namespace);
      const { relay } = parseMailRelay(await rig.relay(namespace));
      const adopted = () => adoptable(relay!, services, ref(namespace), rig.client);
      await rig.client.delete(mailRelays, ref(namespace), { propagation });
      // As the garbage collector, which is not there, does it first of all.
      if (propagation === 'Foreground') await rig.client.delete(deployments, ref(namespace), { propagation });
      await rig.waitFor(mailRelays, ref(namespace), ({ metadata }) => metadata.finalizers?.length === 1);
      await disown(services, await rig.client.get(services, ref(namespace)));
      await assert.rejects(adopted(), /the MailRelay has changed meanwhile/);
      await rig.client.mergePatch(mailRelays, ref(namespace), { metadata: { finalizers: null } });
      await assert.rejects(adopted(), /the MailRelay has changed meanwhile/);
      await rig.client.delete(services, ref(namespace));
      await assert.rejects(adopted(), /Service mail has changed meanwhile/);
    }
  });

  test('are waited for while they are going, and then made anew', async () => {
    const namespace = await rig.namespace('going');
    await rig.createRelay(namespace, openProvider);
    await calm(namespace);
    await deleteWithoutChildren(namespace);
    const going = await rig.client.mergePatch(services, ref(namespace), {
      metadata: { finalizers: ['example.com/hold'] },
    });
    await rig.client.delete(services, ref(namespace));
    await rig.createRelay(namespace, openProvider);
    const { message } = await rig.waitForReason(namespace, 'Reconciling', 'Retrying');
    assert.match(message, /Service mail was deleted and is still going/);
    assert.equal(await rig.condition(namespace, 'Stalled'), undefined);
    await rig.client.mergePatch(services, ref(namespace), { metadata: { finalizers: null } });
    await rig.waitFor(services, ref(namespace), ({ metadata }) => metadata.uid !== going.metadata.uid);
    await calm(namespace);
  });

  test('but name an earlier MailRelay are waited for until they are collected, and then made anew', async () => {
    const namespace = await rig.namespace('predecessor');
    await rig.createRelay(namespace, openProvider);
    await calm(namespace);
    const stale: Found[] = [];
    for (const { resource, object } of await deleteWithoutChildren(namespace)) {
      const patch = { metadata: { ownerReferences: [predecessor] } };
      stale.push({ resource, object: await rig.client.mergePatch(resource, object.metadata, patch) });
    }
    const { metadata } = await rig.createRelay(namespace, openProvider);
    const { message } = await rig.waitForReason(namespace, 'Reconciling', 'Retrying');
    assert.match(message, /predecessor is still going/);
    assert.equal(await rig.condition(namespace, 'Stalled'), undefined);
    for (const { resource, object } of stale) await untouched(resource, object);

    for (const { resource, object } of stale) await rig.client.delete(resource, object.metadata);
    await calm(namespace);
    const fresh = await ownedChildren(namespace);
    assert.deepEqual(
      fresh.map(({ object }) => ownersOf(object)),
      stale.map(() => [`${metadata.uid} true`]),
    );
    const managers = fresh.flatMap(({ object }) => object.metadata.managedFields as { manager: string }[]);
    assert.ok(managers.every(({ manager }) => manager === fieldManager));
  });
});
