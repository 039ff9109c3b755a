import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import type {
  V1Deployment,
  V1NetworkPolicy,
  V1PersistentVolumeClaim,
  V1Service,
  V1ServiceAccount,
} from '@kubernetes/client-node';
import {
  isAlreadyExists,
  isConflict,
  isForbidden,
  isNotFound,
  isRefusal,
} from '../../operator/kube/api-error.ts';
import { createApplier, NotLeaderError } from '../../operator/kube/apply.ts';
import { createClient } from '../../operator/kube/client.ts';
import { loadConnection } from '../../operator/kube/connection.ts';
import { createEventRecorder } from '../../operator/kube/events.ts';
import type { KubeObject, Manifest } from '../../operator/kube/object.ts';
import { defineResource, type KubeClient, type Resource } from '../../operator/kube/resource.ts';
import { createStatusWriter } from '../../operator/kube/status.ts';
import { createTransport, type RequestReport, type Transport } from '../../operator/kube/transport.ts';
import { type ApiServer, startApiServer } from '../cluster/api-server.ts';
import { type ConfigMap, configMaps } from './faulty-server.ts';
import { ManualClock } from './manual-clock.ts';

const hashAnnotation = 'example.com/applied-hash';
const namespace = 'default';
const kind = <T extends KubeObject>(apiVersion: string, name: string, plural: string): Resource<T> =>
  defineResource<T>({ apiVersion, kind: name, plural, namespaced: true });
const deployments = kind<Manifest<V1Deployment>>('apps/v1', 'Deployment', 'deployments');

describe('writing to a real API server', () => {
  let server: ApiServer;
  let transport: Transport;
  let client: KubeClient;
  let reports: RequestReport[] = [];
  const transports: Transport[] = [];

  async function connect(kubeconfig: string): Promise<Transport> {
    const connection = await loadConnection({ kubeconfig, env: {} });
    const made = createTransport({
      connection,
      userAgent: 'kit-test/1',
      onRequest: report => reports.push(report),
    });
    transports.push(made);
    return made;
  }
  before(async () => {
    server = await startApiServer();
    transport = await connect(server.kubeconfig);
    client = createClient(transport);
  });
  after(async () => {
    await Promise.all(transports.map(made => made.close()));
    await server?.stop();
  });
  /** The writes that reached the server since the last call. */
  function writes(): string[] {
    const verbs = reports
      .filter(({ verb }) => !['get', 'list', 'watch'].includes(verb))
      .map(({ verb }) => verb);
    reports = [];
    return verbs;
  }
  const map = (name: string, data: Record<string, string>): ConfigMap => ({
    metadata: { name, namespace },
    data,
  });

  describe('a client', () => {
    test('creates, reads, replaces, patches, lists and deletes', async () => {
      const created = await client.create(configMaps, map('crud', { a: '1' }));
      assert.equal((await client.get(configMaps, created.metadata)).data?.['a'], '1');
      const replaced = await client.replace(configMaps, { ...created, data: { b: '2' } });
      assert.deepEqual(replaced.data, { b: '2' });
      const patched = await client.mergePatch(configMaps, created.metadata, { data: { b: null, c: '3' } });
      assert.deepEqual(patched.data, { c: '3' });
      const listed = await client.list(configMaps, { namespace, fieldSelector: 'metadata.name=crud' });
      assert.equal(listed.items.length, 1);
      const [meta] = (await client.list(configMaps, { namespace, metadataOnly: true })).items;
      assert.deepEqual(Object.keys(meta ?? {}).sort(), ['apiVersion', 'kind', 'metadata']);
      assert.equal(await client.delete(configMaps, created.metadata), true);
      assert.equal(await client.delete(configMaps, created.metadata), false);
      assert.equal(await client.find(configMaps, created.metadata), undefined);
    });

    test('names what the server refuses', async () => {
      await client.create(configMaps, map('refused', {}));
      const live = await client.get(configMaps, { namespace, name: 'refused' });
      await client.mergePatch(configMaps, live.metadata, { data: { a: '1' } });
      const restricted = createClient(await connect(await server.userKubeconfig('nobody')));
      const unknown = { ...map('refused', {}), dat: {} } as ConfigMap;
      const refusals: [string, () => Promise<unknown>, (error: unknown) => boolean][] = [
        ['absent', () => client.get(configMaps, { namespace, name: 'absent' }), isNotFound],
        ['twice', () => client.create(configMaps, map('refused', {})), isAlreadyExists],
        ['old version', () => client.replace(configMaps, live), isConflict],
        ['invalid', () => client.create(configMaps, map('In Valid', {})), isRefusal],
        ['no such field', () => client.apply(configMaps, unknown, { fieldManager: 'kit-test' }), isRefusal],
        ['no right', () => restricted.list(configMaps), isForbidden],
        ['other uid', () => client.delete(configMaps, live.metadata, { uid: 'another' }), isConflict],
      ];
      for (const [what, refused, is] of refusals) await assert.rejects(refused, is, what);
      await assert.rejects(refusals[3]![1], /metadata.name: Invalid value/);
    });

    test('knows which kinds are served', async () => {
      assert.equal(await client.serves(deployments), true);
      assert.equal(await client.serves(configMaps), true);
      assert.equal(
        await client.serves(kind('monitoring.coreos.com/v1', 'ServiceMonitor', 'servicemonitors')),
        false,
      );
      assert.equal(await client.serves(kind('apps/v1', 'Nothing', 'nothings')), false);
    });
  });

  describe('an applier', () => {
    const fieldManager = 'kit-test';
    const labels = { app: 'x' };
    const manifests: [Resource, KubeObject & Record<string, unknown>][] = [
      [
        configMaps,
        { ...map('idle', { a: '1', empty: '' }), metadata: { name: 'idle', namespace, labels: {} } },
      ],
      [
        deployments,
        {
          metadata: { name: 'idle', namespace, labels },
          spec: {
            replicas: 0,
            paused: false,
            selector: { matchLabels: labels },
            template: {
              metadata: { labels },
              spec: {
                hostNetwork: false,
                automountServiceAccountToken: false,
                nodeSelector: {},
                tolerations: [],
                containers: [
                  {
                    name: 'main',
                    image: 'x:1',
                    args: ['run'],
                    env: [
                      { name: 'EMPTY', value: '' },
                      { name: 'POD', valueFrom: { fieldRef: { fieldPath: 'metadata.name' } } },
                    ],
                    ports: [{ name: 'smtp', containerPort: 2525 }],
                    resources: { requests: { cpu: '1000m', memory: '1024Mi' }, limits: {} },
                    volumeMounts: [{ name: 'spool', mountPath: '/spool', readOnly: false }],
                    readinessProbe: { httpGet: { path: '/ready', port: 8080 }, initialDelaySeconds: 0 },
                    securityContext: {
                      runAsNonRoot: true,
                      privileged: false,
                      capabilities: { drop: ['ALL'] },
                    },
                  },
                ],
                volumes: [
                  { name: 'spool', emptyDir: { sizeLimit: '2048Mi' } },
                  { name: 'keys', projected: { sources: [{ secret: { name: 's', optional: true } }] } },
                ],
              },
            },
          },
        } satisfies Manifest<V1Deployment>,
      ],
      [
        kind('v1', 'Service', 'services'),
        {
          metadata: { name: 'idle', namespace },
          spec: { selector: labels, ports: [{ name: 'smtp', port: 25, targetPort: 'smtp' }] },
        } satisfies Manifest<V1Service>,
      ],
      [
        kind('v1', 'PersistentVolumeClaim', 'persistentvolumeclaims'),
        {
          metadata: { name: 'idle', namespace },
          spec: { accessModes: ['ReadWriteOnce'], resources: { requests: { storage: '1024Mi' } } },
        } satisfies Manifest<V1PersistentVolumeClaim>,
      ],
      [
        kind('v1', 'ServiceAccount', 'serviceaccounts'),
        {
          metadata: { name: 'idle', namespace },
          automountServiceAccountToken: false,
        } satisfies Manifest<V1ServiceAccount>,
      ],
      [
        kind('networking.k8s.io/v1', 'NetworkPolicy', 'networkpolicies'),
        {
          metadata: { name: 'idle', namespace },
          spec: {
            podSelector: { matchLabels: labels },
            policyTypes: ['Ingress', 'Egress'],
            ingress: [{ from: [{ namespaceSelector: {} }], ports: [{ port: 2525 }] }],
            egress: [],
          },
        } satisfies Manifest<V1NetworkPolicy>,
      ],
    ];
    for (const [resource, manifest] of manifests) {
      test(`writes a ${resource.kind} once, also for a process that has just started`, async () => {
        const stubborn: string[] = [];
        const fresh = () =>
          createApplier({
            client,
            fieldManager,
            hashAnnotation,
            onStubborn: (_resource, _key, path) => stubborn.push(path),
          });
        const applier = fresh();
        const { outcome, object } = await applier.apply(resource, manifest, undefined);
        assert.equal(outcome, 'created');
        writes();
        const live = await client.get(resource, object.metadata);
        assert.equal((await applier.apply(resource, manifest, live)).outcome, 'unchanged');
        assert.equal((await fresh().apply(resource, manifest, live)).outcome, 'unchanged');
        assert.deepEqual(writes(), []);
        assert.deepEqual(stubborn, [], 'the comparison knows how the server writes this kind');
      });
    }

    const applier = () => createApplier({ client, fieldManager, hashAnnotation });
    const ref = (name: string) => ({ namespace, name });

    test('undoes foreign edits to what is ours and leaves the rest alone', async () => {
      const wanted = map('drift', { ours: '1' });
      await applier().apply(configMaps, wanted, undefined);
      await client.mergePatch(configMaps, ref('drift'), { data: { ours: 'edited', theirs: '2' } });
      const edited = await client.get(configMaps, ref('drift'));
      const result = await applier().apply(configMaps, wanted, edited);
      assert.deepEqual(result.object.data, { ours: '1', theirs: '2' });
      assert.deepEqual('difference' in result && result.difference, { kind: 'drifted', path: 'data.ours' });
    });

    test('undoes a foreign edit that lets no field of ours stand beside it', async () => {
      const [, idle] = manifests[1]!;
      const manifest = idle as Manifest<V1Deployment>;
      const wanted: Manifest<V1Deployment> = {
        ...manifest,
        metadata: { name: 'excluded', namespace },
        spec: { ...manifest.spec!, strategy: { type: 'Recreate' } },
      };
      const { object } = await applier().apply(deployments, wanted, undefined);
      const edits = [
        { strategy: { type: 'RollingUpdate' } },
        {
          template: {
            spec: {
              containers: [
                { name: 'main', image: 'x:1', readinessProbe: { tcpSocket: { port: 1 } } },
                { name: 'beside', image: 'y:1' },
              ],
            },
          },
        },
      ];
      for (const spec of edits) {
        const options = { fieldManager: 'somebody' };
        const edited = await client.mergePatch(deployments, object.metadata, { spec }, options);
        const { outcome } = await applier().apply(deployments, wanted, edited);
        assert.equal(outcome, 'updated');
        const live = await client.get(deployments, object.metadata);
        assert.equal((await applier().apply(deployments, wanted, live)).outcome, 'unchanged');
        assert.deepEqual(live.spec?.strategy, { type: 'Recreate' });
        assert.equal(live.spec?.template.spec?.containers[0]?.readinessProbe?.tcpSocket, undefined);
      }
    });

    test('removes what we stopped wanting', async () => {
      const first = await applier().apply(configMaps, map('stop', { a: '1', b: '2' }), undefined);
      const second = await applier().apply(configMaps, map('stop', { a: '1' }), first.object);
      assert.deepEqual(second.object.data, { a: '1' });
    });

    test("leaves an autoscaler's replicas alone when we do not want a number", async () => {
      const [, manifest] = manifests[1]!;
      const { replicas: _replicas, ...spec } = (manifest as unknown as { spec: { replicas: number } }).spec;
      const wanted = {
        ...manifest,
        metadata: { name: 'scaled', namespace },
        spec,
      } as unknown as Manifest<V1Deployment>;
      const { object } = await applier().apply(deployments, wanted, undefined);
      const scaled = await client.mergePatch(
        deployments,
        object.metadata,
        { spec: { replicas: 3 } },
        { fieldManager: 'hpa' },
      );
      assert.equal((await applier().apply(deployments, wanted, scaled)).outcome, 'unchanged');
    });

    test('does not apply for ever what the server keeps writing in another way', async () => {
      // A normalisation that the comparison cannot know: an answer that says something else than was applied.
      const rewriting: KubeClient = Object.create(client, {
        apply: {
          value: async (...args: Parameters<KubeClient['apply']>) => {
            const object = (await client.apply(...args)) as ConfigMap;
            return { ...object, data: { a: 'rewritten' } };
          },
        },
      });
      const stubborn: string[] = [];
      const one = createApplier({
        client: rewriting,
        fieldManager,
        hashAnnotation,
        onStubborn: (_resource, _key, path) => stubborn.push(path),
      });
      const wanted = map('stubborn', { a: 'as wanted' });
      const { object } = await one.apply(configMaps, wanted, undefined);
      assert.deepEqual(stubborn, ['data.a']);
      assert.equal((await one.apply(configMaps, wanted, object)).outcome, 'unchanged');
      const edited = { ...object, data: { a: 'something else' } };
      assert.equal((await one.apply(configMaps, wanted, edited)).outcome, 'updated');
    });

    test('writes nothing when it may not', async () => {
      const guarded = createApplier({ client, fieldManager, hashAnnotation, mayWrite: () => false });
      writes();
      await assert.rejects(guarded.apply(configMaps, map('guarded', {}), undefined), NotLeaderError);
      await assert.rejects(guarded.remove(configMaps, map('idle', {})), NotLeaderError);
      assert.deepEqual(writes(), []);
    });

    test('touches nothing that has changed since it was read, where that is asked', async () => {
      const { object } = await applier().apply(configMaps, map('exactly', { a: '1' }), undefined);
      const edited = await client.mergePatch(configMaps, ref('exactly'), { data: { a: '2' } });
      const wanted = map('exactly', { a: '3' });
      const exactly = { exactly: true };
      await assert.rejects(applier().apply(configMaps, wanted, object, exactly), isConflict);
      await assert.rejects(applier().remove(configMaps, object, exactly), isConflict);
      assert.deepEqual(await client.get(configMaps, ref('exactly')), edited);
      const { outcome, object: applied } = await applier().apply(configMaps, wanted, edited, exactly);
      assert.equal(outcome, 'updated');
      // The hash is of what is wanted, whatever it was applied over.
      assert.equal((await applier().apply(configMaps, wanted, applied)).outcome, 'unchanged');
      assert.equal(await applier().remove(configMaps, applied, exactly), true);
    });

    test('removes exactly the object that it was shown', async () => {
      const { object } = await applier().apply(configMaps, map('removed', {}), undefined);
      const other = { ...object, metadata: { ...object.metadata, uid: 'another' } };
      await assert.rejects(applier().remove(configMaps, other), isConflict);
      assert.equal(await applier().remove(configMaps, object), true);
      assert.equal(await applier().remove(configMaps, object), false);
    });
  });

  describe('a status writer', () => {
    type Counted = Manifest<V1Deployment>;
    const clock = new ManualClock();
    async function setUp(name: string) {
      const labels = { app: name };
      const containers = [{ name: 'c', image: 'i' }];
      const live = await client.create<Counted>(deployments, {
        metadata: { name, namespace },
        spec: { selector: { matchLabels: labels }, template: { metadata: { labels }, spec: { containers } } },
      } satisfies Counted);
      writes();
      const writer = createStatusWriter({ client, fieldManager: 'kit-test', clock, minIntervalMs: 1_000 });
      return { live, writer };
    }

    test('writes what differs, once, also while the cache is behind', async () => {
      const { live, writer } = await setUp('status-once');
      const status = { replicas: 2, observedGeneration: 1 };
      const first = await writer.write(deployments, live, status);
      assert.equal(first.outcome, 'written');
      assert.deepEqual(await writer.write(deployments, live, status), { outcome: 'unchanged' });
      assert.deepEqual(writes(), ['patch']);
      const stored = await client.get(deployments, live.metadata);
      assert.equal(stored.status?.replicas, 2);
      assert.equal(stored.metadata.generation, live.metadata.generation);
    });

    test('hands a change that comes too early back, and writes an urgent one at once', async () => {
      const { live, writer } = await setUp('status-early');
      await writer.write(deployments, live, { replicas: 1 });
      clock.stall(400);
      assert.deepEqual(await writer.write(deployments, live, { replicas: 2 }), {
        outcome: 'deferred',
        afterMs: 600,
      });
      const urgent = await writer.write(deployments, live, { replicas: 2 }, { minIntervalMs: 0 });
      assert.equal(urgent.outcome, 'written');
      clock.stall(1_000);
      assert.equal((await writer.write(deployments, live, { replicas: 3 })).outcome, 'written');
      const patient = await writer.write(deployments, live, { replicas: 4 }, { minIntervalMs: 60_000 });
      assert.deepEqual(patient, { outcome: 'deferred', afterMs: 60_000 });
    });

    test('slows down what is urgent again and again', async () => {
      const { live, writer } = await setUp('status-flapping');
      let written = 0;
      for (let step = 0; step < 600; step++) {
        const wish = { replicas: step % 2 };
        const { outcome } = await writer.write(deployments, live, wish, { minIntervalMs: 0 });
        if (outcome === 'written') written++;
        clock.stall(100);
      }
      assert.ok(written >= 30 && written <= 41, `${written} writes in a minute`);
    });

    test('looks again on a conflict and removes what is no longer said', async () => {
      const { live, writer } = await setUp('status-conflict');
      await client.mergePatch(
        deployments,
        live.metadata,
        { status: { replicas: 9, readyReplicas: 9 } },
        { subresource: 'status' },
      );
      const result = await writer.write(deployments, live, { replicas: 1 });
      assert.equal(result.outcome, 'written');
      const { status } = await client.get(deployments, live.metadata);
      assert.equal(status?.replicas, 1);
      assert.equal(status?.readyReplicas, undefined);
    });

    test('says so when the object is gone or another has its name', async () => {
      const { live, writer } = await setUp('status-gone');
      await client.delete(deployments, live.metadata);
      assert.deepEqual(await writer.write(deployments, live, { replicas: 1 }), { outcome: 'gone' });
      await setUp('status-gone');
      assert.deepEqual(await writer.write(deployments, live, { replicas: 1 }), { outcome: 'gone' });
    });
  });

  describe('an event recorder', () => {
    test('tells kubectl describe, and counts repetitions in one event', async () => {
      const clock = new ManualClock();
      const about = await client.create(configMaps, map('told', {}));
      const dropped: string[] = [];
      const recorder = createEventRecorder({
        client,
        controller: 'example.com/kit-test',
        instance: 'pod-1',
        clock: {
          now: () => clock.now(),
          wallTime: () => Date.now(),
          after: (ms, run) => clock.after(ms, run),
        },
        onDropped: why => dropped.push(why),
      });
      const failing = { type: 'Warning', reason: 'Failing', note: 'it does not work: ä€' } as const;
      for (let times = 0; times < 3; times++) recorder.record(about, failing);
      await recorder.flush();
      clock.stall(61_000);
      recorder.record(about, failing);
      await recorder.flush();
      const described = await server.kubectl(['describe', 'configmap', 'told', '-n', namespace]);
      assert.match(described, /Warning\s+Failing\s+.*example.com\/kit-test\s+it does not work: ä€/);
      const stored = await server.kubectl(['get', 'events.v1.events.k8s.io', '-n', namespace, '-o', 'json']);
      const items = JSON.parse(stored).items.filter((item: { reason: string }) => item.reason === 'Failing');
      assert.equal(items.length, 1);
      assert.equal(items[0].series.count, 4);
      assert.deepEqual(dropped, []);
      await recorder.stop();
    });

    test('drops many different ones for the same object and reason, and never throws', async () => {
      const about = await client.create(configMaps, map('chatty', {}));
      const dropped: string[] = [];
      const recorder = createEventRecorder({
        client,
        controller: 'example.com/kit-test',
        instance: 'pod-1',
        onDropped: why => dropped.push(why),
      });
      for (let times = 0; times < 20; times++) {
        recorder.record(about, { type: 'Normal', reason: 'Chatty', note: `number ${times}` });
      }
      recorder.record(
        { kind: 'ConfigMap', metadata: { name: 'no-such', namespace: 'no-such' } },
        {
          type: 'Normal',
          reason: 'Lost',
          note: 'x'.repeat(5_000),
        },
      );
      await recorder.flush();
      assert.equal(dropped.filter(why => why === 'rate').length, 15);
      assert.deepEqual(
        dropped.filter(why => why !== 'rate'),
        ['failed'],
      );
      await recorder.stop();
    });
  });
});
