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
  readonly id?: string;
}

/** The lines of each minute. */
async function linesOf(t: TestContext, open: Open): Promise<readonly (readonly Line[])[]> {
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
  const delivery = new Delivery(config, {
    spool,
    emit: log.emit,
    openSession: open,
    now: Date.now,
    monotonic: Date.now,
    random: () => 0.5,
  });
  try {
    for (let count = 0; count < MAILS; count++) await put(spool);
    delivery.start();
    for (let minute = 0; minute < MINUTES; minute++) {
      minutes.push([]);
      for (let ms = 0; ms < 60_000; ms += STEP_MS) {
        mock.timers.tick(STEP_MS);
        await quiet(spool, () => minutes.at(-1)!.length);
      }
    }
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

/** Lets the store answer for as long as that leads to lines. */
async function quiet(spool: OpenSpool, lines: () => number): Promise<void> {
  for (let before = -1; before !== lines(); ) {
    before = lines();
    await spool.nextDue('failed');
    await new Promise(resolve => setImmediate(resolve));
  }
}

/** The line that each message gets for each of its rounds: said of accepted mail, and never left out. */
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

  test('refuses connections costs each of them one line a round, in minutes 0, 1, 3 and 7', async t => {
    const minutes = await linesOf(t, closedTo({ stage: 'connect', fault: 'lost' }));
    const rounds = new Map<string, number>();
    for (const { id = '' } of minutes.flat().filter(ofARound)) rounds.set(id, (rounds.get(id) ?? 0) + 1);
    assert.equal(rounds.size, MAILS);
    assert.ok(Math.max(...rounds.values()) <= 4, `${[...rounds.values()]}`);
  });
});
