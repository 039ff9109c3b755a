import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { annotations, fieldManager, labels } from '../../operator/api/names.ts';
import type { KubeObject } from '../../operator/kube/object.ts';
import type { Resource } from '../../operator/kube/resource.ts';
import type { Operator } from '../../operator/operator.ts';
import { childResources } from '../../operator/reconcile/caches.ts';
import {
  configMaps,
  deployments,
  networkPolicies,
  podDisruptionBudgets,
  serviceAccounts,
  services,
  statefulSets,
} from '../../operator/resources/kinds.ts';
import { waitUntil } from '../kube/wait-until.ts';
import { sentence } from './audit.ts';
import { openProvider, Rig, twoProviders } from './rig.ts';

describe('the children of a MailRelay', () => {
  let rig: Rig;
  let operator: Operator;
  before(async () => {
    rig = await Rig.start();
    operator = await rig.operator();
  });
  after(() => rig?.stop());

  const everyChild = async (namespace: string): Promise<KubeObject[]> => {
    const lists = await Promise.all(
      (childResources as readonly Resource[]).map(resource =>
        rig.client.list(resource, { namespace, labelSelector: `${labels.instance}=mail` }),
      ),
    );
    return lists.flatMap(({ items }) => items);
  };

  test('are all there a moment after it, with owner and labels', async () => {
    const namespace = await rig.namespace('all');
    const { metadata } = await rig.createRelay(namespace, {
      ...twoProviders,
      replicas: 2,
      spool: { mode: 'PerReplica' },
      networkPolicy: { enabled: true },
    });
    const ref = { name: 'mail', namespace };
    await Promise.all([
      rig.waitFor(statefulSets, ref),
      rig.waitFor(services, ref),
      rig.waitFor(services, { ...ref, name: 'mail-pods' }),
      rig.waitFor(serviceAccounts, ref),
      rig.waitFor(configMaps, { ...ref, name: 'mail-config' }),
      rig.waitFor(podDisruptionBudgets, ref),
      rig.waitFor(networkPolicies, ref),
    ]);
    assert.equal(await rig.client.find(deployments, ref), undefined);
    for (const child of await everyChild(namespace)) {
      const owner = child.metadata.ownerReferences?.[0];
      assert.equal(owner?.uid, metadata.uid, child.metadata.name);
      assert.equal(owner?.controller, true);
      assert.equal(child.metadata.labels?.[labels.managedBy], fieldManager);
      assert.equal(child.metadata.labels[labels.name], 'mailrelay');
      assert.ok(child.metadata.annotations?.[annotations.appliedHash]);
      const managers = child.metadata.managedFields as { manager: string; operation: string }[];
      assert.deepEqual(
        managers.map(({ manager, operation }) => `${operation} by ${manager}`),
        [`Apply by ${fieldManager}`],
      );
    }
  });

  test('cost one write each, one for the finalizer and one for the status, and no read', async () => {
    const namespace = await rig.namespace('new');
    const mark = await rig.audit.mark();
    await rig.createRelay(namespace, { ...openProvider, networkPolicy: { enabled: true } });
    await rig.waitForReason(namespace, 'Ready', 'PodsUnavailable');
    assert.deepEqual((await rig.settled(mark)).sort(), [
      'patch configmaps new/mail-config 201',
      'patch deployments new/mail 201',
      'patch mailrelays new/mail 200',
      'patch mailrelays/status new/mail 200',
      'patch networkpolicies new/mail 201',
      'patch persistentvolumeclaims new/mail-spool 201',
      'patch serviceaccounts new/mail 201',
      'patch services new/mail 201',
      'patch services new/mail-pods 201',
    ]);
    const reads = (await rig.audit.since(mark)).filter(
      ({ verb, userAgent = '', objectRef }) =>
        verb === 'get' && userAgent.startsWith(`${fieldManager}/`) && objectRef?.namespace === namespace,
    );
    assert.deepEqual(reads.map(sentence), []);
  });

  test('cost no write while nothing happens, nor after a restart of the operator', async () => {
    const namespace = await rig.namespace('idle');
    await rig.createRelay(namespace, { ...twoProviders, networkPolicy: { enabled: true } });
    await rig.waitForReason(namespace, 'Ready', 'PodsUnavailable');
    await rig.settled(await rig.audit.mark());
    const before = await rig.audit.mark();
    await rig.stopOperator(operator);
    operator = await rig.operator();
    assert.deepEqual(await rig.settled(before, 1500), []);
  });

  test('are brought back when somebody changes or deletes them', async () => {
    const namespace = await rig.namespace('drift');
    await rig.createRelay(namespace, openProvider);
    const ref = { name: 'mail', namespace };
    const config = { name: 'mail-config', namespace };
    const right = await rig.waitFor(configMaps, config);
    await rig.waitFor(deployments, ref);
    await rig.settled(await rig.audit.mark());

    await rig.client.mergePatch(configMaps, config, { data: { 'config.json': '{}' } });
    await rig.waitFor(
      configMaps,
      config,
      ({ data }) => data?.['config.json'] === right.data?.['config.json'],
    );
    const hurried = { spec: { terminationGracePeriodSeconds: 1 } };
    await rig.client.mergePatch(deployments, ref, { spec: { template: hurried } });
    await rig.client.mergePatch(deployments, ref, { metadata: { ownerReferences: null } });
    await rig.client.delete(services, ref);
    await rig.waitFor(services, ref);
    await rig.waitFor(
      deployments,
      ref,
      ({ spec, metadata }) =>
        spec?.template.spec?.terminationGracePeriodSeconds !== 1 && metadata.ownerReferences?.length === 1,
    );
  });

  test('get back the labels that they are found by', async () => {
    const namespace = await rig.namespace('labels');
    await rig.createRelay(namespace, openProvider);
    const ref = { name: 'mail', namespace };
    const { metadata } = await rig.waitFor(services, ref);
    await rig.settled(await rig.audit.mark());
    for (const label of [labels.managedBy, labels.instance]) {
      for (const value of [null, 'another']) {
        await rig.client.mergePatch(services, ref, { metadata: { labels: { [label]: value } } });
        await rig.waitFor(services, ref, live => live.metadata.labels?.[label] === metadata.labels?.[label]);
      }
    }
    await waitUntil('it reconciles no more', async () => {
      const reason = (await rig.condition(namespace, 'Reconciling'))?.reason;
      return reason !== 'Retrying';
    });
  });

  test('are made anew also when somebody deletes one just after it has lost its labels', async () => {
    const namespace = await rig.namespace('labels-and-all');
    await rig.createRelay(namespace, openProvider);
    const ref = { name: 'mail', namespace };
    const { metadata } = await rig.waitFor(services, ref);
    await rig.settled(await rig.audit.mark());
    const mark = await rig.audit.mark();
    await rig.client.mergePatch(services, ref, { metadata: { labels: { [labels.managedBy]: null } } });
    await waitUntil('the operator has found it by its name', async () =>
      (await rig.audit.since(mark)).some(event => sentence(event) === `get services ${namespace}/mail 200`),
    );
    await rig.client.delete(services, ref);
    await rig.waitFor(services, ref, fresh => fresh.metadata.uid !== metadata.uid);
    await waitUntil('it reconciles no more', async () => {
      const reason = (await rig.condition(namespace, 'Reconciling'))?.reason;
      return reason !== 'Retrying';
    });
  });

  /** Deletes each child of that kind, and waits for its successor. */
  const replaced = async (resource: Resource, namespace: string): Promise<number> => {
    const labelSelector = `${labels.instance}=mail`;
    const { items } = await rig.client.list(resource, { namespace, labelSelector });
    for (const { metadata } of items) {
      const ref = { namespace, name: metadata.name };
      await rig.client.delete(resource, ref);
      await rig.waitFor(resource, ref, fresh => fresh.metadata.uid !== metadata.uid);
    }
    return items.length;
  };

  for (const [mode, replicas, deleted] of [
    ['Shared', 1, 6],
    ['PerReplica', 2, 7],
  ] as const) {
    // How soon is measured in bench/.
    test(`of every kind are made anew when somebody deletes them: ${mode}`, async () => {
      const namespace = await rig.namespace(`deleted-${mode.toLowerCase()}`);
      await rig.createRelay(namespace, { ...openProvider, replicas, spool: { mode } });
      await rig.waitForReason(namespace, 'Ready', 'PodsUnavailable');
      await rig.settled(await rig.audit.mark());
      let count = 0;
      // A volume is kept as long as a pod uses it; its deletion is told (volumes.test.ts).
      const others = childResources.filter(({ kind }) => kind !== 'PersistentVolumeClaim');
      for (const resource of others as readonly Resource[]) count += await replaced(resource, namespace);
      assert.equal(count, deleted);
    });
  }

  test('keep the fields that somebody else owns', async () => {
    const namespace = await rig.namespace('foreign-fields');
    await rig.createRelay(namespace, openProvider);
    const ref = { name: 'mail', namespace };
    await rig.waitFor(deployments, ref);
    await rig.settled(await rig.audit.mark());
    const mark = await rig.audit.mark();
    const foreign = { metadata: { annotations: { 'example.com/team': 'mail' }, labels: { team: 'mail' } } };
    await rig.client.mergePatch(deployments, ref, foreign);
    await rig.client.mergePatch(services, ref, foreign);
    assert.deepEqual(await rig.settled(mark), []);
    await rig.patchRelay(namespace, { service: { annotations: { 'example.com/more': 'yes' } } });
    const service = await rig.waitFor(
      services,
      ref,
      ({ metadata }) => metadata.annotations?.['example.com/more'] === 'yes',
    );
    assert.equal(service.metadata.annotations?.['example.com/team'], 'mail');
    await rig.patchRelay(namespace, { service: { annotations: null } });
    await rig.waitFor(
      services,
      ref,
      ({ metadata }) => metadata.annotations?.['example.com/more'] === undefined,
    );
  });

  test('go when they are switched off', async () => {
    const namespace = await rig.namespace('optional');
    const ref = { name: 'mail', namespace };
    await rig.createRelay(namespace, {
      ...openProvider,
      replicas: 2,
      spool: { mode: 'PerReplica' },
      networkPolicy: { enabled: true },
    });
    await rig.waitFor(networkPolicies, ref);
    await rig.waitFor(podDisruptionBudgets, ref);
    await rig.waitFor(services, { name: 'mail-pods', namespace });
    await rig.patchRelay(namespace, { networkPolicy: { enabled: false } });
    await waitUntil('the network policy is gone', async () => !(await rig.client.find(networkPolicies, ref)));
    assert.ok(await rig.client.find(podDisruptionBudgets, ref));
    await rig.patchRelay(namespace, { replicas: 1 });
    await waitUntil('the budget is gone', async () => !(await rig.client.find(podDisruptionBudgets, ref)));
  });

  test('do not take an object that belongs to somebody else', async () => {
    const namespace = await rig.namespace('taken');
    const ref = { name: 'mail-config', namespace };
    const foreign = await rig.client.create(configMaps, { metadata: ref, data: { mine: 'yes' } });
    await rig.createRelay(namespace, openProvider);
    const { message } = await rig.waitForReason(namespace, 'Stalled', 'NameTaken');
    assert.match(message, /ConfigMap mail-config/);
    assert.equal((await rig.condition(namespace, 'Ready'))?.reason, 'Stalled');
    await rig.settled(await rig.audit.mark());
    const after = await rig.client.get(configMaps, ref);
    assert.equal(after.metadata.resourceVersion, foreign.metadata.resourceVersion);

    await rig.client.delete(configMaps, ref);
    await rig.client.mergePatch(
      (await import('../../operator/api/mail-relay.ts')).mailRelays,
      { name: 'mail', namespace },
      { metadata: { annotations: { [annotations.reconcileRequestedAt]: '1' } } },
    );
    await rig.waitFor(configMaps, ref, ({ data }) => data?.['config.json'] !== undefined);
    await waitUntil('it is no longer stalled', async () => !(await rig.condition(namespace, 'Stalled')));
  });

  test('change in the pod template alone when a restart is needed', async () => {
    const namespace = await rig.namespace('template');
    await rig.createRelay(namespace, openProvider);
    const ref = { name: 'mail', namespace };
    const deployment = await rig.waitFor(deployments, ref);
    await rig.settled(await rig.audit.mark());
    const mark = await rig.audit.mark();
    await rig.patchRelay(namespace, { retry: { attempts: 5 } });
    await rig.waitFor(configMaps, { name: 'mail-config', namespace }, ({ data }) =>
      /"attempts": 5/.test(data?.['config.json'] ?? ''),
    );
    const writes = await rig.settled(mark);
    assert.deepEqual(
      writes.map(text => text.split(' ')[1]),
      ['configmaps', 'mailrelays/status'],
    );
    assert.equal(
      (await rig.client.get(deployments, ref)).metadata.generation,
      deployment.metadata.generation,
    );
  });
});
