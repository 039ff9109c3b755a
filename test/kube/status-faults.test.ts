import assert from 'node:assert/strict';
import { afterEach, beforeEach, describe, test } from 'node:test';
import { createClient } from '../../operator/kube/client.ts';
import { guardWrites } from '../../operator/kube/guard-writes.ts';
import type { TokenSource } from '../../operator/kube/identity.ts';
import type { KubeObject } from '../../operator/kube/object.ts';
import { defineResource } from '../../operator/kube/resource.ts';
import { createStatusWriter, type StatusWriter } from '../../operator/kube/status.ts';
import { createTransport, type Transport } from '../../operator/kube/transport.ts';
import { type Fault, FaultyServer } from './faulty-server.ts';
import { ManualClock } from './manual-clock.ts';
import { ObjectStore } from './object-store.ts';
import { waitUntil } from './wait-until.ts';

type Counted = KubeObject & { status?: { replicas: number } };
const counted = defineResource<Counted>({
  apiVersion: 'apps/v1',
  kind: 'Deployment',
  plural: 'deployments',
  namespaced: true,
});
const path = '/apis/apps/v1/namespaces/default/deployments/counted';

describe('a status on a faulty server', () => {
  let server: FaultyServer;
  let objects: ObjectStore;
  let transport: Transport;
  let writer: StatusWriter;
  let clock: ManualClock;
  let first: Counted;
  let isSilence: boolean;

  beforeEach(async () => {
    server = await FaultyServer.start();
    objects = new ObjectStore();
    server.objects = objects;
    first = objects.put(path, { metadata: { name: 'counted', namespace: 'default' } });
    isSilence = false;
    let now = 'valid';
    const token: TokenSource = {
      read: async () => now,
      refused: () => {
        now = 'renewed';
      },
    };
    transport = createTransport({ connection: { ...server.connection, token }, userAgent: 'test/1' });
    clock = new ManualClock();
    writer = createStatusWriter({
      client: createClient(guardWrites(impatient(), () => true)),
      fieldManager: 'kit-test',
      minIntervalMs: 1_000,
      clock,
    });
  });
  afterEach(async () => {
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
    isSilence = fault.kind === 'mute' || fault.kind === 'late';
    server.script('other', fault);
  }

  const live = () => objects.get(path) as Counted;
  /** `shown`: what the cache has. */
  const write = async (replicas: number, shown: Counted = live()) =>
    (await writer.write(counted, shown, { replicas })).outcome;

  /** With what comes of it: `failed` is for the caller to try again. */
  const single: readonly (readonly [string, Fault, 'written' | 'failed'])[] = [
    ['a reset', { kind: 'reset' }, 'written'],
    ['a reset when it was written already', { kind: 'reset', done: true }, 'written'],
    ['409', { kind: 'status', code: 409, reason: 'Conflict' }, 'written'],
    ['429 with Retry-After', { kind: 'status', code: 429, retryAfter: 1 }, 'written'],
    ['429 with a Retry-After beyond its time', { kind: 'status', code: 429, retryAfter: 60 }, 'failed'],
    ['500', { kind: 'status', code: 500 }, 'failed'],
    ['503', { kind: 'status', code: 503 }, 'failed'],
    ['503 with Retry-After', { kind: 'status', code: 503, retryAfter: 0 }, 'written'],
    ['half of an answer and a reset', { kind: 'half-answer', reset: true }, 'written'],
    ['half of an answer and its orderly end', { kind: 'half-answer', reset: false }, 'failed'],
    ['silence', { kind: 'mute' }, 'failed'],
    ['silence when it was written already', { kind: 'mute', done: true }, 'failed'],
  ];
  for (const [what, fault, outcome] of single) {
    test(`is written once over ${what}, and said to be`, async () => {
      spoil(fault);
      assert.equal(await write(1, first).catch(() => 'failed'), outcome);
      assert.equal(server.pendingFaults, 0);
      if (outcome === 'failed') assert.equal(await write(1, first), 'written');
      assert.equal(live().status?.replicas, 1);
      assert.deepEqual(objects.changes, [`PATCH ${path}/status`]);
      const deferred = await writer.write(counted, live(), { replicas: 2 });
      assert.deepEqual(deferred, { outcome: 'deferred', afterMs: 1_000 }, 'it counts as a write');
      clock.stall(1_000);
      assert.equal(await write(2), 'written');
      assert.equal(live().status?.replicas, 2);
    });
  }

  test('is written at once with a token that was renewed meanwhile', async () => {
    server.token = 'renewed';
    assert.equal(await write(1), 'written');
  });

  test('that was given up is not written over a newer one, however late it comes', async () => {
    const gate = Promise.withResolvers<void>();
    spoil({ kind: 'late', until: gate.promise });
    await assert.rejects(write(1, first), { kind: 'timeout' });
    assert.equal(await write(2, first), 'written');
    gate.resolve();
    await waitUntil('it has come', () => server.answered === 2);
    assert.equal(live().status?.replicas, 2);
  });

  test('goes over one that was given up and came between', async () => {
    const gate = Promise.withResolvers<void>();
    spoil({ kind: 'late', until: gate.promise });
    await assert.rejects(write(1, first), { kind: 'timeout' });
    gate.resolve();
    await waitUntil('it has come', () => live().status?.replicas === 1);
    assert.equal(await write(2, first), 'written');
    assert.equal(live().status?.replicas, 2);
  });

  test('that somebody else writes all the time is left to the next look after a few tries', async () => {
    server.always = ({ method }) => {
      if (method === 'PATCH') objects.put(path, { ...live(), status: { replicas: 9 } } as Counted);
      return undefined;
    };
    await assert.rejects(write(1), { code: 409 });
    assert.deepEqual(objects.changes, []);
    server.always = undefined;
    assert.equal(await write(1), 'written');
  });
});
