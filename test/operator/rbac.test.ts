import assert from 'node:assert/strict';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { parseAllDocuments } from 'yaml';
import { mailRelays } from '../../operator/api/mail-relay.ts';
import type { KubeObject } from '../../operator/kube/object.ts';
import { deployments, networkPolicies, statefulSets } from '../../operator/resources/kinds.ts';
import { command } from '../cluster/process.ts';
import { helmProgram } from '../cluster/tools.ts';
import { waitUntil } from '../kube/wait-until.ts';
import { type AuditEvent, sentence } from './audit.ts';
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
    rig = await Rig.start({ tokens: [{ token, name: user, groups: ['system:authenticated'] }] });
    const objects = await rendered(['ClusterRole', 'ClusterRoleBinding', 'Role', 'RoleBinding']);
    const names = objects.filter(({ kind }) => kind?.endsWith('Binding')).map(object => roleOf(object));
    roles = objects.filter(({ metadata }) => names.includes(metadata.name)) as Role[];
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
    const used = new Set(own.map(permissionOf));
    const unused = roles.flatMap(permissionsOf).filter(permission => !used.has(permission));
    // Asked by admission on behalf of the operator (OwnerReferencesPermissionEnforcement), never by a request.
    assert.deepEqual(unused, ['mailrelay.dev mailrelays/finalizers update']);
  });
});

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
  await rig.client.delete(mailRelays, ref);
  await waitUntil('it is gone', async () => (await rig.client.find(mailRelays, ref)) === undefined);
  await rig.settled(await rig.audit.mark());
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

function permissionOf({ verb, objectRef }: AuditEvent): string {
  const { apiGroup = '', resource = '', subresource } = objectRef ?? {};
  return `${apiGroup} ${subresource === undefined ? resource : `${resource}/${subresource}`} ${verb}`;
}
