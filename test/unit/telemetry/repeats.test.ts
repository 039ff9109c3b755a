import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { catalogue } from '../../../relay/telemetry/catalogue.ts';
import type { RefusalReason, Refused, RelayEvent, RoundFailed } from '../../../relay/telemetry/events.ts';
import { type LogLine, maxKeys, Repeats, windowMs } from '../../../relay/telemetry/repeats.ts';
import { everyEvent } from './events.ts';

const refused = (
  client: string,
  reply = '550 no',
  reason: RefusalReason = 'network-not-allowed',
): Refused => ({
  event: 'message-refused',
  reason,
  client,
  reply,
});

/** Lines as a log would write them, driven by hand. */
function logging() {
  const repeats = new Repeats();
  const lines: LogLine[] = [];
  return {
    repeats,
    lines,
    take(event: RelayEvent, now: number): void {
      if (repeats.isNews(event, now)) lines.push(event);
    },
    end(now: number): void {
      lines.push(...repeats.ended(now));
    },
  };
}

describe('what a client repeats', () => {
  test('is told at once the first time, and at the end of the window how often it came again, as the last one', () => {
    const { repeats, lines, take, end } = logging();
    take(refused('a', '550 first'), 0);
    assert.deepEqual(lines, [refused('a', '550 first')]);
    for (let now = 1; now < 100; now++) take(refused('a', `550 ${now}`), now);
    assert.equal(repeats.nextEnd, windowMs);
    end(windowMs - 1);
    assert.equal(lines.length, 1);
    end(windowMs);
    assert.deepEqual(lines.slice(1), [{ ...refused('a', '550 99'), repeated: 99 }]);
  });

  test('is told once a window for as long as it goes on, and at once again after a window without it', () => {
    const { repeats, lines, take, end } = logging();
    for (let now = 0; now < 6 * windowMs; now += 1000) {
      if (now % windowMs === 0) end(now);
      take(refused('a'), now);
    }
    end(6 * windowMs);
    assert.deepEqual(
      lines.map(({ repeated }) => repeated),
      [undefined, 9, 10, 10, 10, 10, 10],
    );
    end(7 * windowMs);
    assert.equal(lines.length, 7);
    assert.equal(repeats.nextEnd, undefined, 'nothing is remembered');
    take(refused('a'), 7 * windowMs);
    assert.deepEqual(lines.slice(7), [refused('a')]);
  });

  test('is the same only with the same reason and client', () => {
    const { lines, take } = logging();
    take(refused('a'), 0);
    take(refused('b'), 0);
    take(refused('a', '552 large', 'too-large'), 0);
    assert.equal(lines.length, 3);
  });

  test('is told when the log is closed, however long its window has to go', () => {
    const { repeats, take } = logging();
    for (const client of ['a', 'a', 'a', 'b']) take(refused(client), 0);
    assert.deepEqual(repeats.rest(), [{ ...refused('a'), repeated: 2 }]);
    assert.deepEqual(repeats.rest(), []);
  });

  test('by more clients than can be told apart is summed up by reason; those known are still told apart', () => {
    const { repeats, lines, take } = logging();
    for (let client = 0; client < maxKeys; client++) take(refused(`${client}`), 0);
    for (let client = maxKeys; client < maxKeys + 1000; client++) take(refused(`${client}`), 1);
    take(refused('0'), 1);
    take(refused('one more', '552 large', 'too-large'), 1);
    assert.deepEqual(lines.slice(maxKeys), [
      refused(`${maxKeys}`),
      refused('one more', '552 large', 'too-large'),
    ]);
    assert.deepEqual(repeats.ended(windowMs + 1), [
      { ...refused('0'), repeated: 1 },
      { ...refused('others'), repeated: 999 },
    ]);
  });

  test('can be anything at any time: every event is told or counted, and lines are bounded', () => {
    const step = fc.record({ client: fc.nat(300), reason: fc.nat(2), ms: fc.nat(400) });
    const reasons = ['syntax', 'loop', 'timeout'] as const;
    fc.assert(
      fc.property(fc.array(step, { maxLength: 3000, size: 'max' }), steps => {
        const { repeats, lines, take, end } = logging();
        let now = 0;
        for (const { client, reason, ms } of steps) {
          now += ms;
          while ((repeats.nextEnd ?? Number.POSITIVE_INFINITY) <= now) end(repeats.nextEnd!);
          take(refused(`${client}`, '', reasons[reason]), now);
        }
        lines.push(...repeats.rest());
        const told = lines.reduce((sum, { repeated = 1 }) => sum + repeated, 0);
        assert.equal(told, steps.length);
        const windows = Math.ceil((now + 1) / windowMs) + 1;
        assert.ok(lines.length <= windows * (maxKeys + reasons.length), `${lines.length} in ${windows}`);
      }),
      { numRuns: 50 },
    );
  });
});

describe('mail that waits after its round', () => {
  const waiting = (id: string, reason: string): RoundFailed => ({
    event: 'round-failed',
    id,
    rounds: 1,
    pending: 1,
    dueInMs: 60_000,
    reason,
  });

  test('is told of ten times for one reason, then summed up for as long as it goes on', () => {
    const { lines, take, end } = logging();
    for (let mail = 0; mail < 1000; mail++) take(waiting(`m${mail}`, 'connect: refused'), mail);
    assert.deepEqual(
      lines,
      Array.from({ length: 10 }, (_, mail) => waiting(`m${mail}`, 'connect: refused')),
    );
    end(windowMs);
    take(waiting('n', 'connect: refused'), windowMs + 1);
    end(2 * windowMs);
    assert.deepEqual(lines.slice(10), [
      { ...waiting('m999', 'connect: refused'), repeated: 990 },
      { ...waiting('n', 'connect: refused'), repeated: 1 },
    ]);
    end(3 * windowMs);
    take(waiting('o', 'connect: refused'), 4 * windowMs);
    assert.deepEqual(lines.slice(12), [waiting('o', 'connect: refused')]);
  });

  test('waits for another reason only where more differs than numbers and what holds one', () => {
    const { repeats, lines, take } = logging();
    for (let mail = 0; mail < 50; mail++) {
      take(waiting(`m${mail}`, `451 4.3.0 ${mail}F2A: greylisted for ${300 - mail} seconds`), 0);
      if (mail < 10) take(waiting(`n${mail}`, '451 4.3.0 out of memory'), 0);
    }
    assert.equal(lines.length, 20);
    assert.deepEqual(
      repeats.rest().map(({ repeated }) => repeated),
      [40],
    );
  });

  test('costs no more lines than a client can, whatever the reasons', () => {
    const { repeats, lines, take } = logging();
    const word = (n: number): string => String.fromCharCode(97 + (n % 26), 97 + (Math.floor(n / 26) % 26));
    for (let mail = 0; mail < 5000; mail++) take(waiting(`m${mail}`, `no ${word(mail)}`), 0);
    lines.push(...repeats.ended(windowMs));
    assert.ok(lines.length <= maxKeys + 10 + maxKeys / 10 + 1, `${lines.length}`);
    assert.equal(
      lines.reduce((sum, { repeated = 1 }) => sum + repeated, 0),
      5000,
    );
    assert.ok(lines.some(line => line.event === 'round-failed' && line.reason === 'others'));
  });
});

describe('what nobody can repeat at will', () => {
  const mail = everyEvent.filter(({ event }) => catalogue[event].repeats === undefined);

  test('is told each time: accepted mail, its end, attempts, providers, settlements, the store', () => {
    const repeats = new Repeats();
    for (const event of [...mail, ...mail]) assert.ok(repeats.isNews(event, 0), event.event);
    assert.equal(repeats.nextEnd, undefined);
    const names = mail.map(({ event }) => event);
    for (const event of everyEvent) {
      const ofMail = 'id' in event && event.event !== 'round-failed';
      if (ofMail || 'provider' in event) assert.ok(names.includes(event.event), event.event);
    }
  });
});
