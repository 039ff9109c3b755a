/**
 * What a provider that takes no mail costs the log while mail waits: counted
 * over ten minutes of a clock that the test moves, by the real delivery over a
 * real spool, with sessions that fail as scripted.
 */
import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, mock, type TestContext, test } from 'node:test';
import type { RelayConfig } from '../../../relay/config/config.ts';
import { Delivery } from '../../../relay/delivery/delivery.ts';
import type { Failure } from '../../../relay/delivery/failure.ts';
import type { Session } from '../../../relay/delivery/session.ts';
import { openSpool } from '../../../relay/spool/open.ts';
import type { OpenSpool } from '../../../relay/spool/settings.ts';
import { createLog } from '../../../relay/telemetry/log.ts';
import { windowMs } from '../../../relay/telemetry/repeats.ts';
import { providerConfig } from '../../smtp/provider-config.ts';
import { type Answer, brokenBy, FakeSession, openFailure, refusedAt, resend } from './fake-session.ts';

const MAILS = 100;
const MINUTES = 10;
const STEP_MS = 250;

type Open = () => Promise<Session>;

const pass = (ms: number): Promise<void> => new Promise(resolve => setTimeout(resolve, ms));

/** Nobody gets as far as MAIL; known after that long. */
const closedTo =
  (failure: Omit<Failure, 'message'>, ms = 1): Open =>
  async () => {
    await pass(ms);
    throw openFailure(failure);
  };

/** It can be logged in to; what comes then is answered so, after 20 ms, and ends the connection. */
const failing =
  (answer: Answer): Open =>
  async () => {
    const session = new FakeSession(Array<Answer>(1000).fill(answer));
    const transact = session.transact.bind(session);
    session.transact = async (...transaction) => {
      await pass(20);
      session.usable = false;
      return transact(...transaction);
    };
    return session;
  };

const refusedWith = (stage: Failure['stage'], code: number, text: string): Omit<Failure, 'message'> => ({
  stage,
  fault: 'reply',
  reply: { code, text },
});

/** One try of each of its connections, and what becomes of it: what it costs to find out that it is out of use. */
const FINDING_OUT = 40;

const providers: readonly (readonly [name: string, linesAMinute: number, open: Open])[] = [
  ['refuses connections', 30, closedTo({ stage: 'connect', fault: 'lost' })],
  ['does not answer', 12, closedTo({ stage: 'connect', fault: 'timeout' }, 5000)],
  ['says 421 to everyone', 3, closedTo(refusedWith('greeting', 421, 'down'))],
  ['refuses the password', 1, closedTo(refusedWith('auth', 535, 'wrong'))],
  ['drops connections at MAIL', 20, failing(brokenBy({ stage: 'mail', fault: 'lost' }))],
  ['defers all mail', 20, failing(refusedAt('mail', 451, 'later'))],
  ['throttles and names no time', 10, failing(refusedAt('mail', 421, 'too much', '4.7.0'))],
  ['throttles for a second', 420, failing(refusedAt('mail', 421, 'try again in 1 second', '4.7.0'))],
];

interface Line {
  readonly event: string;
  readonly repeated?: number;
}

/** What moves the clock. */
interface Clock {
  /** A new minute of lines begins. */
  readonly minute: () => void;
  /** A quarter of a second passes, and what follows from it. */
  readonly step: () => Promise<void>;
  /** Time stands still until each message has had a round. */
  readonly eachHadARound: () => Promise<void>;
}

async function tenMinutes({ minute, step }: Clock): Promise<void> {
  for (let count = 0; count < MINUTES; count++) {
    minute();
    for (let ms = 0; ms < 60_000; ms += STEP_MS) await step();
  }
}

/** The lines of each minute. */
async function linesOf(
  t: TestContext,
  open: Open,
  drive: (clock: Clock) => Promise<void> = tenMinutes,
): Promise<readonly (readonly Line[])[]> {
  const directory = await mkdtemp(join(tmpdir(), 'mailrelay-lines-'));
  mock.timers.enable({ apis: ['setTimeout', 'Date'], now: Date.UTC(2026, 10, 2) });
  t.after(() => mock.timers.reset());
  const minutes: Line[][] = [];
  const write = (line: string): unknown => minutes.at(-1)!.push(JSON.parse(line) as Line);
  const log = createLog({ level: 'info', stream: { write }, monotonic: Date.now });
  const spool = await openSpool({
    directory,
    now: Date.now,
    emit: () => undefined,
    maxMessageBytes: 1_000_000,
    reserveBytes: 0,
    retention: { ageMs: 1e9, maxMessages: 1000, maxBytes: 1e9 },
  });
  const config = {
    providers: [providerConfig({ host: 'p.test', port: 25 }, { name: 'p' })],
    retry: { attempts: 3, initialDelayMs: 1000, multiplier: 2, patienceMs: 5000 },
    resend,
    replyRules: [],
    forwarding: true,
  } as unknown as RelayConfig;
  let heard = 0;
  const rounds = new Set<string>();
  const delivery = new Delivery(config, {
    spool,
    emit: event => {
      heard += 1;
      if (event.event === 'round-failed') rounds.add(event.id);
      log.emit(event);
    },
    openSession: open,
    now: Date.now,
    monotonic: Date.now,
    random: () => 0.5,
  });
  const step = (): Promise<void> => {
    mock.timers.tick(STEP_MS);
    return quiet(spool, () => heard);
  };
  try {
    for (let count = 0; count < MAILS; count++) await put(spool);
    delivery.start();
    await drive({
      minute: () => void minutes.push([]),
      step,
      eachHadARound: async () => {
        while (rounds.size === 0) await step();
        while (rounds.size < MAILS) await answered(spool);
      },
    });
  } finally {
    const stopped = delivery.stop(0);
    mock.timers.tick(STEP_MS);
    await stopped;
    await spool.close();
    await rm(directory, { recursive: true });
  }
  return minutes;
}

async function put(spool: OpenSpool): Promise<void> {
  const draft = spool.begin();
  await draft.write(Buffer.from('Subject: x\r\n\r\nHello.\r\n'));
  const envelope = {
    sender: 'app@example.com',
    recipients: ['a@example.net'],
    eightBit: false,
    smtpUtf8: false,
  };
  await draft.commit({ envelope, receivedAt: Date.now() });
}

/** Lets the store answer for as long as that leads to events. */
async function quiet(spool: OpenSpool, heard: () => number): Promise<void> {
  for (let before = -1; before !== heard(); ) {
    before = heard();
    await answered(spool);
  }
}

async function answered(spool: OpenSpool): Promise<void> {
  await spool.nextDue('failed');
  await new Promise(resolve => setImmediate(resolve));
}

/** What is said of each message after each of its rounds, summed up. */
const ofARound = ({ event }: Line): boolean => event === 'round-failed';

describe(`a provider with ${MAILS} mails waiting that`, () => {
  for (const [name, most, open] of providers) {
    test(`${name} costs at most ${most} lines a minute once that is known, however much waits`, async t => {
      const minutes = await linesOf(t, open);
      const counts = minutes.map(lines => lines.filter(line => !ofARound(line)).length);
      assert.ok(counts[0]! <= most + FINDING_OUT, `${counts}`);
      assert.ok(Math.max(...counts.slice(1)) <= most, `${counts}`);
      t.diagnostic(counts.join(' '));
    });
  }

  test('refuses connections costs ten lines and their number for a round of all of them', async t => {
    const [lines = []] = await linesOf(t, closedTo({ stage: 'connect', fault: 'lost' }), async clock => {
      clock.minute();
      await clock.eachHadARound();
      for (let ms = 0; ms < windowMs; ms += STEP_MS) await clock.step();
    });
    const told = lines.filter(ofARound).map(({ repeated }) => repeated);
    assert.deepEqual(told, [...Array<undefined>(10).fill(undefined), MAILS - 10]);
  });
});
