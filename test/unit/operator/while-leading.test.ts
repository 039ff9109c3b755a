import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { NotLeaderError } from '../../../operator/kube/apply.ts';
import { createLeaderElection } from '../../../operator/kube/lease.ts';
import type { KubeClient } from '../../../operator/kube/resource.ts';
import { createWorkQueue, type Outcome } from '../../../operator/kube/work-queue.ts';
import { whileLeading } from '../../../operator/while-leading.ts';
import { ManualClock } from '../../kube/manual-clock.ts';

/** Of operator/kube/lease.ts: how long a holder believes itself without a renewal. */
const deadlineMs = 10_000;
/** The longest time between two renewals that are tried. */
const periodMs = 2_000;

/** A work queue of one who leads by a lease whose renewals are answered as `renewals` says. */
async function rig() {
  const clock = new ManualClock();
  const renewals = { answer: (lease: object): Promise<object> => Promise.resolve(lease) };
  const write = (_: unknown, lease: object) => renewals.answer(lease);
  const client = { find: () => Promise.resolve(undefined), create: write, replace: write };
  let leads = false;
  const election = createLeaderElection({
    ...{ client: client as unknown as KubeClient, namespace: 'n', name: 'l', clock, random: () => 0.5 },
    onStarted: () => {
      leads = true;
    },
    onStopped: () => {
      leads = false;
    },
  });
  const done: string[] = [];
  const outcomes: Outcome[] = [];
  /** What reconciling does besides. */
  const during = { work: async (): Promise<void> => undefined };
  const mayWrite = () => election.isLeader();
  const queue = createWorkQueue({
    clock,
    handler: whileLeading(
      async key => {
        await during.work();
        if (!mayWrite()) throw new NotLeaderError();
        done.push(key);
        return undefined;
      },
      { mayWrite, leads: () => leads },
    ),
    hooks: { onDone: (_key, _tookMs, outcome) => void outcomes.push(outcome) },
  });
  election.start();
  queue.start();
  await clock.advance(0);
  assert.equal(election.isLeader(), true);
  const end = async (): Promise<void> => {
    await queue.stop();
    const stopped = election.stop();
    await clock.advance(deadlineMs);
    await stopped;
  };
  return { clock, renewals, election, queue, during, done, outcomes, leads: () => leads, end };
}

/** Renewals fail until the last one that is tried in time, whose answer comes when the test says so: the lease has run out. */
async function runOut({ clock, renewals, election }: Awaited<ReturnType<typeof rig>>) {
  const late = Promise.withResolvers<void>();
  renewals.answer = async lease => {
    if ((election.sinceRenewalMs() ?? 0) < deadlineMs - periodMs) throw new Error('away');
    await late.promise;
    return lease;
  };
  while (election.isLeader()) await clock.advance(100);
  const next = (answer: (lease: object) => Promise<object>): void => {
    renewals.answer = answer;
  };
  return {
    renew: (): void => {
      next(async lease => lease);
      late.resolve();
    },
    lose: (): void => {
      next(() => Promise.reject(new Error('away')));
      late.reject(new Error('away'));
    },
  };
}

describe('a key that comes while the lease has run out', () => {
  test('is worked on when the renewal comes late and nobody else has led', async () => {
    const it = await rig();
    const renewal = await runOut(it);
    it.queue.add('apps/mail');
    await it.clock.advance(500);
    assert.deepEqual(it.done, []);
    renewal.renew();
    await it.clock.advance(periodMs);
    assert.equal(it.leads(), true);
    assert.deepEqual(it.done, ['apps/mail']);
    assert.ok(!it.outcomes.includes('error'), 'that the lease was late is no failure of a MailRelay');
    await it.end();
  });

  test('is worked on as well when it was being worked on as the lease ran out', async () => {
    const it = await rig();
    const gate = Promise.withResolvers<void>();
    it.during.work = () => gate.promise;
    it.queue.add('apps/mail');
    const renewal = await runOut(it);
    it.during.work = async () => undefined;
    gate.resolve();
    await it.clock.advance(500);
    assert.deepEqual(it.done, []);
    renewal.renew();
    await it.clock.advance(periodMs);
    assert.deepEqual(it.done, ['apps/mail']);
    assert.ok(!it.outcomes.includes('error'));
    await it.end();
  });

  test('is let go when the leadership is lost: leading again begins with every key', async () => {
    const it = await rig();
    const renewal = await runOut(it);
    it.queue.add('apps/mail');
    await it.clock.advance(500);
    renewal.lose();
    await it.clock.advance(2 * periodMs);
    assert.equal(it.leads(), false);
    const looks = it.outcomes.length;
    await it.clock.advance(600_000);
    assert.equal(it.outcomes.length, looks, 'who stands by looks at nothing');
    assert.equal(it.queue.depth, 0);
    assert.deepEqual(it.done, []);
    assert.ok(!it.outcomes.includes('error'));
    await it.end();
  });
});
