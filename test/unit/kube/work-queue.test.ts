import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { ApiError } from '../../../operator/kube/api-error.ts';
import {
  createWorkQueue,
  type HandlerResult,
  type WorkQueueOptions,
} from '../../../operator/kube/work-queue.ts';
import { ManualClock, settle } from '../../kube/manual-clock.ts';

function setUp(options: Partial<WorkQueueOptions> = {}) {
  const clock = new ManualClock();
  const handled: string[] = [];
  const queue = createWorkQueue({
    clock,
    random: () => 0.999_999,
    workers: 1,
    handler: async key => {
      handled.push(key);
      return undefined;
    },
    ...options,
  });
  return { clock, handled, queue };
}

/** A handler whose calls end when the test says so. */
function gate() {
  const open: { key: string; finish: (result?: HandlerResult) => void; signal: AbortSignal }[] = [];
  const handler = (key: string, signal: AbortSignal) =>
    new Promise<HandlerResult>(resolve => open.push({ key, signal, finish: resolve }));
  return { open, handler };
}

describe('a work queue', () => {
  test('holds a key once, however often it is added', async () => {
    const { queue, handled } = setUp();
    queue.add('a');
    queue.add('a');
    queue.add('b');
    assert.equal(queue.depth, 2);
    queue.start();
    await settle();
    assert.deepEqual(handled, ['a', 'b']);
  });

  test('works on a key once more when it was added under way, and never twice at a time', async () => {
    const { open, handler } = gate();
    const { queue } = setUp({ handler, workers: 4 });
    queue.start();
    queue.add('a');
    queue.add('a');
    queue.add('a');
    assert.equal(queue.working, 1);
    open[0]!.finish();
    await settle();
    assert.equal(open.length, 2);
    open[1]!.finish();
    await settle();
    assert.equal(queue.working, 0);
    assert.equal(open.length, 2);
  });

  test('has no more handlers running than workers', async () => {
    const { open, handler } = gate();
    const { queue } = setUp({ handler, workers: 3 });
    queue.start();
    for (const key of ['a', 'b', 'c', 'd', 'e']) queue.add(key);
    assert.equal(queue.working, 3);
    assert.equal(queue.depth, 2);
    open[0]!.finish();
    await settle();
    assert.equal(queue.working, 3);
    assert.equal(queue.depth, 1);
  });

  test('takes edits before resyncs, and lifts a waiting key that is edited', async () => {
    const { queue, handled } = setUp();
    queue.add('resync-1', 'low');
    queue.add('resync-2', 'low');
    queue.add('edit');
    queue.add('resync-2', 'high');
    queue.start();
    await settle();
    assert.deepEqual(handled, ['edit', 'resync-2', 'resync-1']);
  });

  test('ends a resync also under constant edits: one key in eight', async () => {
    const { queue, handled } = setUp();
    queue.add('resync', 'low');
    for (let number = 0; number < 20; number++) queue.add(`edit-${number}`);
    queue.start();
    await settle();
    assert.equal(handled.indexOf('resync'), 7);
  });

  test('doubles the pause of a failing key up to the longest, and forgets it after a success', async () => {
    let fails = true;
    const pauses: number[] = [];
    const { queue, clock } = setUp({
      backoffMs: [200, 1_000],
      handler: async () => {
        if (fails) throw new Error('no');
        return undefined;
      },
      hooks: { onError: (_key, _error, _failures, retryInMs) => pauses.push(Math.round(retryInMs)) },
    });
    queue.start();
    queue.add('a');
    await clock.advance(10_000);
    assert.deepEqual(pauses.slice(0, 5), [200, 400, 800, 1_000, 1_000]);
    fails = false;
    await clock.advance(1_000);
    assert.equal(queue.failures('a'), 0);
  });

  test('a failing key keeps nobody else waiting', async () => {
    const seen: string[] = [];
    const { queue, clock } = setUp({
      handler: async key => {
        seen.push(key);
        if (key === 'bad') throw new Error('no');
        return undefined;
      },
    });
    queue.start();
    queue.add('bad');
    await clock.advance(50);
    queue.add('good');
    await clock.advance(50);
    assert.deepEqual(seen, ['bad', 'good']);
  });

  test('waits as long as the server asks when that is longer', async () => {
    let tries = 0;
    const { queue, clock } = setUp({
      handler: async () => {
        tries++;
        throw new ApiError({
          code: 429,
          reason: 'TooManyRequests',
          message: 'slow down',
          retryAfterSeconds: 7,
        });
      },
    });
    queue.start();
    queue.add('a');
    await clock.advance(6_999);
    assert.equal(tries, 1);
    await clock.advance(2);
    assert.equal(tries, 2);
  });

  test('believes no Retry-After that is longer than its own longest pause', async () => {
    const waits: number[] = [];
    const { queue } = setUp({
      backoffMs: [200, 300_000],
      hooks: { onError: (_key, _error, _failures, retryInMs) => waits.push(retryInMs) },
      handler: async () => {
        throw new ApiError({ code: 503, reason: '', message: 'a day off', retryAfterSeconds: 86_400 });
      },
    });
    queue.start();
    queue.add('a');
    await settle();
    assert.deepEqual(waits, [300_000]);
  });

  test('of several delays keeps the earliest', async () => {
    const { queue, handled, clock } = setUp();
    queue.start();
    queue.addAfter('a', 500);
    queue.addAfter('a', 100);
    queue.addAfter('a', 900);
    await clock.advance(99);
    assert.deepEqual(handled, []);
    await clock.advance(1);
    assert.deepEqual(handled, ['a']);
    await clock.advance(2_000);
    assert.deepEqual(handled, ['a']);
  });

  test('comes again when the handler asks, without counting a failure', async () => {
    let calls = 0;
    const { queue, clock } = setUp({
      handler: async () => (++calls < 3 ? { requeueAfterMs: 1_000 } : undefined),
    });
    queue.start();
    queue.add('a');
    await clock.advance(2_500);
    assert.equal(calls, 3);
    assert.equal(queue.failures('a'), 0);
  });

  test('lets running work end when it is stopped, drops the rest, and takes no more', async () => {
    const { open, handler } = gate();
    const { queue, clock } = setUp({ handler });
    queue.start();
    queue.add('a');
    queue.add('b');
    queue.addAfter('c', 10);
    let stopped = false;
    const stopping = queue.stop().then(() => {
      stopped = true;
    });
    await clock.advance(20);
    assert.equal(stopped, false);
    queue.add('d');
    open[0]!.finish();
    await stopping;
    assert.equal(open.length, 1);
    assert.equal(queue.depth, 0);
    assert.equal(clock.timers, 0);
  });

  test('aborts what is still running when a stop runs out of patience', async () => {
    const { open, handler } = gate();
    const { queue, clock } = setUp({ handler });
    queue.start();
    queue.add('a');
    const stopping = queue.stop(1_000);
    await clock.advance(999);
    assert.equal(open[0]!.signal.aborted, false);
    await clock.advance(1);
    assert.equal(open[0]!.signal.aborted, true);
    open[0]!.finish();
    await stopping;
  });

  test('tells how deep it is, how long keys waited and how long the work took', async () => {
    const { open, handler } = gate();
    const depths: number[] = [];
    const waits: number[] = [];
    const works: number[] = [];
    const { queue, clock } = setUp({
      handler,
      hooks: {
        onDepth: depth => depths.push(depth),
        onTaken: ms => waits.push(ms),
        onDone: (_key, ms) => works.push(ms),
      },
    });
    queue.start();
    queue.add('a');
    queue.add('b');
    clock.stall(30);
    open[0]!.finish();
    await settle();
    assert.deepEqual(depths, [1, 0, 1, 0]);
    assert.deepEqual(waits, [0, 30]);
    assert.deepEqual(works, [30]);
  });
});
