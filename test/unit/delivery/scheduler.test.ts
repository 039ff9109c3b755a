import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { ProviderSet } from '../../../relay/delivery/provider-set.ts';
import { Scheduler, type SchedulerDeps } from '../../../relay/delivery/scheduler.ts';
import { openSpool } from '../../../relay/spool/open.ts';
import { type Claim, type ClaimQuery, type Spool, SpoolError } from '../../../relay/spool/spool.ts';
import type { RelayEvent } from '../../../relay/telemetry/events.ts';
import { providerConfig } from '../../smtp/provider-config.ts';
import { gate, until } from '../../smtp/wait.ts';
import {
  type Answer,
  brokenBy,
  FakeSession,
  openFailure,
  refusedAt,
  resend,
  retry,
  surroundings,
} from './fake-session.ts';

interface Bench {
  readonly spool: Spool;
  readonly scheduler: Scheduler;
  readonly events: RelayEvent[];
  /** Sender of each transaction that was answered, in order. */
  readonly sent: string[];
  readonly world: { down: boolean; answer: (sender: string) => Answer | undefined; ahead: number };
  put(count: number, sender?: string): Promise<void>;
}

/** A scheduler over a real spool and one provider without a network. */
async function bench(
  run: (bench: Bench) => Promise<void>,
  change: { spool?: (spool: Spool) => Spool; deps?: Partial<SchedulerDeps>; bounces?: boolean } = {},
): Promise<void> {
  const directory = await mkdtemp(join(tmpdir(), 'mailrelay-scheduler-'));
  const events: RelayEvent[] = [];
  const world: Bench['world'] = { down: false, answer: () => undefined, ahead: 0 };
  const now = (): number => Date.now() + world.ahead;
  const real = await openSpool({
    directory,
    now,
    emit: () => undefined,
    maxMessageBytes: 1_000_000,
    reserveBytes: 0,
    retention: { ageMs: 1e9, maxMessages: 1000, maxBytes: 1e9 },
  });
  const spool = change.spool?.(real) ?? real;
  const sent: string[] = [];
  const around = surroundings(() => {
    if (world.down) throw openFailure({ stage: 'connect', fault: 'lost' });
    const session = new FakeSession();
    const transact = session.transact.bind(session);
    session.transact = async (envelope, body, atDot) => {
      const answer = world.answer(envelope.sender);
      if (answer !== undefined) session.answers.push(answer);
      const report = await transact(envelope, body, atDot);
      sent.push(envelope.sender);
      return report;
    };
    return session;
  });
  const set = new ProviderSet({ ...around.deps, mailWaits: () => false, recovered: () => undefined });
  set.configure([providerConfig({ host: 'p.test', port: 25 }, { name: 'p' })]);
  const scheduler = new Scheduler({
    spool,
    emit: event => events.push(event),
    storeFailed: message => events.push({ event: 'spool-failed', message }),
    now,
    random: () => 0.5,
    settings: () => ({ retry, resend: { ...resend, bounces: change.bounces ?? false }, replyRules: [] }),
    providers: () => set.all,
    bounce: async (_, recipients) => recipients,
    ...change.deps,
  });
  const put = async (count: number, sender = 'app@example.com'): Promise<void> => {
    for (let index = 0; index < count; index++) {
      const draft = real.begin();
      await draft.write(Buffer.from('Subject: x\r\n\r\nHello.\r\n'));
      const envelope = { sender, recipients: ['a@example.net'], eightBit: false, smtpUtf8: false };
      await draft.commit({ envelope, receivedAt: now() });
    }
  };
  try {
    await run({ spool, scheduler, events, sent, world, put });
  } finally {
    scheduler.pause();
    scheduler.abandon();
    set.destroy();
    await scheduler.settled();
    await real.close();
    await rm(directory, { recursive: true, force: true });
  }
}

/** The same spool with some methods replaced. */
const altered = (spool: Spool, methods: Partial<Spool>): Spool =>
  new Proxy(spool, {
    get: (target, name) => {
      const own = methods[name as keyof Spool] ?? target[name as keyof Spool];
      return typeof own === 'function' ? own.bind(target) : own;
    },
  });

describe('the schedule', { concurrency: 4 }, () => {
  test('sends what was there before it began, and what arrives afterwards', () =>
    bench(async ({ scheduler, spool, sent, put }) => {
      await put(5);
      assert.equal(sent.length, 0);
      scheduler.resume();
      await until(() => sent.length === 5, 'the backlog');
      await put(5);
      await until(() => sent.length === 10, 'the arrivals');
      await until(() => spool.counts().active.messages === 0, 'nothing to be left');
    }));

  test('misses no mail that arrives while the backlog is being read', async () => {
    // The first look takes its time; what it cannot have seen must be found by itself.
    const held = gate();
    let looks = 0;
    const slow = (spool: Spool): Spool =>
      altered(spool, {
        claim: async (query: ClaimQuery) => {
          const claims = await spool.claim(query);
          if (query.state === 'active' && ++looks === 1) await held.opened;
          return claims;
        },
      });
    await bench(
      async ({ scheduler, sent, put }) => {
        scheduler.resume();
        await until(() => looks === 1, 'the first look');
        await put(1);
        await new Promise(resolve => setTimeout(resolve, 20));
        held.open();
        await until(() => sent.length === 1, 'the mail that arrived meanwhile', 3000);
      },
      { spool: slow },
    );
  });

  test('misses no drain that is asked for while resends are being claimed', async () => {
    const held = gate();
    let looks = 0;
    const slow = (spool: Spool): Spool =>
      altered(spool, {
        claim: async (query: ClaimQuery): Promise<readonly Claim[]> => {
          const claims = await spool.claim(query);
          if (query.state === 'failed' && ++looks === 1) await held.opened;
          return claims;
        },
      });
    await bench(
      async ({ scheduler, spool, sent, put, world }) => {
        world.answer = () => refusedAt('mail', 550, 'quota', '5.4.5');
        scheduler.resume();
        await put(3);
        await until(() => spool.counts().failed.messages === 3, 'all to wait');
        const before = sent.length;
        world.answer = () => undefined;
        scheduler.look();
        await until(() => looks === 1, 'a look at what is due');
        scheduler.drain('a test');
        held.open();
        await until(() => looks > 1, 'a second look', 3000);
        assert.ok(sent.length >= before);
      },
      { spool: slow },
    );
  });

  test('sends again when it is due, and not before', () =>
    bench(async ({ scheduler, spool, sent, put, world }) => {
      world.answer = () => refusedAt('rcpt', 450, 'greylisted');
      scheduler.resume();
      await put(1);
      await until(() => spool.counts().failed.messages === 1, 'the message to wait');
      world.answer = () => undefined;
      const before = sent.length;
      scheduler.look();
      await new Promise(resolve => setTimeout(resolve, 50));
      assert.equal(sent.length, before);
      world.ahead += 90_000;
      scheduler.look();
      await until(() => spool.counts().failed.messages === 0, 'the resend');
      assert.equal(sent.length, before + 1);
    }));

  test('drains each waiting message once, those that may have arrived not before they are due', () =>
    bench(async ({ scheduler, spool, sent, put, world }) => {
      world.answer = sender =>
        sender === 'unknown@example.com'
          ? brokenBy({ stage: 'dot', fault: 'lost' })
          : refusedAt('rcpt', 450, 'full');
      scheduler.resume();
      await put(3);
      await put(1, 'unknown@example.com');
      await until(() => spool.counts().failed.messages === 4 && scheduler.running === 0, 'all to wait');
      sent.length = 0;
      scheduler.drain('a test');
      await until(() => sent.length === 3, 'the drain');
      await until(() => scheduler.running === 0, 'its end');
      await new Promise(resolve => setTimeout(resolve, 50));
      assert.deepEqual(sent, ['app@example.com', 'app@example.com', 'app@example.com']);
      world.ahead += 90_000;
      world.answer = () => undefined;
      scheduler.look();
      await until(() => sent.includes('unknown@example.com'), 'the one that was due');
    }));

  test('paused: begins nothing, and what is on a round ends at its next step and stays', () =>
    bench(async ({ scheduler, spool, sent, put, world }) => {
      const held = gate();
      world.answer = () => async envelope => {
        await held.opened;
        return {
          recipients: envelope.recipients.map(() => ({ code: 250, text: '' })),
          accepted: { code: 250, text: '' },
          unanswered: false,
        };
      };
      scheduler.resume();
      await put(1);
      await until(() => scheduler.running === 1, 'the round');
      scheduler.pause();
      await put(2);
      held.open();
      await scheduler.settled();
      assert.equal(sent.length, 1);
      assert.equal(spool.counts().active.messages, 2);
      scheduler.resume();
      await until(() => sent.length === 3, 'the rest');
    }));

  test('a full disk delays a commit, and nothing is sent twice for it', async () => {
    let full = true;
    const refusing = (spool: Spool): Spool =>
      altered(spool, {
        settle: async (...args: Parameters<Spool['settle']>) => {
          if (full) throw new SpoolError('disk-full', 'no room');
          return spool.settle(...args);
        },
      });
    await bench(
      async ({ scheduler, spool, sent, put }) => {
        scheduler.resume();
        await put(1);
        await until(() => sent.length === 1, 'the transaction');
        full = false;
        await until(() => spool.counts().active.messages === 0, 'the commit');
        assert.equal(sent.length, 1);
        assert.equal(scheduler.broken, undefined);
      },
      { spool: refusing },
    );
  });

  test('bounces that find no room keep nobody from being sent, and are written when there is room', async () => {
    let full = true;
    const bounced: string[] = [];
    await bench(
      async ({ scheduler, spool, sent, put, world }) => {
        world.answer = sender =>
          sender === 'bad@example.com' ? refusedAt('dot', 554, 'no', '5.6.0') : undefined;
        // More than are on a round at a time.
        const bad = 1100;
        for (let count = 0; count < bad; count += 100) {
          await Promise.all(Array.from({ length: 100 }, () => put(1, 'bad@example.com')));
        }
        await put(1);
        scheduler.resume();
        await until(() => sent.includes('app@example.com'), 'the mail behind them', 60_000);
        await until(() => spool.counts().failed.messages === bad, 'the refused ones to wait', 60_000);
        await until(() => scheduler.running === 0, 'the rounds to end');
        const [message] = await spool.list({ limit: 1 });
        assert.match(message?.reason ?? '', /bounce to its sender waits for room/);
        assert.deepEqual(
          message?.recipients.map(({ state }) => state),
          ['rejected'],
        );
        full = false;
        const { length } = sent;
        world.ahead = 3_600_000;
        scheduler.look();
        await until(() => spool.counts().dead.messages === bad, 'the end of the refused ones', 60_000);
        assert.equal(new Set(bounced).size, bad);
        assert.equal(bounced.length, bad);
        assert.equal(sent.length, length);
        assert.equal(scheduler.broken, undefined);
      },
      {
        bounces: true,
        deps: {
          bounce: async ({ id }, recipients) => {
            if (full) throw new SpoolError('disk-full', 'no room');
            bounced.push(id);
            return recipients.map(one => ({ ...one, bounced: true as const }));
          },
        },
      },
    );
  });

  test('a stop whose deadline has passed does not wait for room on the disk', () =>
    bench(
      async ({ scheduler, sent, put, events }) => {
        scheduler.resume();
        await put(1);
        await until(() => sent.length === 1, 'the transaction');
        scheduler.pause();
        scheduler.abandon();
        await scheduler.settled();
        assert.equal(scheduler.running, 0);
        // Nothing is wrong with the store, and no restart would help.
        assert.equal(scheduler.broken, undefined);
        const told = events.filter(({ event }) => event.startsWith('spool-'));
        assert.deepEqual(
          told.map(({ event }) => event),
          ['spool-trouble'],
        );
      },
      {
        spool: spool =>
          altered(spool, { settle: async () => Promise.reject(new SpoolError('disk-full', 'no room')) }),
      },
    ));

  test('a stop whose deadline has passed does not wait for a body that cannot be read', () => {
    let reading = 0;
    return bench(
      async ({ scheduler, spool, world, put }) => {
        const unreadable = brokenBy({ stage: 'body', fault: 'local' });
        world.answer = () => async (envelope, body) => {
          await Array.fromAsync(body as AsyncIterable<Buffer>).catch(() => undefined);
          return typeof unreadable === 'function' ? unreadable(envelope, body) : unreadable;
        };
        await put(1);
        scheduler.resume();
        await until(() => reading === 1, 'the read');
        scheduler.pause();
        scheduler.abandon();
        await scheduler.settled();
        assert.equal(spool.counts().failed.messages, 1);
      },
      {
        spool: spool =>
          altered(spool, {
            claim: async query => (await spool.claim(query)).map(({ body: _, ...claim }) => claim),
            read: async function* () {
              reading += 1;
              yield Buffer.from('Subject: x');
              // A disk that does not answer.
              await new Promise(() => undefined);
            },
          }),
      },
    );
  });

  test('a store that fails stops all sending and says so', () =>
    bench(
      async ({ scheduler, events, sent, put }) => {
        scheduler.resume();
        await put(1);
        await until(() => scheduler.broken !== undefined, 'the stop');
        assert.match(scheduler.broken ?? '', /sending stopped: EIO/);
        assert.equal(events.filter(({ event }) => event === 'spool-failed').length, 1);
        const { length } = sent;
        await put(3);
        scheduler.resume();
        await new Promise(resolve => setTimeout(resolve, 50));
        assert.equal(sent.length, length);
      },
      { spool: spool => altered(spool, { settle: async () => Promise.reject(new SpoolError('io', 'EIO')) }) },
    ));

  test('a message removed by hand during its round is nobody else’s trouble', () =>
    bench(async ({ scheduler, spool, sent, put, world }) => {
      const held = gate();
      world.answer = sender =>
        sender === 'gone@example.com'
          ? async envelope => {
              await held.opened;
              return {
                recipients: envelope.recipients.map(() => ({ code: 451, text: '' })),
                unanswered: false,
              };
            }
          : undefined;
      scheduler.resume();
      await put(1, 'gone@example.com');
      await until(() => scheduler.running === 1, 'the round');
      await spool.remove({});
      held.open();
      await put(1);
      await until(() => sent.includes('app@example.com'), 'the other');
      assert.equal(scheduler.broken, undefined);
    }));

  test('a small step back of the clock leaves no mail out of a drain, and sends none twice', () =>
    bench(async ({ scheduler, spool, sent, put, world }) => {
      world.answer = () => refusedAt('rcpt', 450, 'full');
      scheduler.resume();
      await put(3);
      await until(() => spool.counts().failed.messages === 3 && scheduler.running === 0, 'all to wait');
      world.ahead = -5000;
      sent.length = 0;
      scheduler.drain('a test');
      await until(() => sent.length === 3, 'the drain', 3000);
      await until(() => scheduler.running === 0, 'its end');
      await put(1);
      await until(() => spool.counts().failed.messages === 4 && scheduler.running === 0, 'another to wait');
      world.ahead = -10_000;
      sent.length = 0;
      scheduler.drain('another test');
      await until(() => sent.length === 4, 'the second drain', 3000);
      await new Promise(resolve => setTimeout(resolve, 50));
      assert.equal(sent.length, 4);
    }));

  test('a stop that two wait for ends for both', () =>
    bench(async ({ scheduler, put, world }) => {
      const held = gate();
      world.answer = () => async envelope => {
        await held.opened;
        return { recipients: envelope.recipients.map(() => ({ code: 451, text: '' })), unanswered: false };
      };
      scheduler.resume();
      await put(1);
      await until(() => scheduler.running === 1, 'the round');
      scheduler.pause();
      const both = Promise.all([scheduler.settled(), scheduler.settled()]);
      held.open();
      await both;
      await scheduler.settled();
    }));

  test('a clock set back does not put waiting mail off', () =>
    bench(async ({ scheduler, spool, sent, put, world }) => {
      world.ahead = 30 * 24 * 3_600_000;
      world.answer = () => refusedAt('rcpt', 450, 'full');
      scheduler.resume();
      await put(2);
      await until(() => spool.counts().failed.messages === 2 && scheduler.running === 0, 'all to wait');
      world.answer = () => undefined;
      world.ahead = 0;
      sent.length = 0;
      scheduler.look();
      await until(() => sent.length === 2, 'both to go');
    }));
});
