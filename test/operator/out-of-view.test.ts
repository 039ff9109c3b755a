import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { after, afterEach, before, describe, test } from 'node:test';
import type { KubeObject } from '../../operator/kube/object.ts';
import type { Resource } from '../../operator/kube/resource.ts';
import type { Operator } from '../../operator/operator.ts';
import {
  configMaps,
  deployments,
  prometheusRules,
  type ServiceMonitor,
  serviceMonitors,
} from '../../operator/resources/kinds.ts';
import { waitUntil } from '../kube/wait-until.ts';
import { operatorWrites } from './audit.ts';
import { monitoringDefinitions } from './monitoring.ts';
import { openProvider, Rig } from './rig.ts';

/** May do everything, where it is bound to the role. */
const scoped = { name: 'scoped', token: 'token-of-scoped' };

const rules = (resources: readonly string[]) => [
  { apiGroups: ['*'], resources, verbs: ['*'] },
  { apiGroups: ['mailrelay.dev'], resources: ['*'], verbs: ['*'] },
];
/** All that is watched but claims. */
const allButClaims = [
  ...['secrets', 'pods', 'configmaps', 'services', 'serviceaccounts', 'deployments', 'statefulsets'],
  ...['poddisruptionbudgets', 'networkpolicies', 'events'],
];

describe('an operator that does not see everything', () => {
  let rig: Rig;
  let operator: Operator | undefined;
  before(async () => {
    rig = await Rig.start({ tokens: [scoped] });
    const role = (name: string, resources: readonly string[]) => ({
      apiVersion: 'rbac.authorization.k8s.io/v1',
      kind: 'ClusterRole',
      metadata: { name },
      rules: rules(resources),
    });
    const items = [role('everything', ['*']), role('all-but-claims', allButClaims)];
    await rig.server.kubectl(['apply', '-f', '-'], JSON.stringify({ apiVersion: 'v1', kind: 'List', items }));
  });
  afterEach(async () => {
    if (operator !== undefined) await rig.stopOperator(operator);
    operator = undefined;
  });
  after(() => rig?.stop());

  const start = async (...namespaces: string[]): Promise<Operator> => {
    operator = await rig.operator([
      ...['--no-leader-elect', '--kubeconfig', await rig.server.tokenKubeconfig(scoped.token)],
      ...['--watch-namespaces', namespaces.join(',')],
    ]);
    return operator;
  };
  const bind = (namespace: string, role = 'everything') =>
    rig.server.kubectl([
      '-n',
      namespace,
      'create',
      'rolebinding',
      role,
      `--clusterrole=${role}`,
      '--user=scoped',
    ]);
  const unbind = (namespace: string, role = 'everything') =>
    rig.server.kubectl(['-n', namespace, 'delete', 'rolebinding', role]);
  /** Also after what was refused for long: it is asked for every half minute. */
  const longEnoughMs = 120_000;
  const exists = (resource: Resource, name: string, namespace: string): Promise<void> =>
    waitUntil(
      `${resource.kind} ${namespace}/${name} is there`,
      async () => (await rig.client.find(resource, { name, namespace })) !== undefined,
      longEnoughMs,
    );
  const isDone = (namespace: string) => exists(deployments, 'mail', namespace);
  const read = async (path: string): Promise<string> =>
    (await fetch(`http://127.0.0.1:${operator?.probesPort}${path}`)).text();
  /** `namespace/kind` of all that is out of view. */
  const outOfView = async (): Promise<string[]> =>
    [...(await read('/metrics')).matchAll(/^mailrelay_operator_scope_out_of_view\{(.*)\} 1$/gm)].map(
      ([, found = '']) => found.replace(/namespace="(.*)",kind="(.*)"/, '$1/$2'),
    );
  const stateOf = async (namespace: string): Promise<string | undefined> => {
    const found = new RegExp(`relay_state\\{relay_namespace="${namespace}",relay="mail",state="(.*)"\\} 1`);
    return found.exec(await read('/metrics'))?.[1];
  };
  const writesIn = async (namespace: string, mark: number): Promise<string[]> =>
    operatorWrites(await rig.audit.since(mark)).filter(text => text.includes(` ${namespace}/`));

  test('works where it may, and in the other namespaces as soon as they are there and may be read', async () => {
    const [open, closed] = [await rig.namespace('open'), await rig.namespace('closed')];
    await bind(open);
    for (const namespace of [open, closed]) await rig.createRelay(namespace, openProvider);
    await start(open, closed, 'later');
    assert.equal(await read('/readyz'), 'ok\n');
    await isDone(open);
    const told = await outOfView();
    for (const namespace of [closed, 'later'])
      assert.ok(told.includes(`${namespace}/MailRelay`), told.join());
    assert.ok(!told.some(scope => scope.startsWith(`${open}/`)), told.join());

    await bind(closed);
    await isDone(closed);
    await rig.namespace('later');
    await bind('later');
    await rig.createRelay('later', openProvider);
    await isDone('later');
    await waitUntil('nothing is out of view', async () => (await outOfView()).length === 0, longEnoughMs);
  });

  test('does nothing about a MailRelay while one kind that it needs may not be read beside it', async () => {
    const [whole, part] = [await rig.namespace('whole'), await rig.namespace('part')];
    await bind(whole);
    await bind(part, 'all-but-claims');
    for (const namespace of [whole, part]) await rig.createRelay(namespace, openProvider);
    const mark = await rig.audit.mark();
    await start(whole, part);
    await isDone(whole);
    await waitUntil('the MailRelay is left alone', async () => (await stateOf(part)) === 'out-of-view');
    assert.deepEqual(await outOfView(), [`${part}/PersistentVolumeClaim`]);
    await rig.patchRelay(part, { retry: { attempts: 7 } });
    await rig.settled(mark);
    assert.deepEqual(await writesIn(part, mark), []);
    await bind(part);
    await isDone(part);
    await waitUntil(
      'it is told of as any other',
      async () => (await stateOf(part)) === 'not-ready',
      longEnoughMs,
    );
  });

  test('leaves alone what it may not read any more, and mends it when it may again', async () => {
    const [kept, lost] = [await rig.namespace('kept'), await rig.namespace('lost')];
    for (const namespace of [kept, lost]) {
      await bind(namespace);
      await rig.createRelay(namespace, openProvider);
    }
    await start(kept, lost);
    await Promise.all([isDone(kept), isDone(lost)]);
    await rig.settled(await rig.audit.mark());
    await unbind(lost);
    // Rights are looked at when a watch is opened, which takes minutes otherwise.
    await rig.server.stopServing();
    await rig.server.resumeServing();
    await waitUntil('it is out of view', async () => (await stateOf(lost)) === 'out-of-view');
    const mark = await rig.audit.mark();
    const config = { name: 'mail-config', namespace: lost };
    await rig.client.delete(configMaps, config);
    await rig.patchRelay(kept, { retry: { attempts: 7 } });
    await rig.waitFor(configMaps, { name: 'mail-config', namespace: kept }, ({ data }) =>
      /"attempts": 7/.test(data?.['config.json'] ?? ''),
    );
    await rig.settled(mark);
    assert.deepEqual(await writesIn(lost, mark), []);
    await bind(lost);
    await exists(configMaps, config.name, lost);
    await waitUntil('nothing is out of view', async () => (await outOfView()).length === 0, longEnoughMs);
  });

  test('is not ready, and does nothing, while there is no namespace that may be read', async () => {
    const only = await rig.namespace('only');
    await rig.createRelay(only, openProvider);
    const starting = start(only);
    let isStarted = false;
    void starting.then(() => {
      isStarted = true;
    });
    await waitUntil('every kind was refused', async () => {
      const refused = (await rig.audit.since()).filter(
        ({ user, objectRef, responseStatus }) =>
          user.username === scoped.name && objectRef?.namespace === only && responseStatus?.code === 403,
      );
      return new Set(refused.map(({ objectRef }) => objectRef?.resource)).size >= 11;
    });
    assert.equal(isStarted, false);
    await bind(only);
    await starting;
    await isDone(only);
  });

  test('takes in kinds of the Prometheus operator that come while it runs, one without the other, and misses none', async () => {
    const namespace = await rig.namespace('monitored');
    const [monitors, alerts] = monitoringDefinitions;
    const monitoring = { serviceMonitor: { enabled: true }, prometheusRule: { enabled: true } };
    await rig.createRelay(namespace, { ...openProvider, monitoring });
    await rig.define(monitors!);
    operator = await rig.operator();
    await exists(serviceMonitors, 'mail', namespace);
    assert.deepEqual(await outOfView(), []);
    await rig.define(alerts!);
    await exists(prometheusRules, 'mail', namespace);
    const names = monitoringDefinitions.map(({ metadata }) => metadata.name);
    await rig.server.kubectl(['delete', 'crd', ...names]);
    await rig.patchRelay(namespace, { retry: { attempts: 7 } });
    await rig.waitFor(configMaps, { name: 'mail-config', namespace }, ({ data }) =>
      /"attempts": 7/.test(data?.['config.json'] ?? ''),
    );
    assert.equal(await read('/healthz'), 'ok\n');
    for (const definition of monitoringDefinitions) await rig.define(definition);
    await exists(serviceMonitors, 'mail', namespace);
    await exists(prometheusRules, 'mail', namespace);
  });

  test('gives a kind of the Prometheus operator its labels back in the namespaces that it watches', async () => {
    const namespace = await rig.namespace('relabelled');
    await bind(namespace);
    const definitions = { apiVersion: 'v1', kind: 'List', items: monitoringDefinitions };
    await rig.server.kubectl(['apply', '-f', '-'], JSON.stringify(definitions));
    await rig.createRelay(namespace, openProvider);
    await start(namespace);
    const monitor = { name: 'mail', namespace };
    await exists(serviceMonitors, monitor.name, namespace);
    const label = 'app.kubernetes.io/managed-by';
    await rig.client.mergePatch(serviceMonitors, monitor, { metadata: { labels: { [label]: null } } });
    await rig.waitFor(serviceMonitors, monitor, ({ metadata }) => metadata.labels?.[label] !== undefined);
  });

  test('starts and works while a kind that it can do without cannot be read', async () => {
    const namespace = await rig.namespace('converted');
    const { metadata, spec } = monitoringDefinitions[0] as (typeof monitoringDefinitions)[0] & {
      spec: { versions: object[] };
    };
    await rig.server.kubectl(['delete', 'crd', metadata.name, '--ignore-not-found']);
    // What is stored as v2 is read as v1 by a webhook that is not there.
    const [v1] = spec.versions;
    const versions = [
      { ...v1, storage: false },
      { ...v1, name: 'v2' },
    ];
    const caBundle = (await readFile(rig.server.authority)).toString('base64');
    const webhook = {
      conversionReviewVersions: ['v1'],
      clientConfig: { url: 'https://127.0.0.1:1/', caBundle },
    };
    const broken = { ...spec, versions, conversion: { strategy: 'Webhook', webhook } };
    await rig.define({ ...monitoringDefinitions[0], metadata, spec: broken } as KubeObject);
    const stored = { ...serviceMonitors, apiVersion: 'monitoring.coreos.com/v2' };
    const labels = { 'app.kubernetes.io/managed-by': 'mailrelay-operator' };
    const any = { metadata: { name: 'any', namespace, labels }, spec: {} } as unknown as ServiceMonitor;
    // What is established may still be unknown to who serves it.
    await waitUntil('it is stored', () =>
      rig.client.create(stored, any).then(
        () => true,
        () => false,
      ),
    );
    await waitUntil('it cannot be read', () =>
      rig.client.list(serviceMonitors).then(
        () => false,
        (error: Error) => /conversion webhook/.test(error.message),
      ),
    );
    operator = await rig.operator();
    await rig.createRelay(namespace, openProvider);
    await isDone(namespace);
    assert.deepEqual(await outOfView(), []);
  });
});
