import assert from 'node:assert/strict';
import { afterEach, beforeEach, describe, test } from 'node:test';
import { isConflict } from '../../operator/kube/api-error.ts';
import { type Applier, createApplier } from '../../operator/kube/apply.ts';
import { createClient } from '../../operator/kube/client.ts';
import { guardWrites } from '../../operator/kube/guard-writes.ts';
import type { TokenSource } from '../../operator/kube/identity.ts';
import { createTransport, type Transport } from '../../operator/kube/transport.ts';
import { createWorkQueue, type WorkQueue } from '../../operator/kube/work-queue.ts';
import { type ConfigMap, configMaps, type Fault, FaultyServer } from './faulty-server.ts';
import { ManualClock } from './manual-clock.ts';
import { ObjectStore } from './object-store.ts';
import { waitUntil } from './wait-until.ts';

const path = '/api/v1/namespaces/default/configmaps/applied';
const wanted: ConfigMap = { metadata: { name: 'applied', namespace: 'default' }, data: { value: 'wanted' } };

describe('an apply on a faulty server', () => {
  let server: FaultyServer;
  let objects: ObjectStore;
  let transport: Transport;
  let applier: Applier;
  let leads: boolean;
  let isSilence: boolean;
  let now: string;
  const queues: WorkQueue[] = [];

  beforeEach(async () => {
    server = await FaultyServer.start();
    objects = new ObjectStore();
    server.objects = objects;
    [leads, now, isSilence] = [true, 'valid', false];
    const token: TokenSource = {
      read: async () => now,
      refused: () => {
        now = 'renewed';
      },
    };
    transport = createTransport({ connection: { ...server.connection, token }, userAgent: 'test/1' });
    const mayWrite = () => leads;
    applier = createApplier({
      client: createClient(guardWrites(impatient(), mayWrite)),
      fieldManager: 'kit-test',
      hashAnnotation: 'example.com/applied-hash',
      mayWrite,
    });
  });
  afterEach(async () => {
    server.always = undefined;
    await Promise.all(queues.splice(0).map(queue => queue.stop()));
    await transport.close();
    await server.stop();
  });

  /** Silence is not waited for as long as usual. */
  function impatient(): Transport {
    return {
      request: given =>
        transport.request(isSilence && server.pendingFaults > 0 ? { ...given, timeoutMs: 150 } : given),
      stream: given => transport.stream(given),
      close: () => transport.close(),
    };
  }

  function spoil(fault: Fault): void {
    isSilence = fault.kind === 'mute';
    server.script('other', fault);
  }

  const live = (): ConfigMap | undefined => objects.get(path) as ConfigMap | undefined;
  const apply = () => applier.apply(configMaps, wanted, live());

  /** As the operator does it: by a queue, which tries again, over a cache that shows what is there. Resolves with the failures. */
  async function reconcile(write: () => Promise<unknown>): Promise<string[]> {
    const failures: string[] = [];
    let done = false;
    const queue = createWorkQueue({
      backoffMs: [5, 50],
      hooks: { onError: (_key, error) => failures.push((error as Error).name) },
      handler: async () => {
        await write();
        done = true;
        return undefined;
      },
    });
    queues.push(queue);
    queue.start();
    queue.add('applied');
    await waitUntil('it is done', () => done);
    return failures;
  }

  /** With the failures that the queue sees while it is created and while it is changed; the rest is repeated within the call. */
  const single: readonly (readonly [string, Fault, string[], string[]])[] = [
    ['a reset', { kind: 'reset' }, [], []],
    ['a reset when it was done already', { kind: 'reset', done: true }, ['ApiError'], []],
    ['409', { kind: 'status', code: 409, reason: 'Conflict' }, ['ApiError'], ['ApiError']],
    ['429 with Retry-After', { kind: 'status', code: 429, retryAfter: 1 }, [], []],
    ['500', { kind: 'status', code: 500 }, ['ApiError'], ['ApiError']],
    ['503', { kind: 'status', code: 503 }, ['ApiError'], ['ApiError']],
    ['503 with Retry-After', { kind: 'status', code: 503, retryAfter: 0 }, [], []],
    ['half of an answer and a reset', { kind: 'half-answer', reset: true }, ['ApiError'], []],
    [
      'half of an answer and its orderly end',
      { kind: 'half-answer', reset: false },
      ['ConnectionError'],
      ['ConnectionError'],
    ],
    ['silence', { kind: 'mute' }, ['ConnectionError'], ['ConnectionError']],
    [
      'silence when it was done already',
      { kind: 'mute', done: true },
      ['ConnectionError'],
      ['ConnectionError'],
    ],
  ];
  for (const [what, fault, creating, changing] of single) {
    test(`creates, changes and removes once over ${what}`, async () => {
      spoil(fault);
      assert.deepEqual(await reconcile(apply), creating);
      objects.put(path, { ...live()!, data: { value: 'edited' } } as ConfigMap);
      spoil(fault);
      assert.deepEqual(await reconcile(apply), changing);
      assert.equal(live()?.data?.['value'], 'wanted');
      const going = live()!;
      spoil(fault);
      await reconcile(() => applier.remove(configMaps, going));
      assert.equal(live(), undefined);
      assert.equal(server.pendingFaults, 0);
      assert.deepEqual(objects.changes, [`PATCH ${path}`, `PATCH ${path}`, `DELETE ${path}`]);
    });
  }

  test('is repeated at once with a token that was renewed meanwhile', async () => {
    server.token = 'renewed';
    assert.deepEqual(await reconcile(apply), []);
    assert.deepEqual(objects.changes, [`PATCH ${path}`]);
  });

  test('is tried less and less often while nothing helps, and not sooner than Retry-After says', async () => {
    server.script('other', ...Array.from({ length: 4 }, (): Fault => ({ kind: 'status', code: 500 })));
    server.script('other', { kind: 'status', code: 429, retryAfter: 60 });
    const clock = new ManualClock();
    const waits: number[] = [];
    const queue = createWorkQueue({
      clock,
      random: () => 1,
      hooks: { onError: (_key, _error, _failures, retryInMs) => waits.push(retryInMs) },
      handler: async () => void (await apply()),
    });
    queues.push(queue);
    queue.start();
    queue.add('applied');
    for (let failures = 1; failures <= 5; failures++) {
      await waitUntil('it has failed', () => waits.length === failures && clock.timers > 0);
      await clock.advance(waits.at(-1)!);
    }
    assert.deepEqual(waits, [200, 400, 800, 1_600, 60_000]);
    await waitUntil('it is done', () => objects.changes.length === 1);
  });

  test('that removes touches nothing that was made anew while its answer was lost', async () => {
    const going = objects.put(path, wanted);
    spoil({ kind: 'reset', done: true });
    server.always = () => {
      if (!live()) objects.put(path, { ...wanted, data: { value: 'successor' } } as ConfigMap);
      return undefined;
    };
    await assert.rejects(applier.remove(configMaps, going), isConflict);
    assert.equal(live()?.data?.['value'], 'successor');
  });

  test('is not repeated by one that leads no more', async () => {
    server.script('other', { kind: 'reset' });
    server.always = () => {
      leads = false;
      return undefined;
    };
    await assert.rejects(apply(), { name: 'NotLeaderError' });
    assert.equal(server.count('other'), 1);
    assert.deepEqual(objects.changes, []);
  });
});
