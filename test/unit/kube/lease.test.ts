import assert from 'node:assert/strict';
import { beforeEach, describe, test } from 'node:test';
import { ApiError, ConnectionError } from '../../../operator/kube/api-error.ts';
import { createLeaderElection, type LeaderElectionOptions } from '../../../operator/kube/lease.ts';
import type { KubeObject } from '../../../operator/kube/object.ts';
import type { KubeClient } from '../../../operator/kube/resource.ts';
import { ManualClock } from '../../kube/manual-clock.ts';

type Lease = KubeObject & {
  spec?: { holderIdentity?: string; leaseDurationSeconds?: number; leaseTransitions?: number };
};

/** One lease with the API server's rule: a write with an old resourceVersion is refused. */
class LeaseServer {
  lease: Lease | undefined;
  away = false;
  loseAnswers = false;
  #version = 0;

  #answer(lease: Lease | undefined): Lease | undefined {
    if (this.loseAnswers) throw new ConnectionError('reset', 'answer lost');
    return structuredClone(lease);
  }
  #reach(): void {
    if (this.away) throw new ConnectionError('refused', 'away');
  }
  store(lease: Lease): void {
    this.lease = { ...lease, metadata: { ...lease.metadata, resourceVersion: String(++this.#version) } };
  }
  readonly client = {
    find: async () => {
      this.#reach();
      return this.#answer(this.lease);
    },
    create: async (_resource: unknown, lease: Lease) => {
      this.#reach();
      if (this.lease) throw new ApiError({ code: 409, reason: 'AlreadyExists', message: 'exists' });
      this.store(lease);
      return this.#answer(this.lease);
    },
    replace: async (_resource: unknown, lease: Lease) => {
      this.#reach();
      if (lease.metadata.resourceVersion !== this.lease?.metadata.resourceVersion) {
        throw new ApiError({ code: 409, reason: 'Conflict', message: 'changed' });
      }
      this.store(lease);
      return this.#answer(this.lease);
    },
  } as unknown as KubeClient;
}

describe('leader election', () => {
  let server: LeaseServer;
  let clock: ManualClock;
  let said: string[];
  beforeEach(() => {
    server = new LeaseServer();
    clock = new ManualClock();
    said = [];
  });
  function elect(identity: string, more: Partial<LeaderElectionOptions> = {}) {
    const election = createLeaderElection({
      client: server.client,
      namespace: 'n',
      name: 'lease',
      identity,
      clock,
      random: () => 0.5,
      onStarted: () => said.push(`${identity} started`),
      onStopped: why => said.push(`${identity} ${why}`),
      ...more,
    });
    election.start();
    return election;
  }

  test('gives the lease to the first and not to the second', async () => {
    const a = elect('a');
    await clock.advance(0);
    const b = elect('b');
    await clock.advance(60_000);
    assert.deepEqual(said, ['a started']);
    assert.deepEqual([a.isLeader(), b.isLeader(), b.holder], [true, false, 'a']);
    assert.equal(server.lease?.spec?.leaseTransitions, 0);
  });

  test('a released lease is taken at the next look, and its transition is counted', async () => {
    const a = elect('a');
    await clock.advance(0);
    elect('b');
    await clock.advance(5_000);
    await a.stop();
    await clock.advance(1_500);
    assert.deepEqual(said, ['a started', 'a released', 'b started']);
    assert.equal(server.lease?.spec?.leaseTransitions, 1);
  });

  test('is false the moment the deadline has passed, without any timer, and stays so after a late answer', async () => {
    const a = elect('a');
    await clock.advance(0);
    clock.stall(9_999);
    assert.equal(a.isLeader(), true);
    clock.stall(1);
    assert.equal(a.isLeader(), false);
  });

  test('ends the leader’s signal and calls when renewals fail, and begins again afterwards', async () => {
    let signal: AbortSignal | undefined;
    const a = elect('a', {
      onStarted: given => {
        signal = given;
        said.push('a started');
      },
    });
    await clock.advance(4_000);
    server.away = true;
    await clock.advance(12_000);
    assert.deepEqual(said, ['a started', 'a lost']);
    assert.equal(signal?.aborted, true);
    server.away = false;
    await clock.advance(2_000);
    assert.equal(a.isLeader(), true);
    assert.deepEqual(said, ['a started', 'a lost', 'a started']);
  });

  test('outlives an API server that is away for less than the deadline', async () => {
    const a = elect('a');
    await clock.advance(4_000);
    server.away = true;
    await clock.advance(7_000);
    server.away = false;
    await clock.advance(10_000);
    assert.deepEqual(said, ['a started']);
    assert.equal(a.isLeader(), true);
  });

  test('leads again within three quarters of a second when the API server is back and nobody else was there', async () => {
    const a = elect('a');
    await clock.advance(4_000);
    server.away = true;
    await clock.advance(15_000);
    assert.deepEqual(said, ['a started', 'a lost']);
    server.away = false;
    await clock.advance(750);
    assert.equal(a.isLeader(), true);
  });

  test('keeps leading when the answer to a renewal is lost: the lease says who holds it', async () => {
    const a = elect('a');
    await clock.advance(4_000);
    server.loseAnswers = true;
    await clock.advance(3_000);
    server.loseAnswers = false;
    await clock.advance(5_000);
    assert.deepEqual(said, ['a started']);
    assert.equal(a.isLeader(), true);
  });

  test('stops leading as soon as it sees another holder', async () => {
    const a = elect('a');
    await clock.advance(0);
    server.store({ ...server.lease!, spec: { ...server.lease!.spec, holderIdentity: 'thief' } });
    await clock.advance(2_000);
    assert.equal(a.isLeader(), false);
    assert.deepEqual(said, ['a started', 'a lost']);
  });

  test('goes on when somebody only labels the lease', async () => {
    const a = elect('a');
    await clock.advance(0);
    server.store({ ...server.lease!, metadata: { ...server.lease!.metadata, labels: { a: 'b' } } });
    await clock.advance(5_000);
    assert.equal(a.isLeader(), true);
    assert.deepEqual(server.lease?.metadata.labels, { a: 'b' });
  });

  test('takes a dead holder’s lease 15 s after its last change on the own clock, whatever times it names', async () => {
    const renewTime = '2099-01-01T00:00:00.000000Z';
    server.store({
      metadata: { namespace: 'n', name: 'lease' },
      spec: { holderIdentity: 'dead', renewTime },
    } as Lease);
    const b = elect('b');
    await clock.advance(14_999);
    assert.equal(b.isLeader(), false);
    await clock.advance(1);
    assert.equal(b.isLeader(), true);
  });

  test('waits longer when the holder was promised longer', async () => {
    server.store({
      metadata: { namespace: 'n', name: 'lease' },
      spec: { holderIdentity: 'dead', leaseDurationSeconds: 60 },
    });
    const b = elect('b');
    await clock.advance(59_000);
    assert.equal(b.isLeader(), false);
    await clock.advance(1_000);
    assert.equal(b.isLeader(), true);
  });

  test('never has two leaders, whatever stalls and outages there are', async () => {
    const a = elect('a');
    const b = elect('b');
    let seed = 7;
    const random = () => {
      seed = (seed * 16_807) % 2_147_483_647;
      return seed / 2_147_483_647;
    };
    const disturb = () => {
      if (random() < 0.02) clock.stall(random() * 20_000);
      if (random() < 0.3) server.away = !server.away && random() < 0.5;
      server.loseAnswers = random() < 0.05;
    };
    for (let step = 0; step < 2_000; step++) {
      disturb();
      assert.ok(!(a.isLeader() && b.isLeader()), `step ${step}`);
      await clock.advance(random() * 3_000);
      assert.ok(!(a.isLeader() && b.isLeader()), `step ${step}`);
    }
    assert.ok(said.length > 10, 'leadership moved');
  });

  test('refuses times that cannot be safe', () => {
    assert.throws(() => elect('a', { leaseDurationMs: 10_000 }), /leaseDurationMs 10000 must be more than/);
  });
});
