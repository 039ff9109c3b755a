import assert from 'node:assert/strict';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { parseAllDocuments } from 'yaml';
import { mailRelays } from '../../operator/api/mail-relay.ts';
import { labels } from '../../operator/api/names.ts';
import { parseMailRelay } from '../../operator/api/parse.ts';
import type { MailRelaySpecInput } from '../../operator/api/schema.ts';
import type { KubeObject } from '../../operator/kube/object.ts';
import { childResources } from '../../operator/reconcile/caches.ts';
import { children } from '../../operator/resources/children.ts';
import {
  deployments,
  networkPolicies,
  persistentVolumeClaims,
  podDisruptionBudgets,
  statefulSets,
} from '../../operator/resources/kinds.ts';
import { command } from '../cluster/process.ts';
import { helmProgram } from '../cluster/tools.ts';
import { waitUntil } from '../kube/wait-until.ts';
import { type AuditEvent, sentence } from './audit.ts';
import { gone } from './gone.ts';
import { monitoringDefinitions } from './monitoring.ts';
import { openProvider, Rig, relayStatus, twoProviders } from './rig.ts';

interface Role extends KubeObject {
  readonly rules: readonly {
    readonly apiGroups: readonly string[];
    readonly resources: readonly string[];
    readonly verbs: readonly string[];
  }[];
}

const chart = join(import.meta.dirname, '../../charts/mailrelay');
const systemNamespace = 'mailrelay-system';
const account = 'mailrelay-operator';
const user = `system:serviceaccount:${systemNamespace}:${account}`;
const token = 'operator-token';

/** The chart's objects whose kind is in the list. */
async function rendered(kinds: readonly string[]): Promise<KubeObject[]> {
  const { stdout } = await command([
    await helmProgram(),
    ...['template', 'mailrelay', chart, '--namespace', systemNamespace, '--kube-version', '1.34.0'],
  ]);
  return parseAllDocuments(stdout)
    .map(document => document.toJS() as KubeObject | null)
    .filter(object => object !== null)
    .filter(({ kind = '' }) => kinds.includes(kind));
}

describe('the roles of the chart', () => {
  let rig: Rig;
  let roles: Role[];
  before(async () => {
    rig = await Rig.start({
      tokens: [{ token, name: user, groups: ['system:authenticated'] }],
      // Not on by default; OpenShift has it, and who has it refuses what RBAC alone allows.
      flags: ['--enable-admission-plugins=OwnerReferencesPermissionEnforcement'],
    });
    const objects = await rendered(['ClusterRole', 'ClusterRoleBinding', 'Role', 'RoleBinding']);
    const names = objects.filter(({ kind }) => kind?.endsWith('Binding')).map(object => roleOf(object));
    roles = objects.filter(object => 'rules' in object && names.includes(object.metadata.name)) as Role[];
    await rig.namespace(systemNamespace);
    await rig.server.kubectl(
      ['apply', '--server-side', '-f', '-'],
      JSON.stringify({ apiVersion: 'v1', kind: 'List', items: objects }),
    );
    for (const definition of monitoringDefinitions) await rig.define(definition);
  });
  after(() => rig?.stop());

  test('are exactly what the operator needs: nothing is refused, nothing unused', async () => {
    const operator = await rig.operator([
      ...['--kubeconfig', await rig.server.tokenKubeconfig(token)],
      ...['--leader-election-namespace', systemNamespace],
    ]);
    await live(rig);
    await rig.stopOperator(operator);

    const own = (await rig.audit.since()).filter(event => event.user.username === user);
    const refused = own.filter(({ responseStatus }) => responseStatus?.code === 403).map(sentence);
    assert.deepEqual(refused, []);
    const used = new Set(own.flatMap(permissionOf));
    const allowed = roles.flatMap(permissionsOf);
    assert.deepEqual(
      allowed.filter(permission => !used.has(permission) && !seldom.includes(permission)),
      [],
    );
    assert.deepEqual(
      seldom.filter(permission => !allowed.includes(permission)),
      [],
    );
  });
});

/** Needed, and not in every life. */
const seldom = [
  // Asked by admission for the operator (OwnerReferencesPermissionEnforcement), never by a request.
  'mailrelay.dev mailrelays/finalizers update',
  // The same, before something that exists is given an owner.
  ...['configmaps', 'services', 'serviceaccounts', 'persistentvolumeclaims'].map(kind => ` ${kind} delete`),
  ...['deployments', 'statefulsets'].map(kind => `apps ${kind} delete`),
  // The same event again within minutes becomes a series; one life does not take so long.
  'events.k8s.io events patch',
];

/** A life with everything in it that the operator ever does. */
async function live(rig: Rig): Promise<void> {
  const namespace = await rig.namespace('apps');
  const ref = { name: 'mail', namespace };
  await rig.createSecret(namespace, 'primary-smtp', { username: 'u', password: 'p' });
  const monitoring = { serviceMonitor: { enabled: true }, prometheusRule: { enabled: true } };
  const networkPolicy = { enabled: true };
  await rig.createRelay(namespace, { ...twoProviders, networkPolicy, monitoring });
  await rig.waitForReason(namespace, 'CredentialsAvailable', 'SecretMissing');
  await rig.waitFor(networkPolicies, ref);
  const ip = await rig.createPod(namespace, 'mail-a', relayStatus(''));
  await waitUntil('the pod is asked', () => rig.asked > 0);
  const failing = relayStatus('').providers.map(provider => ({ ...provider, state: 'failing' as const }));
  rig.answers.set(ip, relayStatus('', { providers: failing }));
  await rig.waitForReason(namespace, 'ProvidersHealthy', 'AllFailing');
  rig.answers.set(ip, relayStatus('', { draining: true }));
  await rig.patchRelay(namespace, {
    networkPolicy: { enabled: false },
    monitoring: { serviceMonitor: { enabled: false }, prometheusRule: { enabled: false } },
  });
  await waitUntil(
    'the policy is gone',
    async () => (await rig.client.find(networkPolicies, ref)) === undefined,
  );
  await rig.createRelay(
    namespace,
    { ...openProvider, replicas: 2, spool: { mode: 'PerReplica' } },
    { name: 'many' },
  );
  await rig.waitFor(statefulSets, { name: 'many', namespace });
  await rig.waitFor(deployments, ref);
  const shrinking = { name: 'fewer', namespace };
  const shared = { mode: 'Shared', accessMode: 'ReadWriteMany' } as const;
  await rig.createRelay(namespace, { ...openProvider, replicas: 2, spool: shared }, { name: 'fewer' });
  await rig.waitFor(podDisruptionBudgets, shrinking);
  await rig.patchRelay(namespace, { replicas: 1 }, 'fewer');
  await waitUntil(
    'the budget is gone',
    async () => (await rig.client.find(podDisruptionBudgets, shrinking)) === undefined,
  );
  for (const mode of ['Shared', 'PerReplica'] as const) {
    const taken = await rig.namespace(`taken-${mode.toLowerCase()}`);
    const spool = mode === 'Shared' ? { mode, accessMode: 'ReadWriteMany' as const } : { mode };
    const spec = { ...openProvider, replicas: 2, spool, networkPolicy, monitoring };
    await takeNames(rig, taken, spec);
    await rig.createRelay(taken, spec);
    await rig.waitForReason(taken, 'Stalled', 'NameTaken');
  }
  await orphaned(rig, await rig.namespace('orphaned'));
  await rig.client.delete(mailRelays, ref);
  await gone(rig, namespace);
  await rig.settled(await rig.audit.mark());
}

/** Every child loses its owner and gets it back; in the end the volumes, known to be empty, go with their MailRelay. */
async function orphaned(rig: Rig, namespace: string): Promise<void> {
  for (const mode of ['Shared', 'PerReplica'] as const) {
    const name = mode.toLowerCase();
    const spec = {
      ...openProvider,
      networkPolicy: { enabled: true },
      spool: { mode, retention: 'Delete' as const },
    };
    const { metadata } = await rig.createRelay(namespace, spec, { name });
    await rig.waitForReason(namespace, 'Ready', 'PodsUnavailable', name);
    const labelSelector = `${labels.instance}=${name}`;
    for (const resource of childResources.filter(({ kind }) => kind !== persistentVolumeClaims.kind)) {
      const { items } = await rig.client.list(resource, { namespace, labelSelector });
      for (const child of items) {
        const ref = { name: child.metadata.name, namespace };
        await rig.client.mergePatch(resource, ref, { metadata: { ownerReferences: null } });
        await rig.waitFor(resource, ref, live => live.metadata.ownerReferences?.[0]?.uid === metadata.uid);
      }
    }
  }
  await rig.bind(namespace, 'shared-spool');
  await rig.createPod(namespace, 'shared-a', relayStatus('', { draining: true }), 'shared');
  await rig.client.delete(mailRelays, { name: 'shared', namespace });
  await gone(rig, namespace, 'shared');
  await rig.waitFor(
    persistentVolumeClaims,
    { name: 'shared-spool', namespace },
    ({ metadata }) => metadata.ownerReferences?.length === 1,
  );
}

function roleOf(binding: KubeObject): string {
  return (binding as KubeObject & { roleRef: { name: string } }).roleRef.name;
}

function permissionsOf({ rules }: Role): string[] {
  return rules.flatMap(({ apiGroups, resources, verbs }) =>
    apiGroups.flatMap(group =>
      resources.flatMap(resource => verbs.map(verb => `${group} ${resource} ${verb}`)),
    ),
  );
}

/** An apply that makes the object needs leave to create it too. */
function permissionOf({ verb, objectRef, responseStatus }: AuditEvent): string[] {
  const { apiGroup = '', resource = '', subresource } = objectRef ?? {};
  const what = `${apiGroup} ${subresource === undefined ? resource : `${resource}/${subresource}`}`;
  return verb === 'patch' && responseStatus?.code === 201
    ? [`${what} patch`, `${what} create`]
    : [`${what} ${verb}`];
}

/** Objects with the names of a relay's children, which belong to nobody. */
async function takeNames(rig: Rig, namespace: string, spec: MailRelaySpecInput): Promise<void> {
  const metadata = { name: 'mail', namespace, uid: 'none' };
  const { relay } = parseMailRelay({ metadata, spec });
  const context = {
    ...{ image: 'relay:1', operatorNamespace: 'a', monitoringNamespaces: [], runbooks: '' },
    ...{ replicas: 2, draining: [] },
  };
  for (const { resource, name, manifest } of children(relay!, context)) {
    if (manifest === undefined) continue;
    await rig.client.create(resource, { ...manifest, metadata: { name, namespace } });
  }
}
