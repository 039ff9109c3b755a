/** An operator where a part of what it is to watch fails for ever, or where a kind that it can do without is forbidden. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { type IncomingMessage, request } from 'node:http';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { secrets } from '../../operator/reconcile/secret-facts.ts';
import { deployments } from '../../operator/resources/kinds.ts';
import { waitUntil } from '../kube/wait-until.ts';
import { operatorWrites } from './audit.ts';
import { monitoringDefinitions } from './monitoring.ts';
import { openProvider, Rig } from './rig.ts';

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
const rules = [
  {
    apiGroups: ['', 'apps', 'policy', 'networking.k8s.io', 'events.k8s.io', 'mailrelay.dev'],
    resources: ['*'],
    verbs: ['*'],
  },
];

describe('an operator', () => {
  let rig: Rig;
  before(async () => {
    rig = await Rig.start({ tokens: [scoped] });
  });
  after(() => rig?.stop());

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
    const role = { apiGroup: 'rbac.authorization.k8s.io', kind: 'ClusterRole', name: 'most' };
    const binding = {
      ...{
        apiVersion: 'rbac.authorization.k8s.io/v1',
        kind: 'ClusterRoleBinding',
        metadata: { name: 'most' },
      },
      ...{ roleRef: role, subjects: [{ ...role, kind: 'User', name: scoped.name }] },
    };
    const clusterRole = {
      apiVersion: binding.apiVersion,
      metadata: binding.metadata,
      kind: 'ClusterRole',
      rules,
    };
    const items = [clusterRole, binding];
    await rig.server.kubectl(['apply', '-f', '-'], JSON.stringify({ apiVersion: 'v1', kind: 'List', items }));
    const kubeconfig = await rig.server.tokenKubeconfig(scoped.token);
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
  });
});
