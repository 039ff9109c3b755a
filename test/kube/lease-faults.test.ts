import assert from 'node:assert/strict';
import { afterEach, beforeEach, describe, test } from 'node:test';
import { createClient } from '../../operator/kube/client.ts';
import { guardWrites } from '../../operator/kube/guard-writes.ts';
import type { TokenSource } from '../../operator/kube/identity.ts';
import { createLeaderElection, type LeaderElection } from '../../operator/kube/lease.ts';
import type { KubeClient } from '../../operator/kube/resource.ts';
import { type ApiRequest, createTransport, type Transport } from '../../operator/kube/transport.ts';
import { configMaps, type Fault, FaultyServer } from './faulty-server.ts';
import { ManualClock } from './manual-clock.ts';
import { ObjectStore } from './object-store.ts';
import { waitUntil } from './wait-until.ts';

const path = '/apis/coordination.k8s.io/v1/namespaces/default/leases/kit';
/** Of kube/lease.ts: how long a holder believes itself without a renewal. */
const deadlineMs = 10_000;
const stepMs = 100;
const conflict: Fault = { kind: 'status', code: 409, reason: 'Conflict' };

/** One that wants the lease, and what it may write with. */
interface Holder {
  election: LeaderElection;
  client: KubeClient;
}

/** The elections' time is the test's; what waits for the network waits in real time. */
describe('a lease on a faulty server', () => {
  let server: FaultyServer;
  let objects: ObjectStore;
  let clock: ManualClock;
  let holders: Holder[];
  let said: string[];
  let calls: number;
  let token: TokenSource;
  const transports: Transport[] = [];

  beforeEach(async () => {
    server = await FaultyServer.start();
    objects = new ObjectStore();
    server.objects = objects;
    clock = new ManualClock();
    [holders, said, calls] = [[], [], 0];
    token = { read: async () => 'valid', refused: () => undefined };
  });
  afterEach(async () => {
    server.always = undefined;
    await Promise.all(holders.map(({ election }) => election.stop()));
    await Promise.all(transports.splice(0).map(transport => transport.close()));
    await server.stop();
  });

  /** Counts calls. What is to get no answer is not waited for: its time passes by the clock. */
  function watched(transport: Transport): Transport {
    const request = <T>(given: ApiRequest): Promise<T> => {
      calls++;
      const timeoutMs = server.pendingFaults > 0 || server.always ? 150 : 5_000;
      return transport
        .request<T>({ ...given, timeoutMs })
        .catch(error => {
          if (error.kind === 'timeout') clock.stall(given.timeoutMs ?? 0);
          throw error;
        })
        .finally(() => calls--);
    };
    return { request, stream: given => transport.stream(given), close: () => transport.close() };
  }

  async function elect(identity: string): Promise<LeaderElection> {
    const transport = createTransport({ connection: { ...server.connection, token }, userAgent: identity });
    transports.push(transport);
    const election = createLeaderElection({
      client: createClient(watched(transport)),
      namespace: 'default',
      name: 'kit',
      identity,
      clock,
      random: () => 0.5,
      onStarted: () => said.push(`${identity} started`),
      onStopped: why => said.push(`${identity} ${why}`),
    });
    const client = createClient(guardWrites(transport, () => election.isLeader()));
    holders.push({ election, client });
    election.start();
    await resting();
    return election;
  }

  /** Nobody waits for anything but time. */
  function resting(): Promise<void> {
    return waitUntil('all rest', () => calls === 0 && clock.timers === holders.length);
  }

  async function pass(ms: number, look: () => void = () => undefined): Promise<void> {
    for (let passed = 0; passed < ms; passed += stepMs) {
      await clock.advance(stepMs);
      await resting();
      look();
    }
  }

  const holder = (): string | undefined =>
    (objects.get(path) as { spec?: { holderIdentity?: string } } | undefined)?.spec?.holderIdentity;

  const single: readonly (readonly [string, Fault])[] = [
    ['a reset', { kind: 'reset' }],
    ['a reset when it was written already', { kind: 'reset', done: true }],
    ['a conflict with nobody', conflict],
    ['429 with a Retry-After that has time', { kind: 'status', code: 429, retryAfter: 0 }],
    ['429 with a Retry-After that has not', { kind: 'status', code: 429, retryAfter: 60 }],
    ['500', { kind: 'status', code: 500 }],
    ['503', { kind: 'status', code: 503, retryAfter: 5 }],
    ['half of an answer and a reset', { kind: 'half-answer', reset: true }],
    ['half of an answer and its orderly end', { kind: 'half-answer', reset: false }],
    ['silence', { kind: 'mute' }],
    ['silence when it was written already', { kind: 'mute', done: true }],
  ];
  for (const [what, fault] of single) {
    test(`is kept by its holder over ${what}`, async () => {
      const election = await elect('first');
      server.script('other', fault);
      await pass(deadlineMs);
      assert.equal(server.pendingFaults, 0);
      assert.deepEqual(said, ['first started']);
      assert.ok(election.isLeader());
      assert.ok((election.sinceRenewalMs() ?? deadlineMs) <= 2_000, 'it has been renewed since');
      assert.partialDeepStrictEqual(objects.get(path), {
        spec: { holderIdentity: 'first', leaseTransitions: 0 },
      });
    });

    test(`is claimed by a candidate over ${what}`, async () => {
      // The first request is the look, which finds nothing.
      server.script('other', { kind: 'slow', ms: 0 }, fault);
      const election = await elect('first');
      await pass(deadlineMs);
      assert.equal(server.pendingFaults, 0);
      assert.deepEqual(said, ['first started']);
      assert.ok(election.isLeader());
      assert.equal(holder(), 'first');
    });
  }

  test('is kept over an expired token that is renewed meanwhile', async () => {
    let now = 'valid';
    token = {
      read: async () => now,
      refused: () => {
        now = 'renewed';
      },
    };
    const election = await elect('first');
    server.token = 'renewed';
    await pass(deadlineMs);
    assert.deepEqual(said, ['first started']);
    assert.ok(election.isLeader());
  });

  const endless: readonly (readonly [string, Fault])[] = [
    ['silence', { kind: 'mute' }],
    ['resets', { kind: 'reset' }],
    ['500', { kind: 'status', code: 500 }],
    ['429 with Retry-After', { kind: 'status', code: 429, retryAfter: 1 }],
    ['401 for a token that stays expired', { kind: 'status', code: 401, reason: 'Unauthorized' }],
    ['half answers', { kind: 'half-answer', reset: false }],
  ];
  for (const [what, fault] of endless) {
    test(`is given up in time by a holder that gets nothing but ${what}, which then writes no more`, async () => {
      const first = await elect('first');
      const second = await elect('second');
      await pass(1_900);
      server.always = ({ headers }) => (headers['user-agent'] === 'first' ? fault : undefined);
      const never = () => assert.ok(!(first.isLeader() && second.isLeader()), 'never two');
      await pass(deadlineMs, never);
      assert.equal(first.isLeader(), false);
      const before = server.requests.length;
      const write = holders[0]!.client.mergePatch(configMaps, { namespace: 'default', name: 'x' }, {});
      await assert.rejects(write, { name: 'NotLeaderError' });
      assert.equal(server.requests.length, before);
      await pass(20_000, never);
      assert.deepEqual(said.toSorted(), ['first lost', 'first started', 'second started']);
      assert.ok(second.isLeader());
    });
  }

  test('that somebody deletes is given up by its holder at once, and made anew', async () => {
    const election = await elect('first');
    objects.delete(path);
    await pass(2_000);
    assert.deepEqual(said, ['first started', 'first lost']);
    await pass(1_500);
    assert.deepEqual(said, ['first started', 'first lost', 'first started']);
    assert.ok(election.isLeader());
    assert.equal(holder(), 'first');
  });

  test('is given back also when the answer to the last renewal was lost', async () => {
    const election = await elect('first');
    server.script('other', { kind: 'half-answer', reset: false });
    await pass(2_000);
    assert.equal(server.pendingFaults, 0);
    await election.stop();
    assert.equal(holder(), '');
    assert.deepEqual(said, ['first started', 'first released']);
  });
});
