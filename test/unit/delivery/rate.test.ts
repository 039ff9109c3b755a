import assert from 'node:assert/strict';
import { describe as suite, test } from 'node:test';
import fc from 'fast-check';
import { type Bucket, full, inside, take } from '../../../relay/delivery/rate.ts';

/** Takes whenever allowed for `forMs`; the moments at which a message began. */
function run(rate: number, forMs: number): number[] {
  const begun: number[] = [];
  let bucket: Bucket = full(rate, 0);
  for (let now = 0; now < forMs; ) {
    const taken = take(bucket, now, rate);
    bucket = taken.bucket;
    if (taken.waitMs === 0) begun.push(now);
    now += taken.waitMs;
  }
  return begun;
}

suite('take', () => {
  test('a full bucket gives one second’s worth at once, then the rate', () => {
    const begun = run(10, 3000);
    assert.equal(begun.filter(moment => moment === 0).length, 10);
    assert.equal(begun.length, 10 + 29);
  });

  test('what is inside can be taken one after the other, and the wait brings one more', () => {
    const bucket = take(take(full(10, 0), 0, 10).bucket, 0, 10).bucket;
    assert.deepEqual(inside(bucket, 0, 10), { whole: 8, waitMs: 100 });
    assert.deepEqual(inside({ tokens: 0, at: 0 }, 0, 0.5), { whole: 0, waitMs: 2000 });
    assert.deepEqual(inside({ tokens: 0, at: 0 }, 2000, 0.5), { whole: 1, waitMs: 2000 });
  });

  test('a rate below one a second gives one message, then waits', () => {
    assert.deepEqual(run(0.5, 5000), [0, 2000, 4000]);
  });

  test('asking early takes nothing and says how long', () => {
    const empty = { tokens: 0, at: 0 };
    const asked = take(empty, 100, 2);
    assert.equal(asked.waitMs, 400);
    assert.equal(take(asked.bucket, 500, 2).waitMs, 0);
  });

  test('an idle provider saves up no more than one second’s worth', () => {
    const { bucket } = take({ tokens: 0, at: 0 }, 3_600_000, 5);
    assert.equal(bucket.tokens, 4);
  });

  test('a clock that steps back stops nothing', () => {
    const stepped = take({ tokens: 0, at: 1_000_000 }, 5, 10);
    assert.equal(stepped.waitMs, 100);
    assert.equal(take(stepped.bucket, 105, 10).waitMs, 0);
  });

  test('a changed rate applies from the next message', () => {
    const { bucket } = take(full(100, 0), 0, 2);
    assert.equal(bucket.tokens, 1);
  });

  test('a rate close to nothing waits an hour before it asks again, not for ever', () => {
    assert.equal(take({ tokens: 0, at: 0 }, 0, 1e-9).waitMs, 3_600_000);
  });
});

test('in no window do more messages begin than the bucket and the rate allow', () => {
  fc.assert(
    fc.property(
      fc.double({ min: 0.1, max: 50, noNaN: true }),
      fc.array(fc.nat(700), { minLength: 1, maxLength: 200 }),
      (rate, gaps) => {
        let bucket = full(rate, 0);
        let now = 0;
        let begun = 0;
        for (const gap of gaps) {
          now += gap;
          const taken = take(bucket, now, rate);
          bucket = taken.bucket;
          begun += taken.waitMs === 0 ? 1 : 0;
          assert.ok(begun <= Math.max(1, rate) + (now * rate) / 1000 + 1e-3);
          assert.ok(bucket.tokens >= 0 && Number.isFinite(taken.waitMs) && taken.waitMs >= 0);
        }
      },
    ),
  );
});
