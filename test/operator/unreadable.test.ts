/** An operator where a part of what it is to watch or to read fails for ever, or where a kind that it can do without is forbidden. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { type IncomingMessage, request } from 'node:http';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import type { MailRelaySpecInput } from '../../operator/api/schema.ts';
import { secrets } from '../../operator/reconcile/secret-facts.ts';
import { deployments } from '../../operator/resources/kinds.ts';
import { childLabels } from '../../operator/resources/names.ts';
import { waitUntil } from '../kube/wait-until.ts';
import { operatorWrites } from './audit.ts';
import { monitoringDefinitions } from './monitoring.ts';
import { openProvider, Rig, ref } from './rig.ts';

/** What has failed for long is looked for every half minute, and a watch is given up as late. */
const PATIENCE_MS = 300_000;

/** Asks the etcd of the API server, past it. */
async function askEtcd(rig: Rig, what: 'put' | 'deleterange', body: object): Promise<void> {
  const asking = request({
    socketPath: join(rig.server.directory, 'etcd.sock'),
    ...{ host: 'localhost', path: `/v3/kv/${what}`, method: 'POST' },
  });
  asking.end(JSON.stringify(body));
  const [response] = (await once(asking, 'response')) as [IncomingMessage];
  response.resume();
  assert.equal(response.statusCode, 200);
}

/** May do everything but with the kinds of the Prometheus operator. */
const scoped = { name: 'scoped', token: 'token-of-scoped' };
const most = [
  {
    apiGroups: ['', 'apps', 'policy', 'networking.k8s.io', 'events.k8s.io', 'mailrelay.dev'],
    resources: ['*'],
    verbs: ['*'],
  },
];
/** May read Deployments by lists alone. */
const listing = { name: 'listing', token: 'token-of-listing' };
const [everything] = most;
const allButOne = [
  { ...everything!, apiGroups: everything!.apiGroups.filter(group => group !== 'apps') },
  { ...everything!, apiGroups: ['apps'], resources: ['statefulsets'] },
  { ...everything!, apiGroups: ['apps'], resources: ['deployments'], verbs: ['list', 'watch', 'patch'] },
];

describe('an operator', () => {
  let rig: Rig;
  before(async () => {
    rig = await Rig.start({ tokens: [scoped, listing] });
  });
  after(() => rig?.stop());

  /** A kubeconfig of the user, who may do that. */
  const kubeconfigOf = async ({ name, token }: typeof scoped, rules: typeof most): Promise<string> => {
    const group = 'rbac.authorization.k8s.io';
    const role = { apiGroup: group, kind: 'ClusterRole', name };
    const both = { apiVersion: `${group}/v1`, metadata: { name } };
    const subjects = [{ apiGroup: group, kind: 'User', name }];
    const items = [
      { ...both, kind: 'ClusterRole', rules },
      { ...both, kind: 'ClusterRoleBinding', roleRef: role, subjects },
    ];
    await rig.server.kubectl(['apply', '-f', '-'], JSON.stringify({ apiVersion: 'v1', kind: 'List', items }));
    return rig.server.tokenKubeconfig(token);
  };

  test('works and lists Secrets in the other namespaces where one cannot be read from the start, and takes it in when it can', async () => {
    for (const namespace of ['good', 'bad']) {
      await rig.namespace(namespace);
      await rig.createRelay(namespace, openProvider);
    }
    // As it was stored by an API server that had a key which this one has not: no LIST with it succeeds.
    const key = btoa('/registry/secrets/bad/broken');
    await askEtcd(rig, 'put', { key, value: btoa('k8s:enc:aescbc:v1:key1:unreadable') });
    await assert.rejects(rig.client.list(secrets, { namespace: 'bad' }), { code: 500 });
    const mark = await rig.audit.mark();
    const operator = await rig.operator(['--no-leader-elect', '--watch-namespaces', 'good,bad']);
    const hasDeployment = (namespace: string, name: string): Promise<void> =>
      waitUntil(
        `Deployment ${namespace}/${name} is there`,
        async () => (await rig.client.find(deployments, { namespace, name })) !== undefined,
        PATIENCE_MS,
      );
    const read = async (path: string): Promise<string> =>
      (await fetch(`http://127.0.0.1:${operator.probesPort}${path}`)).text();
    await rig.waitFor(deployments, { name: 'mail', namespace: 'good' });
    assert.equal(await read('/readyz'), 'ok\n');
    await waitUntil('the other is left alone', async () =>
      /relay_state\{relay_namespace="bad",relay="mail",state="out-of-view"\} 1/.test(await read('/metrics')),
    );
    const metrics = await read('/metrics');
    assert.deepEqual(metrics.match(/^mailrelay_operator_scope_out_of_view.*$/gm), [
      'mailrelay_operator_scope_out_of_view{namespace="bad",kind="Secret"} 1',
    ]);
    assert.match(metrics, /^kube_watch_faults_total\{kind="Secret",during="list"\} \d+$/m);
    const writes = operatorWrites(await rig.audit.since(mark));
    assert.deepEqual(
      writes.filter(text => text.includes(' bad/')),
      [],
    );
    // Beside it the API server lists the Secrets of the first one, and watches them for nobody.
    const watchFault = /^kube_watch_faults_total\{kind="Secret",during="watch"\} \d+$/m;
    await waitUntil('no watch of Secrets', async () => watchFault.test(await read('/metrics')), PATIENCE_MS);
    const since = await rig.audit.mark();
    await waitUntil(
      'they are listed instead',
      async () =>
        (await rig.audit.since(since)).some(
          ({ verb, userAgent = '', objectRef, responseStatus }) =>
            userAgent.startsWith('mailrelay-operator/') &&
            `${verb} ${objectRef?.resource} ${objectRef?.namespace} ${responseStatus?.code}` ===
              'list secrets good 200',
        ),
      PATIENCE_MS,
    );
    assert.match(await read('/healthz'), /^ok/);
    await askEtcd(rig, 'deleterange', { key });
    await hasDeployment('bad', 'mail');
    assert.doesNotMatch(await read('/metrics'), /^mailrelay_operator_scope_out_of_view\{/m);
    await rig.stopOperator(operator);
  });

  test('misses nothing, and makes the rest, where it may not read the kinds of the Prometheus operator', async () => {
    for (const definition of monitoringDefinitions) await rig.define(definition);
    const kubeconfig = await kubeconfigOf(scoped, most);
    const namespace = await rig.namespace('unmonitored');
    const monitoring = { serviceMonitor: { enabled: true } };
    await rig.createRelay(namespace, { ...openProvider, monitoring });
    const operator = await rig.operator(['--no-leader-elect', '--kubeconfig', kubeconfig]);
    await rig.waitFor(deployments, { name: 'mail', namespace });
    const refused = (await rig.audit.since()).filter(
      ({ user, responseStatus }) => user.username === scoped.name && responseStatus?.code === 403,
    );
    assert.ok(refused.some(({ objectRef }) => objectRef?.resource === 'servicemonitors'));
    const metrics = await (await fetch(`http://127.0.0.1:${operator.probesPort}/metrics`)).text();
    assert.doesNotMatch(metrics, /^mailrelay_operator_scope_out_of_view\{/m);
    assert.doesNotMatch(metrics, /state="out-of-view"/);
    await rig.stopOperator(operator);
  });

  test('says that a MailRelay is suspended also when a Secret that it names cannot be read', async () => {
    const namespace = await rig.namespace('suspended');
    const named = (name: string): MailRelaySpecInput => ({
      forwardProviders: [{ name: 'primary', host: 'smtp.primary.com', port: 587, secretRef: { name } }],
    });
    const operator = await rig.operator(['--no-leader-elect', '--watch-namespaces', namespace]);
    for (const name of ['broken', 'good'])
      await rig.createSecret(namespace, name, { username: 'user', password: 'secret' });
    await rig.createRelay(namespace, named('good'));
    // The watch has brought the other one before.
    await rig.waitForReason(namespace, 'CredentialsAvailable', 'Available');
    const key = btoa(`/registry/secrets/${namespace}/broken`);
    await askEtcd(rig, 'put', { key, value: btoa('k8s:enc:aescbc:v1:key1:unreadable') });
    await rig.patchRelay(namespace, { ...named('broken'), suspend: true });
    await rig.waitForReason(namespace, 'Ready', 'Suspended');
    await rig.waitForReason(namespace, 'CredentialsAvailable', 'ReadFailed');
    await rig.stopOperator(operator);
  });

  test('says why it cannot go on when a workload that may be somebody else’s cannot be read', async () => {
    const namespace = await rig.namespace('unsure');
    const labels = childLabels({ name: 'mail' });
    const containers = [{ name: 'relay', image: 'copied' }];
    const template = { metadata: { labels }, spec: { containers } };
    const spec = { replicas: 1, selector: { matchLabels: labels }, template };
    await rig.client.create(deployments, { metadata: { ...ref(namespace), labels }, spec });
    await rig.createRelay(namespace, { ...openProvider, suspend: true });
    const kubeconfig = await kubeconfigOf(listing, allButOne);
    const flags = ['--no-leader-elect', '--kubeconfig', kubeconfig, '--watch-namespaces', namespace];
    const operator = await rig.operator(flags);
    const { message } = await rig.waitForReason(namespace, 'Reconciling', 'Retrying');
    assert.match(message, /deployments.apps "mail" is forbidden/);
    assert.equal((await rig.relay(namespace)).status?.observedGeneration, 1);
    await rig.stopOperator(operator);
  });
});
