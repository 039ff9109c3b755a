import assert from 'node:assert/strict';
import { after, afterEach, before, describe, test } from 'node:test';
import { createClient } from '../../operator/kube/client.ts';
import { loadConnection } from '../../operator/kube/connection.ts';
import {
  createInformer,
  type Informer,
  type InformerFault,
  type InformerOptions,
} from '../../operator/kube/informer.ts';
import type { KubeObject } from '../../operator/kube/object.ts';
import { defineResource, type KubeClient, type Resource } from '../../operator/kube/resource.ts';
import type { ScopeChange } from '../../operator/kube/scopes.ts';
import { createTransport, type Transport } from '../../operator/kube/transport.ts';
import { type ApiServer, startApiServer } from '../cluster/api-server.ts';
import { type ConfigMap, configMaps } from './faulty-server.ts';
import { waitUntil } from './wait-until.ts';

/** May read config maps where it is bound to the role, and nothing else. */
const reader = { name: 'reader', token: 'token-of-reader' };

type Widget = KubeObject;
const widgets = defineResource<Widget>({
  apiVersion: 'example.com/v1',
  kind: 'Widget',
  plural: 'widgets',
  namespaced: true,
});
const schema = { type: 'object' };
const definition = {
  apiVersion: 'apiextensions.k8s.io/v1',
  kind: 'CustomResourceDefinition',
  metadata: { name: 'widgets.example.com' },
  spec: {
    group: 'example.com',
    scope: 'Namespaced',
    names: { kind: 'Widget', plural: 'widgets', singular: 'widget', listKind: 'WidgetList' },
    versions: [{ name: 'v1', served: true, storage: true, schema: { openAPIV3Schema: schema } }],
  },
};

describe('an informer of which a part is out of view', () => {
  let server: ApiServer;
  const transports: Transport[] = [];
  let administrator: KubeClient;
  let client: KubeClient;
  const informers: Informer<KubeObject>[] = [];

  async function connect(kubeconfig: string): Promise<KubeClient> {
    const connection = await loadConnection({ kubeconfig, env: {} });
    const transport = createTransport({ connection, userAgent: 'kit-test/1' });
    transports.push(transport);
    return createClient(transport);
  }

  before(async () => {
    server = await startApiServer({ tokens: [reader] });
    administrator = await connect(server.kubeconfig);
    client = await connect(await server.tokenKubeconfig(reader.token));
    await server.kubectl(['create', 'clusterrole', 'reader', '--verb=list,watch', '--resource=configmaps']);
  });
  afterEach(() => Promise.all(informers.splice(0).map(informer => informer.stop())));
  after(async () => {
    await Promise.all(transports.map(transport => transport.close()));
    await server?.stop();
  });

  const allow = (namespace: string) =>
    server.kubectl([
      '-n',
      namespace,
      'create',
      'rolebinding',
      'reader',
      '--clusterrole=reader',
      '--user=reader',
    ]);
  const forbid = (namespace: string) => server.kubectl(['-n', namespace, 'delete', 'rolebinding', 'reader']);
  const createMap = (namespace: string, name: string) =>
    administrator.create(configMaps, { metadata: { namespace, name } } as ConfigMap);

  function watch<T extends KubeObject>(resource: Resource<T>, options: Partial<InformerOptions<T>> = {}) {
    const changes: ScopeChange[] = [];
    const faults: InformerFault[] = [];
    const told: string[] = [];
    const informer = createInformer<T>({
      client,
      resource,
      refusedBackoffMs: [20, 200],
      refusedPatienceMs: 100,
      onScope: change => changes.push(change),
      onFault: fault => faults.push(fault),
      ...options,
    });
    informer.subscribe(({ type, object }) =>
      told.push(`${type} ${object.metadata.namespace}/${object.metadata.name}`),
    );
    informers.push(informer as unknown as Informer<KubeObject>);
    informer.start();
    return { informer, changes, faults, told };
  }
  const states = ({ scopes }: { scopes: Informer<KubeObject>['scopes'] }) =>
    Object.fromEntries(scopes.map(({ namespace = '', state }) => [namespace, state]));
  const becomes = (informer: { scopes: Informer<KubeObject>['scopes'] }, expected: Record<string, string>) =>
    waitUntil(`the scopes are ${JSON.stringify(expected)}`, () => {
      const now = states(informer);
      return Object.entries(expected).every(([namespace, state]) => now[namespace] === state);
    });

  test('goes on with the namespaces that answer, and takes in the others when they may be read', async () => {
    await server.kubectl(['create', 'namespace', 'open']);
    await server.kubectl(['create', 'namespace', 'closed']);
    await allow('open');
    await Promise.all([createMap('open', 'one'), createMap('closed', 'two')]);
    const { informer, changes, faults, told } = watch(configMaps, {
      namespaces: ['open', 'closed', 'later'],
    });
    await becomes(informer, { open: 'in-view', closed: 'forbidden', later: 'forbidden' });
    assert.deepEqual(told, ['added open/one']);
    assert.match(
      changes.find(({ namespace }) => namespace === 'closed')?.error?.message ?? '',
      /is forbidden/,
    );
    await waitUntil('the watch of the open one is open', () => informer.stats().disconnectedMs === 0);
    await createMap('open', 'three');
    await waitUntil('its news come', () => told.includes('added open/three'));

    await allow('closed');
    await server.kubectl(['create', 'namespace', 'later']);
    await allow('later');
    await informer.hasSynced;
    assert.ok(told.includes('added closed/two'));
    await createMap('later', 'four');
    await waitUntil('also of the one that has come', () => told.includes('added later/four'));
    assert.deepEqual(faults, [], 'a refusal is no fault');
    const toldOnce = changes.map(({ namespace, state }) => `${namespace} ${state}`);
    assert.equal(new Set(toldOnce).size, toldOnce.length, `each change once: ${toldOnce.join()}`);
  });

  test('takes what it may not read any more for unknown, not for gone, and learns of it all afterwards', async () => {
    await server.kubectl(['create', 'namespace', 'lost']);
    await server.kubectl(['create', 'namespace', 'kept']);
    await allow('kept');
    await allow('lost');
    await Promise.all(['stays', 'goes'].map(name => createMap('lost', name)));
    // Rights are looked at when a watch is opened.
    const options = { namespaces: ['kept', 'lost'], watchSeconds: [1, 1] } as const;
    const { informer, told } = watch(configMaps, options);
    await informer.hasSynced;
    await forbid('lost');
    await becomes(informer, { lost: 'forbidden', kept: 'in-view' });
    const before = told.length;
    await administrator.delete(configMaps, { namespace: 'lost', name: 'goes' });
    await createMap('lost', 'new');
    assert.equal(told.length, before, 'nothing is told of it');
    assert.ok(informer.has('lost/goes') && informer.has('lost/stays'));
    await createMap('kept', 'other');
    await waitUntil('the other goes on', () => told.includes('added kept/other'));
    await allow('lost');
    await becomes(informer, { lost: 'in-view' });
    assert.deepEqual(told.slice(before).sort(), ['added kept/other', 'added lost/new', 'deleted lost/goes']);
  });

  test('knows a kind that is not served from one that is forbidden, with rights and without', async () => {
    const [nobody, somebody] = [watch(widgets), watch(widgets, { client: administrator })];
    await becomes(nobody.informer, { '': 'not-served' });
    await becomes(somebody.informer, { '': 'not-served' });
    await server.kubectl(['apply', '-f', '-'], JSON.stringify(definition));
    await becomes(nobody.informer, { '': 'forbidden' });
    await becomes(somebody.informer, { '': 'in-view' });
    await waitUntil('the watch is open', () => somebody.informer.stats().disconnectedMs === 0);
    const widget = { metadata: { name: 'one', namespace: 'default' } };
    await administrator.create(widgets, { apiVersion: 'example.com/v1', kind: 'Widget', ...widget });
    await waitUntil('what is made is told', () => somebody.told.includes('added default/one'));
    await server.kubectl(['delete', 'crd', 'widgets.example.com']);
    await becomes(somebody.informer, { '': 'not-served' });
    await server.kubectl(['apply', '-f', '-'], JSON.stringify(definition));
    await becomes(somebody.informer, { '': 'in-view' });
    assert.equal(somebody.informer.size, 0);
  });

  test('is as alive as what it may see: a scope out of view is no watch that is away', async () => {
    const { informer } = watch(configMaps, { namespaces: ['nowhere'] });
    await becomes(informer, { nowhere: 'forbidden' });
    assert.equal(informer.stats().disconnectedMs, undefined);
    assert.equal(informer.stats().synced, false);
  });
});
