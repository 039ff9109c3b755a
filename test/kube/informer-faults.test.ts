import assert from 'node:assert/strict';
import { afterEach, beforeEach, describe, test } from 'node:test';
import { createClient } from '../../operator/kube/client.ts';
import {
  createInformer,
  type Informer,
  type InformerFault,
  type InformerOptions,
} from '../../operator/kube/informer.ts';
import { createTransport, type Transport } from '../../operator/kube/transport.ts';
import { type ConfigMap, configMaps, type Fault, FaultyServer } from './faulty-server.ts';
import { waitUntil } from './wait-until.ts';

/** An informer on a faulty server, with what its events alone tell. */
interface Watched {
  informer: Informer<ConfigMap>;
  faults: InformerFault[];
  /** The store as somebody who only listens to events would build it. */
  told: Map<string, string>;
}

describe('an informer on a faulty server', () => {
  let server: FaultyServer;
  let transport: Transport;
  const informers: Informer<ConfigMap>[] = [];

  beforeEach(async () => {
    server = await FaultyServer.start();
    transport = createTransport({ connection: server.connection, userAgent: 'test/1' });
    for (let number = 10; number < 35; number++) server.put(`map-${number}`, 'first');
  });
  afterEach(async () => {
    await Promise.all(informers.splice(0).map(informer => informer.stop()));
    await transport.close();
    await server.stop();
  });

  function watch(options: Partial<InformerOptions<ConfigMap>> = {}): Watched {
    const faults: InformerFault[] = [];
    const told = new Map<string, string>();
    const informer = createInformer<ConfigMap>({
      client: createClient(transport),
      resource: configMaps,
      pageSize: 10,
      backoffMs: [5, 50],
      onFault: fault => faults.push(fault),
      ...options,
    });
    informer.subscribe(event => {
      const { name, resourceVersion } = event.object.metadata;
      if (event.type === 'deleted') told.delete(name);
      else told.set(name, resourceVersion ?? '');
    });
    informers.push(informer);
    informer.start();
    return { informer, faults, told };
  }

  const truth = () => [...server.truth.values()].map(versionOf).sort();
  const versionOf = ({ metadata, data }: ConfigMap) =>
    `${metadata.name} ${metadata.resourceVersion} ${data?.['value']}`;

  async function equalsTruth({ informer, told }: Watched): Promise<void> {
    const stored = () => [...informer.list()].map(versionOf).sort();
    await waitUntil('the store equals the truth', () => String(stored()) === String(truth()));
    const expected = [...server.truth.values()].map(
      ({ metadata }) => `${metadata.name} ${metadata.resourceVersion}`,
    );
    assert.deepEqual([...told].map(pair => pair.join(' ')).sort(), expected.sort(), 'events tell the same');
  }

  function change(): void {
    server.put('map-10', 'changed');
    server.delete('map-11');
    server.put('map-99', 'new');
  }

  test('reads pages and follows changes while nothing is wrong', async () => {
    const watched = watch();
    await watched.informer.hasSynced;
    assert.equal(server.count('list'), 3);
    change();
    await equalsTruth(watched);
    assert.deepEqual(watched.faults, []);
  });

  test('keeps no managedFields, and gives each object its kind', async () => {
    const { informer } = watch();
    await informer.hasSynced;
    const object = informer.get({ namespace: 'default', name: 'map-10' });
    assert.equal(object?.metadata.managedFields, undefined);
    assert.equal(object?.kind, 'ConfigMap');
    assert.equal(object?.apiVersion, 'v1');
  });

  const listFaults: [string, Fault[]][] = [
    ['a reset', [{ kind: 'reset' }]],
    ['a reset on the second page', [{ kind: 'slow', ms: 1 }, { kind: 'reset' }]],
    ['500', [{ kind: 'status', code: 500, reason: 'InternalError' }]],
    ['429 without Retry-After', [{ kind: 'status', code: 429, reason: 'TooManyRequests' }]],
    ['403 until the rights are there', [{ kind: 'status', code: 403, reason: 'Forbidden' }]],
    ['a login page', [{ kind: 'html' }]],
    [
      'slow pages',
      [
        { kind: 'slow', ms: 60 },
        { kind: 'slow', ms: 60 },
        { kind: 'slow', ms: 60 },
      ],
    ],
    ['five faults in a row', Array.from({ length: 5 }, () => ({ kind: 'reset' }) as const)],
  ];
  for (const [what, faults] of listFaults) {
    test(`syncs in spite of ${what} during LIST`, async () => {
      server.script('list', ...faults);
      const watched = watch();
      await watched.informer.hasSynced;
      change();
      await equalsTruth(watched);
      assert.equal(server.pendingFaults, 0);
    });
  }

  test('asks for everything at once when a continue token expires under way', async () => {
    server.script('list', { kind: 'slow', ms: 1 }, { kind: 'status', code: 410, reason: 'Expired' });
    const watched = watch();
    await watched.informer.hasSynced;
    await equalsTruth(watched);
    assert.equal(server.count('list'), 3);
    assert.equal(server.requests.at(2)?.url.searchParams.get('limit'), '0');
  });

  const watchFaults: [string, Fault[]][] = [
    ['a reset', [{ kind: 'reset' }]],
    ['500', [{ kind: 'status', code: 500 }]],
    ['429', [{ kind: 'status', code: 429 }]],
    ['410 as answer', [{ kind: 'status', code: 410, reason: 'Gone' }]],
    ['410 as event', [{ kind: 'error-event', code: 410, reason: 'Expired' }]],
    ['another error event', [{ kind: 'error-event', code: 500, reason: 'InternalError' }]],
    ['half an event and the end', [{ kind: 'half-line', reset: false }]],
    ['half an event and a reset', [{ kind: 'half-line', reset: true }]],
    ['a line that is no JSON', [{ kind: 'garbage-line' }]],
    ['a login page', [{ kind: 'html' }]],
    ['an end as soon as it is open', [{ kind: 'ends-at-once' }, { kind: 'ends-at-once' }]],
    ['a reset after two events', [{ kind: 'reset-after', events: 2 }]],
  ];
  for (const [what, faults] of watchFaults) {
    test(`catches up after ${what} during WATCH`, async () => {
      server.script('watch', ...faults);
      const watched = watch();
      await watched.informer.hasSynced;
      change();
      await waitUntil('the faults have happened', () => server.pendingFaults === 0);
      server.put('map-12', 'later');
      await equalsTruth(watched);
      await waitUntil('a fault was reported', () => watched.faults.length >= faults.length);
      server.delete('map-13');
      await equalsTruth(watched);
    });
  }

  test('takes a refusal of a moment, as of a server that starts, for nothing: it resumes where it was', async () => {
    const refused = { kind: 'status', code: 403, reason: 'Forbidden' } as const;
    // Discovery is not ready either.
    server.script('other', ...Array.from({ length: 3 }, () => ({ kind: 'status', code: 500 }) as const));
    const states: string[] = [];
    const watched = watch({ refusedBackoffMs: [5, 50], onScope: ({ state }) => states.push(state) });
    await watched.informer.hasSynced;
    await waitUntil('the watch is open', () => watched.informer.stats().watches === 1);
    server.script('watch', refused, refused, refused);
    server.resetWatches();
    change();
    await equalsTruth(watched);
    assert.equal(server.pendingFaults, 0);
    assert.deepEqual(states, ['in-view']);
    assert.equal(watched.informer.stats().lists, 1);
  });

  test('resumes where it was after a reset: no new LIST', async () => {
    const watched = watch();
    await watched.informer.hasSynced;
    await waitUntil('the watch is open', () => watched.informer.stats().watches === 1);
    change();
    await equalsTruth(watched);
    server.resetWatches();
    change();
    server.put('map-98', 'while away');
    await equalsTruth(watched);
    assert.equal(watched.informer.stats().lists, 1);
    const last = server.requests.filter(({ kind }) => kind === 'watch').at(-1);
    assert.notEqual(last?.url.searchParams.get('resourceVersion'), '1025');
  });

  test('lists again when the server has forgotten, and tells what was deleted meanwhile', async () => {
    const watched = watch();
    await watched.informer.hasSynced;
    await waitUntil('the watch is open', () => watched.informer.stats().watches === 1);
    server.script('watch', { kind: 'reset' });
    server.resetWatches();
    change();
    server.delete('map-20');
    server.put('map-20', 'made anew under the same name');
    server.forgetHistory();
    await equalsTruth(watched);
    assert.equal(watched.informer.stats().lists, 2);
  });

  test('gives up a watch that is silent although bookmarks are due', async () => {
    server.script('watch', { kind: 'silent' });
    const watched = watch({ silenceMs: 80 });
    await watched.informer.hasSynced;
    await waitUntil('the silent watch is open', () => server.count('watch') === 1);
    change();
    await equalsTruth(watched);
    assert.equal(
      watched.faults.find(({ error }) => 'kind' in error && error.kind === 'stale')?.during,
      'watch',
    );
  });

  test('waits as long as Retry-After says', async () => {
    server.script('list', { kind: 'status', code: 429, reason: 'TooManyRequests', retryAfter: 1 });
    const { informer, faults } = watch();
    await informer.hasSynced;
    const [first, second] = server.requests;
    assert.ok(second!.at - first!.at >= 995, `waited ${second!.at - first!.at} ms`);
    assert.equal(faults[0]?.retryInMs, 1000);
  });

  test('waits a second for a server that does not know a path yet, whatever that says', async () => {
    server.script('list', { kind: 'status', code: 503, reason: 'ServiceUnavailable', retryAfter: 5 });
    const { informer, faults } = watch();
    await informer.hasSynced;
    assert.equal(faults[0]?.retryInMs, 1000);
  });

  test('lists at once when its version is forgotten after an outage, and later from time to time', async () => {
    const refused = { kind: 'reset' } as const;
    const gone = { kind: 'status', code: 410, reason: 'Expired' } as const;
    server.script('watch', refused, refused, refused, gone, gone, gone);
    const watched = watch({ backoffMs: [4, 400], random: () => 0.5 });
    await waitUntil('six faults', () => watched.faults.length === 6);
    assert.deepEqual(
      watched.faults.map(({ retryInMs }) => retryInMs),
      [3, 6, 12, 3, 6, 12],
    );
    change();
    await equalsTruth(watched);
  });

  test('pauses longer from fault to fault, within bounds', async () => {
    server.script('list', ...Array.from({ length: 8 }, () => ({ kind: 'reset' }) as const));
    const { informer, faults } = watch({ backoffMs: [4, 40], random: () => 0.5 });
    await informer.hasSynced;
    assert.deepEqual(
      faults.map(({ retryInMs }) => retryInMs),
      [3, 6, 12, 24, 30, 30, 30, 30],
    );
  });

  test('goes on when a subscriber throws', async () => {
    const watched = watch();
    watched.informer.subscribe(() => {
      throw new Error('bad subscriber');
    });
    await watched.informer.hasSynced;
    await equalsTruth(watched);
    assert.equal(watched.faults[0]?.during, 'handler');
  });

  test('keeps the number of connections flat over a hundred faults', async () => {
    const watched = watch({ backoffMs: [1, 2] });
    await watched.informer.hasSynced;
    const faults = Array.from(
      { length: 100 },
      (_, at): Fault => (at % 2 ? { kind: 'reset' } : { kind: 'half-line', reset: false }),
    );
    server.script('watch', ...faults);
    server.resetWatches();
    await waitUntil('all faults have happened', () => server.pendingFaults === 0);
    change();
    await equalsTruth(watched);
    assert.ok((await server.connections()) <= 3, `${await server.connections()} connections`);
  });

  test('ends its requests when it is stopped, whatever it was doing', async () => {
    server.script('list', { kind: 'mute' });
    const { informer } = watch();
    await waitUntil('the LIST was sent', () => server.count('list') === 1);
    await informer.stop();
    await assert.rejects(informer.hasSynced, /stopped before it had synced/);
    const second = watch();
    await second.informer.hasSynced;
    await waitUntil('the watch is open', () => second.informer.stats().watches === 1);
    await second.informer.stop();
    assert.equal(second.informer.size, 25);
  });
});
