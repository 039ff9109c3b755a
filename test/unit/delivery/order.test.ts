import assert from 'node:assert/strict';
import { describe as suite, test } from 'node:test';
import fc from 'fast-check';
import { effectiveOrder } from '../../../relay/delivery/order.ts';

const providers = [
  { name: 'third', priority: 30 },
  { name: 'first', priority: 10 },
  { name: 'second', priority: 20 },
];

suite('effectiveOrder', () => {
  test('smaller priority comes first', () => {
    assert.deepEqual(
      effectiveOrder(providers, () => true),
      { use: ['first', 'second', 'third'], skipped: [] },
    );
  });

  test('equal priorities keep the order of the list', () => {
    const equal = ['a', 'b', 'c'].map(name => ({ name, priority: 1 }));
    assert.deepEqual(effectiveOrder(equal, () => true).use, ['a', 'b', 'c']);
  });

  test('a position that is given decides between equal priorities', () => {
    const placed = [
      { name: 'late', priority: 1, position: 2 },
      { name: 'early', priority: 1, position: 1 },
    ];
    assert.deepEqual(effectiveOrder(placed, () => true).use, ['early', 'late']);
  });

  test('one that cannot be used is skipped, and named', () => {
    assert.deepEqual(
      effectiveOrder(providers, name => name !== 'first'),
      {
        use: ['second', 'third'],
        skipped: ['first'],
      },
    );
  });

  test('with none that can be used there is nothing to use, and all are named in order', () => {
    assert.deepEqual(
      effectiveOrder(providers, () => false),
      { use: [], skipped: ['first', 'second', 'third'] },
    );
    assert.deepEqual(
      effectiveOrder([], () => true),
      { use: [], skipped: [] },
    );
  });

  test('every provider is in exactly one of the two lists, each in order of priority', () => {
    const any = fc.uniqueArray(fc.record({ name: fc.string(), priority: fc.integer(), up: fc.boolean() }), {
      selector: ({ name }) => name,
    });
    fc.assert(
      fc.property(any, list => {
        const by = new Map(list.map(provider => [provider.name, provider]));
        const { use, skipped } = effectiveOrder(list, name => by.get(name)?.up === true);
        assert.deepEqual([...use, ...skipped].sort(), [...by.keys()].sort());
        for (const names of [use, skipped]) {
          const priorities = names.map(name => by.get(name)?.priority ?? 0);
          assert.deepEqual(
            priorities,
            priorities.toSorted((a, b) => a - b),
          );
        }
      }),
    );
  });
});
