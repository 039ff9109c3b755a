import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { Batches } from '../../../relay/delivery/batches.ts';

const positions = (count: number): number[] => Array.from({ length: count }, (_, index) => index);

test('a message goes in transactions of the provider’s limit, in the order of its recipients', () => {
  const batches = new Batches(positions(5));
  assert.deepEqual([batches.next(2), batches.next(2), batches.next(2)], [[0, 1], [2, 3], [4]]);
  assert.equal(batches.next(2), undefined);
  assert.equal(batches.found, undefined);
});

test('the limit is what it is when a transaction begins, and those without a place come last', () => {
  const batches = new Batches(positions(5));
  assert.deepEqual(batches.next(3), [0, 1, 2]);
  batches.add([1, 2]);
  assert.deepEqual([batches.next(1), batches.next(9)], [[3], [4, 1, 2]]);
});

test('whatever number a provider takes: nobody is left out or carried twice, and few transactions are in vain', () => {
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 2000 }), fc.integer({ min: 1, max: 300 }), (count, takes) => {
      const batches = new Batches(positions(count));
      const taken: number[] = [];
      let inVain = 0;
      for (let batch = batches.next(1000); batch !== undefined; batch = batches.next(1000)) {
        if (batch.length <= takes) taken.push(...batch);
        else {
          inVain += 1;
          batches.halve(batch.length, 'too many');
          batches.add(batch);
        }
      }
      assert.deepEqual(
        taken.sort((a, b) => a - b),
        positions(count),
      );
      assert.ok(inVain <= Math.log2(1000), `${inVain} in vain`);
    }),
  );
});
