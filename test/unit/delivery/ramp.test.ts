import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { Ramp } from '../../../relay/delivery/ramp.ts';

test('four at first, one more with each success, never above the ceiling', () => {
  const ramp = new Ramp();
  assert.equal(ramp.size(100), 4);
  for (let count = 0; count < 6; count++) ramp.succeeded(100);
  assert.equal(ramp.size(100), 10);
  for (let count = 0; count < 200; count++) ramp.succeeded(100);
  assert.equal(ramp.size(100), 100);
  assert.equal(ramp.size(7), 7);
});

test('half after a failure, never below four while that many fit', () => {
  const ramp = new Ramp();
  for (let count = 0; count < 36; count++) ramp.succeeded(100);
  ramp.failed();
  assert.equal(ramp.size(100), 20);
  for (let count = 0; count < 10; count++) ramp.failed();
  assert.equal(ramp.size(100), 4);
});

test('one at least, even where no connection may be made: what is due must be looked at', () => {
  assert.equal(new Ramp().size(0), 1);
});

test('is always a whole number between one and the ceiling', () => {
  fc.assert(
    fc.property(fc.array(fc.boolean()), fc.integer({ min: 1, max: 4000 }), (outcomes, ceiling) => {
      const ramp = new Ramp();
      for (const good of outcomes) {
        if (good) ramp.succeeded(ceiling);
        else ramp.failed();
        const size = ramp.size(ceiling);
        assert.ok(Number.isInteger(size) && size >= 1 && size <= ceiling, `${size} of ${ceiling}`);
      }
    }),
  );
});
