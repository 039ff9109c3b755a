import assert from 'node:assert/strict';
import { describe, mock, type TestContext, test } from 'node:test';
import { initial } from '../../../relay/delivery/breaker.ts';
import { HealthWatch, type ProbeResult } from '../../../relay/delivery/health-watch.ts';
import { judge } from '../../../relay/delivery/judge.ts';
import type { Verdict } from '../../../relay/delivery/verdict.ts';
import type { RelayEvent } from '../../../relay/telemetry/events.ts';

const judged = (stage: 'connect' | 'auth', code?: number): Verdict =>
  judge(
    code === undefined
      ? { stage, fault: 'lost', message: '' }
      : { stage, fault: 'reply', reply: { code, text: '' }, message: '' },
    { acceptedBefore: 0 },
    [],
  );
const lost = judged('connect');
const wrongPassword = judged('auth', 535);
const throttled = judged('auth', 454);
const limited = judge(
  { stage: 'rcpt', fault: 'reply', reply: { code: 450, text: 'rate limit exceeded' }, message: '' },
  { acceptedBefore: 0 },
  [],
);

function watching(
  t: TestContext,
  results: (ProbeResult | Promise<ProbeResult>)[] = [],
  urgent = () => false,
) {
  mock.timers.enable({ apis: ['setTimeout', 'Date'], now: 0 });
  t.after(() => mock.timers.reset());
  const events: RelayEvent[] = [];
  const changes: string[] = [];
  let logins = 0;
  const watch = new HealthWatch({
    provider: 'p',
    now: () => Date.now(),
    random: () => 0.5,
    emit: event => events.push(event),
    urgent,
    login: async () => {
      logins += 1;
      return results.shift();
    },
    changed: (was, is) => changes.push(`${was.kind} to ${is.kind}`),
  });
  const tick = async (ms: number): Promise<void> => {
    mock.timers.tick(ms);
    await new Promise(resolve => setImmediate(resolve));
  };
  return { watch, events, changes, tick, logins: () => logins };
}

describe('the health of a provider over time', () => {
  test('a throttle that is meant for one message alone does not cool it down again', async t => {
    const { watch, tick } = watching(t);
    const kinds: string[] = [];
    const throttle = async (id: string): Promise<void> => {
      watch.failed(throttled, 'slow down', id);
      kinds.push(`${id} ${watch.health.kind}`);
      await tick(60_000);
    };
    await throttle('a');
    await throttle('a'); // twice in a row
    await throttle('b');
    await throttle('a'); // nothing was taken since
    watch.succeeded();
    await throttle('b'); // others were
    assert.deepEqual(kinds, ['a cooling', 'a closed', 'b cooling', 'a cooling', 'b closed']);
  });

  test('a throttle of three recipient domains cools it down once for one message, and not after mail was taken', async t => {
    const { watch, tick } = watching(t);
    const domains = ['a.example', 'b.example', 'c.example'];
    const answered = (id: string, to: readonly string[]): string => {
      watch.failed(limited, 'slow down', id, to);
      return watch.health.kind;
    };
    assert.equal(answered('m', domains), 'cooling');
    await tick(60_000);
    assert.equal(answered('m', domains), 'closed', 'a message that is throttled for itself');
    assert.equal(answered('n', domains.slice(0, 2)), 'closed');
    watch.succeeded();
    assert.equal(answered('n', domains.slice(2)), 'closed');
  });

  test('says why it is out of use without naming an address, to whoever asks and when a probe fails', async t => {
    const { watch, events, tick } = watching(t, [{ verdict: lost, message: '554 ask bob@example.com' }]);
    for (let count = 0; count < 3; count++) watch.failed(lost, '421 <bob@example.com> goes too far', 'm');
    const said = (): string => ('message' in watch.health ? watch.health.message : '');
    assert.equal(said(), '421 <[address]> goes too far');
    await tick(5000);
    assert.equal(said(), '554 ask [address]');
    assert.ok(!JSON.stringify(events).includes('bob'), JSON.stringify(events));
  });

  test('three failures in a row open it, a success between starts the count again', t => {
    const { watch, changes } = watching(t);
    watch.failed(lost, 'x');
    watch.failed(lost, 'x');
    watch.succeeded();
    watch.failed(lost, 'x');
    watch.failed(lost, 'x');
    assert.equal(watch.usable, true);
    watch.failed(lost, 'x');
    assert.equal(watch.usable, false);
    assert.deepEqual(changes, ['closed to open']);
  });

  test('open: probed after 5 s, then 10 s, on trial after the first probe that works, closed by the first mail', async t => {
    const failure = { verdict: lost, message: 'still down' };
    const { watch, events, changes, tick, logins } = watching(t, [failure, undefined]);
    for (let count = 0; count < 3; count++) watch.failed(lost, 'x');
    await tick(4999);
    assert.equal(logins(), 0);
    await tick(1);
    assert.equal(logins(), 1);
    await tick(10_000);
    assert.deepEqual(changes, ['closed to open', 'open to trial']);
    assert.deepEqual(
      events.map(event => (event.event === 'provider-probe' ? [event.ok, event.nextInMs] : [])),
      [
        [false, 10_000],
        [true, undefined],
      ],
    );
    assert.equal(watch.usable, true);
    watch.succeeded();
    assert.deepEqual(watch.health, initial());
  });

  test('open while mail waits for it alone: probed every 2.5 s, from the moment on that it does', async t => {
    let waits = false;
    const failure = { verdict: lost, message: 'still down' };
    const { watch, events, tick, logins } = watching(t, Array(9).fill(failure), () => waits);
    for (let count = 0; count < 3; count++) watch.failed(lost, 'x');
    for (const ms of [5000, 10_000, 20_000]) await tick(ms);
    assert.equal(logins(), 3);
    waits = true;
    await tick(2500);
    assert.equal(logins(), 4, 'not only when the wait of 40 s is over');
    for (let count = 0; count < 4; count++) await tick(2500);
    assert.equal(logins(), 8);
    const last = events.at(-1);
    assert.equal(last?.event === 'provider-probe' && last.nextInMs, 2500);
    waits = false;
    await tick(30_000);
    assert.equal(logins(), 8);
  });

  test('suspended: one probe after ten minutes, and a transaction on an old connection does not end it', async t => {
    const { watch, tick, logins } = watching(t, [{ verdict: wrongPassword, message: 'no' }]);
    watch.failed(wrongPassword, 'no');
    watch.succeeded();
    assert.equal(watch.health.kind, 'suspended');
    await tick(599_999);
    assert.equal(logins(), 0);
    await tick(1);
    assert.equal(logins(), 1);
    assert.equal(watch.health.kind, 'suspended');
  });

  test('cooling: usable again by itself when the time is over, without a login', async t => {
    const { watch, changes, tick, logins } = watching(t);
    watch.failed(throttled, 'slow down');
    assert.equal(watch.usable, false);
    await tick(60_000);
    assert.equal(watch.usable, true);
    assert.deepEqual(changes, ['closed to cooling', 'cooling to closed']);
    assert.equal(logins(), 0);
  });

  test('an open one whose probe meets a wrong password is suspended', async t => {
    const { watch, changes, tick } = watching(t, [{ verdict: wrongPassword, message: 'no' }]);
    for (let count = 0; count < 3; count++) watch.failed(lost, 'x');
    await tick(5000);
    assert.deepEqual(changes, ['closed to open', 'open to suspended']);
  });

  test('failures while a probe is under way begin no other one, nor does asking for one', async t => {
    const answer = Promise.withResolvers<ProbeResult>();
    const { watch, tick, logins, changes } = watching(t, [
      answer.promise,
      { verdict: lost, message: 'still down' },
    ]);
    for (let count = 0; count < 3; count++) watch.failed(lost, 'x');
    await tick(5000);
    watch.failed(lost, 'x');
    const asked = watch.probe();
    await tick(30_000);
    assert.equal(logins(), 1);
    answer.resolve({ verdict: lost, message: 'still down' });
    assert.equal(await asked, 'still down');
    await tick(10_000);
    assert.equal(logins(), 2, 'the next one comes in its time');
    assert.deepEqual(changes, ['closed to open']);
  });

  test('stopped: no probe comes any more, and nothing is told', async t => {
    const { watch, events, changes, tick, logins } = watching(t);
    for (let count = 0; count < 3; count++) watch.failed(lost, 'x');
    watch.stop();
    await tick(600_000);
    assert.equal(logins(), 0);
    assert.deepEqual([changes.length, events.length], [1, 0]);
  });

  test('a probe asked for by hand says why the login failed', async t => {
    const { watch } = watching(t, [{ verdict: lost, message: 'connect: refused' }, undefined]);
    assert.equal(await watch.probe(), 'connect: refused');
    assert.equal(await watch.probe(), undefined);
  });
});
