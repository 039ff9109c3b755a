import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { type InUse, type Lane, WaitingLine } from '../../../relay/delivery/waiting-line.ts';

interface Waiter {
  readonly lane: Lane;
  readonly name: string;
}

/** A provider with so many connections, on which nobody finishes until `finish`. */
function serve(line: WaitingLine<Waiter>, inUse: InUse): Waiter | undefined {
  const waiter = line.next(inUse);
  if (waiter !== undefined) inUse[waiter.lane] += 1;
  return waiter;
}

test('each lane is served first come first served', () => {
  const line = new WaitingLine<Waiter>();
  for (const name of ['a', 'b', 'c']) line.join({ lane: 'fresh', name });
  const inUse = { fresh: 0, resend: 0 };
  assert.deepEqual(
    [1, 2, 3].map(() => serve(line, inUse)?.name),
    ['a', 'b', 'c'],
  );
  assert.equal(line.next(inUse), undefined);
});

test('who leaves is not served', () => {
  const line = new WaitingLine<Waiter>();
  const gone = { lane: 'fresh', name: 'gone' } as const;
  line.join(gone);
  line.join({ lane: 'fresh', name: 'stays' });
  line.leave(gone);
  assert.equal(line.size, 1);
  assert.equal(line.next({ fresh: 0, resend: 0 })?.name, 'stays');
});

test('a backlog alone may use every connection', () => {
  const line = new WaitingLine<Waiter>();
  for (let n = 0; n < 20; n += 1) line.join({ lane: 'resend', name: `${n}` });
  const inUse = { fresh: 0, resend: 0 };
  for (let n = 0; n < 20; n += 1) serve(line, inUse);
  assert.equal(inUse.resend, 20);
});

/** Plays a provider that is always full while both lines are long; returns the most resends at work. */
function mostResends(connections: number, freshFinishesFirst: readonly boolean[]): number {
  const line = new WaitingLine<Waiter>();
  for (let n = 0; n < 500; n += 1) {
    line.join({ lane: 'fresh', name: `f${n}` });
    line.join({ lane: 'resend', name: `r${n}` });
  }
  const inUse = { fresh: 0, resend: 0 };
  let most = 0;
  for (const freshFirst of freshFinishesFirst) {
    while (inUse.fresh + inUse.resend < connections) serve(line, inUse);
    most = Math.max(most, inUse.resend);
    const preferred: Lane = freshFirst ? 'fresh' : 'resend';
    const other: Lane = freshFirst ? 'resend' : 'fresh';
    inUse[inUse[preferred] > 0 ? preferred : other] -= 1;
  }
  return most;
}

test('while fresh mail waits, resends get at most half of the connections, rounded up', () => {
  fc.assert(
    fc.property(
      fc.integer({ min: 1, max: 30 }),
      fc.array(fc.boolean(), { maxLength: 200 }),
      (connections, finishes) => {
        assert.ok(mostResends(connections, finishes) <= Math.ceil(connections / 2));
      },
    ),
  );
});

test('with a single connection both lanes take turns', () => {
  const line = new WaitingLine<Waiter>();
  for (let n = 0; n < 3; n += 1) {
    line.join({ lane: 'fresh', name: `f${n}` });
    line.join({ lane: 'resend', name: `r${n}` });
  }
  const served: string[] = [];
  for (let n = 0; n < 6; n += 1) served.push(line.next({ fresh: 0, resend: 0 })!.name);
  assert.deepEqual(served, ['f0', 'r0', 'f1', 'r1', 'f2', 'r2']);
});
