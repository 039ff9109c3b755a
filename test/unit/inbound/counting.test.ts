import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { Accounts } from '../../../relay/inbound/accounts.ts';
import { clientError } from '../../../relay/inbound/client-error.ts';
import { ClientNetworks } from '../../../relay/inbound/client-networks.ts';
import { LineBytes } from '../../../relay/inbound/line-bytes.ts';
import { LoginGuard } from '../../../relay/inbound/login-guard.ts';
import { SlidingCount } from '../../../relay/inbound/sliding-count.ts';

describe('the sliding count', () => {
  test('counts each event for at least the window and at most a slot longer', () => {
    fc.assert(
      fc.property(fc.array(fc.nat(5000), { maxLength: 60 }), steps => {
        const counter = new SlidingCount(10_000, 10, 100);
        let now = 1_000_000;
        const times: number[] = [];
        for (const step of steps) {
          now += step;
          counter.add('k', now);
          times.push(now);
          const count = counter.count('k', now);
          assert.ok(count >= times.filter(time => time > now - 10_000).length);
          assert.ok(count <= times.filter(time => time > now - 12_000).length);
        }
      }),
    );
  });

  test('says when the oldest event leaves', () => {
    const counter = new SlidingCount(10_000, 10, 100);
    counter.add('k', 1_000_500);
    const wait = counter.nextRelease('k', 1_003_000);
    assert.equal(counter.count('k', 1_003_000 + wait - 1), 1);
    assert.equal(counter.count('k', 1_003_000 + wait), 0);
    assert.equal(counter.nextRelease('unknown', 0), 0);
  });

  test('takes back what was counted, once, and forgets the key unused for longest', () => {
    const counter = new SlidingCount(10_000, 10, 2);
    counter.add('a', 0);
    counter.add('b', 0);
    counter.add('a', 0);
    counter.remove('b', 0);
    counter.remove('b', 0);
    counter.remove('b', -500_000);
    assert.equal(counter.count('b', 0), 0);
    counter.add('c', 0);
    assert.equal(counter.count('a', 0), 2);
    assert.equal(counter.count('c', 0), 1);
  });

  test('survives a clock that steps back or far ahead', () => {
    const counter = new SlidingCount(10_000, 10, 2);
    counter.add('a', 1_000_000);
    counter.add('a', 10_000);
    assert.equal(counter.count('a', 10_000), 2);
    assert.equal(counter.count('a', 9e12), 0);
  });
});

describe('the login guard', () => {
  const attempt = (address: string, username: string) => ({ address, username });

  test('blocks one name at one address after 20 failures, for ten minutes and a little', () => {
    const guard = new LoginGuard();
    for (let count = 0; count < 20; count++) {
      assert.equal(guard.blocked(attempt('a', 'app'), count), undefined);
      guard.failed(attempt('a', 'app'), count);
    }
    const blocked = guard.blocked(attempt('a', 'app'), 20);
    assert.equal(blocked?.scope, 'user');
    assert.ok(blocked.retryInMs >= 10 * 60_000 - 20 && blocked.retryInMs <= 10.5 * 60_000);
    assert.equal(guard.blocked(attempt('a', 'other'), 20), undefined);
    assert.equal(guard.blocked(attempt('b', 'app'), 20), undefined);
    assert.equal(guard.blocked(attempt('a', 'app'), 20 + blocked.retryInMs), undefined);
  });

  test('blocks an address that tries many names', () => {
    const guard = new LoginGuard();
    for (let count = 0; count < 200; count++) {
      assert.equal(guard.blocked(attempt('a', `name${count}`), count), undefined);
      guard.failed(attempt('a', `name${count}`), count);
    }
    assert.equal(guard.blocked(attempt('a', 'app'), 200)?.scope, 'address');
    assert.equal(guard.blocked(attempt('b', 'app'), 200), undefined);
  });
});

describe('client networks', () => {
  test('match IPv4 in either form, IPv6, single addresses', () => {
    const networks = new ClientNetworks(['10.0.0.0/8', '::ffff:192.168.0.0/112', 'fd00::/8', '203.0.113.9']);
    for (const inside of ['10.255.0.1', '::ffff:10.1.1.1', '192.168.0.77', 'fd12::1', '203.0.113.9']) {
      assert.ok(networks.includes(inside), inside);
    }
    for (const outside of ['11.0.0.1', '192.169.1.1', 'fe80::1', '203.0.113.8', '', 'x', '::ffff:11.0.0.1']) {
      assert.ok(!networks.includes(outside), outside);
    }
    assert.ok(new ClientNetworks(['fe80::/10']).includes('fe80::1%eth0'));
  });

  test('name the entry that cannot be read', () => {
    assert.throws(
      () => new ClientNetworks(['10.0.0.0/8', '10.0.0.0/33']),
      /allowedNetworks: "10\.0\.0\.0\/33"/,
    );
  });
});

test('accounts verify exactly the name and its password', () => {
  const accounts = new Accounts([{ username: 'a', password: 'x' }]);
  assert.ok(accounts.verify('a', 'x'));
  for (const [name, password] of [
    ['a', 'X'],
    ['a', ''],
    ['b', 'x'],
    ['', ''],
    ['__proto__', 'x'],
  ] as const) {
    assert.ok(!accounts.verify(name, password));
  }
});

test('a client error is told on one line, however long its message', () => {
  assert.deepEqual(clientError('192.0.2.1', new Error(`bad\r\n${'x'.repeat(300)}`)), {
    event: 'client-error',
    client: '192.0.2.1',
    message: `bad ${'x'.repeat(196)}`,
  });
});

test('the search for line ends finds each, at any alignment', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 80 }), fc.nat(7), fc.nat(80), (bytes, shift, from) => {
      const memory = Buffer.alloc(bytes.length + shift + 8, 0x0a);
      memory.set(bytes, shift);
      const chunk = memory.subarray(shift, shift + bytes.length);
      const start = Math.min(from, chunk.length);
      const expected = chunk.findIndex((byte, index) => index >= start && (byte === 10 || byte === 13));
      assert.equal(new LineBytes(chunk).next(start), expected < 0 ? chunk.length : expected);
    }),
    { numRuns: 3000 },
  );
});
