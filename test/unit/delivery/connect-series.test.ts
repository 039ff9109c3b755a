import assert from 'node:assert/strict';
import { mock, test } from 'node:test';
import { ConnectSeries } from '../../../relay/delivery/connect-series.ts';

function series(): { series: ConnectSeries; heard: string[]; tick: (ms: number) => void } {
  mock.timers.enable({ apis: ['setTimeout', 'Date'], now: 0 });
  const heard: string[] = [];
  const made = new ConnectSeries({
    retry: () => ({ attempts: 3, initialDelayMs: 1000, multiplier: 2, patienceMs: 5000 }),
    again: () => heard.push(`again at ${Date.now()}`),
    outOfPatience: () => heard.push(`out of patience at ${Date.now()}`),
  });
  return { series: made, heard, tick: ms => mock.timers.tick(ms) };
}

test('three tries, 1 s and 2 s apart, then no more', t => {
  t.after(() => mock.timers.reset());
  const { series: tries, heard, tick } = series();
  tries.begin();
  assert.equal(tries.failed(true), 1000);
  assert.equal(tries.pausing, true);
  tick(1000);
  assert.equal(tries.failed(true), 2000);
  tick(2000);
  assert.equal(tries.failed(true), undefined);
  assert.deepEqual(heard, ['again at 1000', 'again at 3000']);
});

test('a failure that another try cannot mend ends the series at once', t => {
  t.after(() => mock.timers.reset());
  const { series: tries } = series();
  tries.begin();
  assert.equal(tries.failed(false), undefined);
  assert.equal(tries.pausing, false);
});

test('patience is counted from the first try, whoever joins later', t => {
  t.after(() => mock.timers.reset());
  const { series: tries, heard, tick } = series();
  tries.begin();
  tick(3000);
  tries.begin();
  assert.equal(tries.late, false);
  tick(2000);
  assert.equal(tries.late, true);
  assert.deepEqual(heard, ['out of patience at 5000']);
});

test('whoever is told that patience is over finds the series late', t => {
  t.after(() => mock.timers.reset());
  mock.timers.enable({ apis: ['setTimeout'] });
  let late: boolean | undefined;
  const tries: ConnectSeries = new ConnectSeries({
    retry: () => ({ attempts: 3, initialDelayMs: 1000, multiplier: 2, patienceMs: 5000 }),
    again: () => undefined,
    outOfPatience: () => {
      late = tries.late;
    },
  });
  tries.begin();
  mock.timers.tick(5000);
  assert.equal(late, true);
});

test('a series that ended is neither late nor heard of again', t => {
  t.after(() => mock.timers.reset());
  const { series: tries, heard, tick } = series();
  tries.begin();
  tries.failed(true);
  tries.end();
  tick(60_000);
  assert.deepEqual(heard, []);
  assert.equal(tries.running || tries.late || tries.pausing, false);
  assert.equal(tries.try, 1);
});
