import assert from 'node:assert/strict';
import { describe, mock, test } from 'node:test';
import type { ProviderLimits } from '../../../relay/config/config.ts';
import { ProviderPool } from '../../../relay/delivery/provider-pool.ts';
import { FakeSession } from './fake-session.ts';

const limits: ProviderLimits = {
  maxConnections: 10,
  maxRecipientsPerMessage: 100,
  messagesPerConnection: 3,
  connectionLifetimeMs: 60_000,
  idleTimeoutMs: 5000,
};

function pool(clock = { now: 0 }): ProviderPool {
  return new ProviderPool(
    () => limits,
    () => clock.now,
  );
}

describe('a pool of connections', () => {
  test('gives the one used last, and counts what each lane has at work', () => {
    const made = pool();
    const [a, b] = [new FakeSession(), new FakeSession()];
    made.add(a, () => undefined);
    made.add(b, () => undefined);
    assert.equal(made.take('fresh'), b);
    assert.equal(made.take('resend'), a);
    assert.equal(made.take('fresh'), undefined);
    assert.deepEqual(made.inUse, { fresh: 1, resend: 1 });
    made.giveBack(a, 'resend');
    assert.deepEqual([made.idle, made.established, made.inUse.resend], [1, 2, 0]);
  });

  test('is quiet since its last byte, or since a connection was taken where that is later', () => {
    const clock = { now: 0 };
    const made = pool(clock);
    const [a, b] = [new FakeSession(), new FakeSession()];
    made.add(a, () => undefined);
    made.add(b, () => undefined);
    clock.now = 60_000;
    a.quietMs = b.quietMs = 60_000;
    made.take('fresh');
    assert.equal(made.quietMs, 0);
    clock.now += 3000;
    assert.equal(made.quietMs, 3000);
    b.quietMs = 1000;
    assert.equal(made.quietMs, 1000);
    b.quietMs = 4000;
    made.take('fresh');
    assert.equal(made.quietMs, 0, 'while one has just been taken, the pool is not quiet');
  });

  test('closes one that has carried its messages', () => {
    const made = pool();
    const session = new FakeSession();
    made.add(session, () => undefined);
    made.take('fresh');
    session.transactions = 3;
    made.giveBack(session, 'fresh');
    assert.equal(session.closedBy, 'quit');
    assert.equal(made.established, 0);
  });

  test('closes one that is past its lifetime, by the clock of the pool alone', () => {
    const clock = { now: 5000 };
    const made = pool(clock);
    const session = new FakeSession();
    made.add(session, () => undefined);
    made.take('fresh');
    clock.now += 59_999;
    made.giveBack(session, 'fresh');
    assert.equal(session.closedBy, undefined);
    made.take('fresh');
    clock.now += 1;
    made.giveBack(session, 'fresh');
    assert.equal(session.closedBy, 'quit');
  });

  test('destroys one that is not usable any more', () => {
    const made = pool();
    const session = new FakeSession();
    made.add(session, () => undefined);
    made.take('fresh');
    session.usable = false;
    made.giveBack(session, 'fresh');
    assert.equal(session.closedBy, 'destroy');
  });

  test('forgets one that ends while idle and says so once; one at work is left to its transaction', () => {
    const made = pool();
    const [idle, busy] = [new FakeSession(), new FakeSession()];
    let ended = 0;
    made.add(busy, () => ended++);
    made.take('fresh');
    made.add(idle, () => ended++);
    idle.end();
    idle.end();
    busy.end();
    assert.equal(ended, 1);
    assert.equal(made.established, 1);
  });

  test('closes one that was idle too long', t => {
    mock.timers.enable({ apis: ['setTimeout'] });
    t.after(() => mock.timers.reset());
    const made = pool();
    const session = new FakeSession();
    made.add(session, () => undefined);
    mock.timers.tick(4999);
    made.giveBack(made.take('fresh')!, 'fresh');
    mock.timers.tick(4999);
    assert.equal(session.closedBy, undefined);
    mock.timers.tick(1);
    assert.equal(session.closedBy, 'quit');
    assert.equal(made.established, 0);
  });

  test('retired: closes what is idle, and what is at work when it comes back', () => {
    const made = pool();
    const [a, b] = [new FakeSession(), new FakeSession()];
    made.add(a, () => undefined);
    made.add(b, () => undefined);
    made.take('fresh');
    made.retire();
    assert.deepEqual([a.closedBy, b.closedBy], ['quit', undefined]);
    made.giveBack(b, 'fresh');
    assert.equal(b.closedBy, 'quit');
  });

  test('destroyed: cuts what is at work', () => {
    const made = pool();
    const [a, b] = [new FakeSession(), new FakeSession()];
    made.add(a, () => undefined);
    made.add(b, () => undefined);
    made.take('fresh');
    made.destroy();
    assert.deepEqual([a.closedBy, b.closedBy], ['quit', 'destroy']);
  });
});
