import assert from 'node:assert/strict';
import { readdirSync } from 'node:fs';
import { after, afterEach, before, describe, test } from 'node:test';
import { createClient } from '../../operator/kube/client.ts';
import { loadConnection } from '../../operator/kube/connection.ts';
import { createInformer, type Informer, type InformerOptions } from '../../operator/kube/informer.ts';
import type { KubeClient } from '../../operator/kube/resource.ts';
import { createTransport, type RequestReport, type Transport } from '../../operator/kube/transport.ts';
import { type ApiServer, startApiServer } from '../cluster/api-server.ts';
import { type ConfigMap, configMaps } from './faulty-server.ts';
import { waitUntil } from './wait-until.ts';

describe('an informer on a real API server', () => {
  let server: ApiServer;
  let transport: Transport;
  let client: KubeClient;
  const reports: RequestReport[] = [];
  const informers: Informer<ConfigMap>[] = [];

  before(async () => {
    server = await startApiServer();
    const connection = await loadConnection({ kubeconfig: server.kubeconfig, env: {} });
    transport = createTransport({
      connection,
      userAgent: 'kit-test/1',
      onRequest: report => reports.push(report),
    });
    client = createClient(transport);
    for (const name of ['one', 'two', 'three']) {
      await server.kubectl(['create', 'namespace', name]);
    }
  });
  afterEach(() => Promise.all(informers.splice(0).map(informer => informer.stop())));
  after(async () => {
    await transport?.close();
    await server?.stop();
  });

  function watch(options: Partial<InformerOptions<ConfigMap>> = {}): Informer<ConfigMap> {
    const informer = createInformer<ConfigMap>({
      client,
      resource: configMaps,
      labelSelector: 'kit',
      ...options,
    });
    informers.push(informer);
    informer.start();
    return informer;
  }
  const map = (namespace: string, name: string, value = ''): ConfigMap => ({
    metadata: { namespace, name, labels: { kit: 'yes' } },
    data: { value, secret: value },
  });
  const names = (informer: Informer<ConfigMap>) =>
    [...informer.list()].map(({ metadata }) => `${metadata.namespace}/${metadata.name}`).sort();

  test('reads in pages and sees what is made, changed and deleted', async () => {
    await Promise.all(
      Array.from({ length: 25 }, (_, at) => client.create(configMaps, map('one', `page-${at}`))),
    );
    const informer = watch({ pageSize: 10, namespaces: ['one'] });
    await informer.hasSynced;
    assert.equal(informer.size, 25);
    const seen: string[] = [];
    informer.subscribe(({ type, object }) => seen.push(`${type} ${object.metadata.name}`));
    await client.create(configMaps, map('one', 'made'));
    await client.mergePatch(configMaps, { namespace: 'one', name: 'made' }, { data: { value: 'changed' } });
    await client.delete(configMaps, { namespace: 'one', name: 'made' });
    await waitUntil('three events', () => seen.length === 3);
    assert.deepEqual(seen, ['added made', 'updated made', 'deleted made']);
  });

  test('takes in no answer to a write of its own to what is selected no more', async () => {
    const ref = { namespace: 'one', name: 'handed-over' };
    await client.create(configMaps, map('one', 'handed-over'));
    const informer = watch({ namespaces: ['one'], labelSelector: 'kit=yes' });
    await informer.hasSynced;
    const write = () => client.mergePatch(configMaps, ref, { data: { value: 'ours' } });
    const labelled = (kit: string) => client.mergePatch(configMaps, ref, { metadata: { labels: { kit } } });
    // Before the watch brings it, and after.
    const answer = labelled('another').then(write);
    informer.observe(await answer);
    await waitUntil('it is gone', () => !informer.has('one/handed-over'));
    informer.observe(await client.mergePatch(configMaps, ref, { data: { value: 'ours, later' } }));
    assert.equal(informer.has('one/handed-over'), false);
    informer.observe(await labelled('yes'));
    assert.equal(informer.has('one/handed-over'), true);
  });

  test('watches only the namespaces and labels it was told, one watch each', async () => {
    await client.create(configMaps, map('two', 'a'));
    await client.create(configMaps, map('three', 'a'));
    await client.create(configMaps, { metadata: { namespace: 'two', name: 'unlabelled' } });
    const informer = watch({ namespaces: ['two', 'three'] });
    await informer.hasSynced;
    assert.deepEqual(names(informer), ['three/a', 'two/a']);
    await waitUntil('both watches are open', () => informer.stats().watches === 2);
    await client.mergePatch(
      configMaps,
      { namespace: 'two', name: 'a' },
      { metadata: { labels: { kit: null } } },
    );
    await waitUntil('what no longer matches is gone', () => names(informer).join() === 'three/a');
  });

  test('keeps metadata only when told to, with the real kind', async () => {
    await client.create(configMaps, map('two', 'meta', 'not for us'));
    const informer = watch({ metadataOnly: true, namespaces: ['two'] });
    await informer.hasSynced;
    await client.create(configMaps, map('two', 'meta-later', 'not for us'));
    await waitUntil(
      'the later one',
      () => informer.get({ namespace: 'two', name: 'meta-later' }) !== undefined,
    );
    for (const object of informer.list()) {
      assert.deepEqual(Object.keys(object).sort(), ['apiVersion', 'kind', 'metadata']);
      assert.equal(object.kind, 'ConfigMap');
      assert.equal(object.metadata.managedFields, undefined);
    }
  });

  test('trims objects and finds them by index', async () => {
    const informer = watch({
      namespaces: ['two'],
      transform: ({ data, ...rest }) => ({ ...rest, data: { value: data?.['value'] ?? '' } }),
      indexers: { value: ({ data }) => [data?.['value'] ?? ''] },
    });
    await informer.hasSynced;
    await client.create(configMaps, map('two', 'indexed', 'v1'));
    await waitUntil('v1', () => informer.byIndex('value', 'v1').length === 1);
    assert.deepEqual(informer.get({ namespace: 'two', name: 'indexed' })?.data, { value: 'v1' });
    await client.mergePatch(configMaps, { namespace: 'two', name: 'indexed' }, { data: { value: 'v2' } });
    await waitUntil('v2', () => informer.byIndex('value', 'v2').length === 1);
    assert.deepEqual(informer.byIndex('value', 'v1'), []);
  });

  test('shows the answer to an own write at once and is not told of it again', async () => {
    const informer = watch({ namespaces: ['three'] });
    await informer.hasSynced;
    const told: string[] = [];
    informer.subscribe(({ object }) => told.push(object.metadata.name));
    informer.observe(await client.create(configMaps, map('three', 'own')));
    assert.ok(informer.get({ namespace: 'three', name: 'own' }));
    // The watch may have been faster than the answer; from here on it is known.
    const before = told.length;
    await client.create(configMaps, map('three', 'other'));
    await waitUntil('the other one is told', () => told.includes('other'));
    assert.deepEqual(told.slice(before), ['other']);
  });

  test('opens a watch again when the server ends it, without a new LIST', async () => {
    const informer = watch({ watchSeconds: [1, 1] });
    await informer.hasSynced;
    await waitUntil('the third watch', () => informer.stats().watches >= 3);
    const { lists, faults } = informer.stats();
    assert.deepEqual({ lists, faults }, { lists: 1, faults: 0 });
  });

  test('recovers from an API server that was killed, with the truth, one watch and no more connections', async () => {
    const faults: string[] = [];
    const informer = watch({ onFault: ({ error }) => faults.push(error.message) });
    await informer.hasSynced;
    const open = () => informer.stats().disconnectedMs === 0;
    await waitUntil('the watch is open', open);
    const files = () => readdirSync('/proc/self/fd').length;
    const before = files();
    for (let times = 0; times < 2; times++) {
      await server.stopServing('SIGKILL');
      await waitUntil('the fault is seen', () => !open());
      await server.resumeServing();
      const start = performance.now();
      await client.create(configMaps, map('one', `after-${times}`));
      await waitUntil(
        'the new object',
        () => informer.get({ namespace: 'one', name: `after-${times}` }) !== undefined,
      );
      assert.ok(performance.now() - start < 5_000, `${performance.now() - start} ms`);
    }
    const { items } = await client.list(configMaps, { labelSelector: 'kit' });
    assert.deepEqual(
      names(informer),
      items.map(({ metadata }) => `${metadata.namespace}/${metadata.name}`).sort(),
    );
    assert.ok(files() <= before + 2, `${before} → ${files()} files`);
    assert.ok(faults.length >= 2);
  });
});
