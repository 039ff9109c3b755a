import assert from 'node:assert/strict';
import { describe as suite, test } from 'node:test';
import fc from 'fast-check';
import type { ResendConfig, RetryConfig } from '../../../relay/config/config.ts';
import { exponential, jittered, namedWait, resendDelay, tryDelay } from '../../../relay/delivery/backoff.ts';

const minute = 60_000;
const day = 24 * 60 * minute;
const retry: RetryConfig = { attempts: 3, initialDelayMs: 1000, multiplier: 2, patienceMs: 5000 };
const resend: ResendConfig = {
  initialDelayMs: minute,
  maxDelayMs: 60 * minute,
  multiplier: 2,
  jitter: 0.2,
  expireAfterMs: 5 * day,
  deadRetentionMs: 30 * day,
  deadMaxMessages: 1000,
  deadMaxBytes: 1e9,
  bounces: false,
};

suite('tryDelay', () => {
  test('is one second after the first try, two after the second', () => {
    assert.deepEqual(
      [1, 2, 3].map(tries => tryDelay(tries, retry)),
      [1000, 2000, 4000],
    );
  });

  test('stays constant with a multiplier of 1', () => {
    assert.deepEqual(
      [1, 9].map(tries => tryDelay(tries, { ...retry, multiplier: 1 })),
      [1000, 1000],
    );
  });
});

suite('resendDelay', () => {
  test('is 1, 2, 4 … minutes and at most an hour', () => {
    assert.deepEqual(
      [1, 2, 3, 4, 5, 6, 7, 8, 100].map(rounds => resendDelay(rounds, resend, 0.5) / minute),
      [1, 2, 4, 8, 16, 32, 60, 60, 60],
    );
  });

  test('varies by a fifth either way, at the ceiling too', () => {
    assert.deepEqual(
      [0, 0.5, 0.999999].map(random => Math.round(resendDelay(1, resend, random) / 1000)),
      [48, 60, 72],
    );
    assert.deepEqual(
      [0, 0.999999].map(random => Math.round(resendDelay(50, resend, random) / minute)),
      [48, 72],
    );
  });
});

test('no number of rounds, no multiplier and no delay makes a wait that a timer cannot hold', () => {
  fc.assert(
    fc.property(
      fc.double({ min: 0, noNaN: true }),
      fc.double({ min: 0, noNaN: true }),
      fc.integer(),
      fc.double({ min: 0, max: 1, noNaN: true }),
      (first, multiplier, steps, random) => {
        const delay = jittered(exponential(first, multiplier, steps, 60 * minute), 0.2, random);
        assert.ok(Number.isInteger(delay) && delay >= 0 && delay <= 72 * minute);
      },
    ),
  );
  assert.equal(tryDelay(5000, { ...retry, multiplier: 10 }), day);
  assert.equal(resendDelay(1e9, resend, 0.5), 60 * minute);
});

suite('namedWait', () => {
  const said: readonly (readonly [string, number | undefined])[] = [
    ['Please try again in 30 seconds', 30_000],
    ['retry after 5 minutes', 5 * minute],
    ['Retry-After: 30', 30_000],
    ['Greylisted, try again in 300 seconds', 300_000],
    ['greylisted for 60s', minute],
    ['Too many messages. Try again in 92 seconds.', 92_000],
    ['come back in 1 hour', 60 * minute],
    ['Please wait for at least 10 min before reconnecting', 10 * minute],
    ['wait another minute', undefined],
    ['Try again later', undefined],
    ['100 messages in 1 hour exceeded', undefined],
    ['You have exceeded 500 recipients, the limit for 24 hours', undefined],
    ['try again in 0 seconds', 1000],
    ['try again in 99999 hours', day],
    ['', undefined],
  ];
  for (const [text, expected] of said) {
    test(`"${text}" ${expected === undefined ? 'names none' : `is ${expected / 1000} s`}`, () => {
      assert.equal(namedWait(text), expected);
    });
  }

  test('reads any text quickly, and finds a wait between a second and a day or none', () => {
    fc.assert(
      fc.property(fc.string({ maxLength: 512 }), text => {
        const wait = namedWait(text) ?? 1000;
        assert.ok(wait >= 1000 && wait <= day);
      }),
    );
    const before = process.cpuUsage();
    namedWait('try '.repeat(10_000));
    namedWait('again in '.repeat(10_000));
    const { user, system } = process.cpuUsage(before);
    assert.ok(user + system < 1_000_000, `${user + system} µs`);
  });
});
