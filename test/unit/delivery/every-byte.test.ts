/**
 * A provider whose output breaks off, falls silent or turns into garbage at
 * any one of all the bytes that it says in a session, from the greeting to the
 * answer to QUIT, on real connections and with a sound provider behind it.
 * Whatever the byte: the round ends, nobody has two endings, the mail arrives
 * at one of the two and twice only where an ambiguity was counted, and the
 * next mail goes its way.
 */
import assert from 'node:assert/strict';
import { after, describe, test } from 'node:test';
import type { ProviderConfig } from '../../../relay/config/config.ts';
import { openSession } from '../../../relay/delivery/connection.ts';
import { ProviderSet } from '../../../relay/delivery/provider-set.ts';
import { Round } from '../../../relay/delivery/round.ts';
import type { Recipient } from '../../../relay/spool/message.ts';
import type { RelayEvent } from '../../../relay/telemetry/events.ts';
import { authority } from '../../smtp/certificates.ts';
import { Late, patiently } from '../../smtp/patiently.ts';
import { type ProviderOptions, type ScriptedProvider, startProvider } from '../../smtp/provider.ts';
import { providerConfig } from '../../smtp/provider-config.ts';
import type { Spoil } from '../../smtp/script.ts';
import { until } from '../../smtp/wait.ts';
import { resend, retry, storedMessage, surroundings } from './fake-session.ts';

/** Pairs of providers at work side by side: most of them wait for a time limit. */
const PAIRS = 24;
/** How long a step of the spoiled provider is waited for: at first, so that all cases take seconds, and at most. */
const PATIENCE = { firstMs: 80, mostMs: 10_240 };
/** How many times as long mail waits for a connection: for all the steps that it takes to make one. */
const CONNECTION_STEPS = 12;
const BODY = Buffer.from('Subject: x\r\nMessage-ID: <1@test>\r\n\r\n.dot\r\nend\r\n');

/** All that can be put in the place of a byte or of what follows. A 5 makes a refusal of a go-ahead. */
const FAULTS: readonly Spoil['by'][] = ['end', 'reset', 'silence', 'garbage', 0x01, 0x0a, 0x35];

const account = { username: 'relay-user', password: 'pass-word-1' };

interface Manner {
  readonly title: string;
  readonly provider: ProviderOptions;
  readonly credentials?: typeof account;
  /** In the first session that gets so far alone, not in each. */
  readonly once: boolean;
  /** The last reply of which each byte is tried. */
  readonly upTo: RegExp;
}

const manners: readonly Manner[] = [
  { title: 'of each session, pipelined', provider: {}, once: false, upTo: /^221/ },
  {
    title: 'of one session, command by command',
    provider: { extensions: ['8BITMIME'] },
    once: true,
    upTo: /^221/,
  },
  {
    title: 'of each session in clear before STARTTLS, and of the login after it',
    provider: {
      tls: 'starttls',
      users: { [account.username]: account.password },
      extensions: ['PIPELINING'],
    },
    credentials: account,
    once: false,
    upTo: /^235/,
  },
];

interface Pair {
  readonly spoiled: ScriptedProvider;
  readonly sound: ScriptedProvider;
}

const open: ScriptedProvider[] = [];
after(() => Promise.all(open.map(provider => provider.close())));

async function startPair({ provider }: Manner): Promise<Pair> {
  const [spoiled, sound] = await Promise.all([startProvider(provider), startProvider()]);
  open.push(spoiled, sound);
  return { spoiled, sound };
}

/** What delivers to the two; a step of the spoiled one may take `ms`. */
function setOf({ spoiled, sound }: Pair, { credentials }: Manner, ms: number): ProviderSet {
  const { deps } = surroundings(undefined, { patienceMs: CONNECTION_STEPS * ms });
  const set = new ProviderSet({
    ...deps,
    openSession,
    mailWaits: () => false,
    recovered: () => undefined,
  });
  const first = {
    name: 'spoiled',
    tls: { ca: authority().certificate },
    timeouts: timeouts(ms),
    ...(credentials === undefined ? {} : { credentials }),
  };
  const second = { name: 'sound', priority: 2, timeouts: timeouts(PATIENCE.mostMs) };
  set.configure([providerConfig(spoiled, first), providerConfig(sound, second)]);
  return set;
}

function timeouts(ms: number): Partial<ProviderConfig['timeouts']> {
  return { greetingMs: ms, commandMs: ms, dataBlockMs: ms, finalDotMs: ms };
}

let serial = 0;

/** What all of it came across: a test that meets nothing proves nothing. */
const seen = { unknown: 0, sound: 0 };

/** One message with two recipients of its own, and what is told of it. */
class Sending {
  readonly #events: RelayEvent[] = [];
  #recipients: readonly Recipient[];

  constructor() {
    const id = ++serial;
    this.#recipients = ['a', 'b'].map(name => ({ address: `${name}@m${id}.test`, state: 'pending' }));
  }

  get over(): boolean {
    return this.#recipients.every(({ state }) => state !== 'pending');
  }

  async round(set: ProviderSet): Promise<void> {
    const message = storedMessage({ recipients: this.#recipients, size: BODY.length });
    const round = new Round({ message, body: BODY }, 'fresh', {
      read: () => assert.fail('the body is at hand'),
      note: () => undefined,
      settle: async (_, { recipients }) => {
        this.#recipients = recipients;
      },
      bounce: async (_, recipients) => recipients,
      emit: event => this.#events.push(event),
      now: Date.now,
      random: () => 0.5,
      settings: () => ({ retry, resend, replyRules: [] }),
      providers: () => set.all,
      stopping: new AbortController().signal,
    });
    assert.equal((await round.run()).kind, 'settled');
  }

  /** Ambiguities that were counted. */
  get unknown(): number {
    return this.#events.filter(({ event }) => event === 'delivery-ambiguous').length;
  }

  /**
   * Delivered once, which was told once; `more` copies are the doing of a
   * provider that took what it refused. Throws Late where all is right so far.
   */
  check({ spoiled, sound }: Pair, more: number): void {
    for (const { address, state } of this.#recipients) {
      assert.ok(state === 'delivered' || state === 'pending', `${address} is ${state}`);
      const delivered = state === 'delivered' ? 1 : 0;
      assert.equal(this.#delivered(address), delivered, `told of ${address}`);
      const received = [...spoiled.messages, ...sound.messages].filter(({ recipients }) =>
        recipients.includes(address),
      );
      const most = delivered + this.unknown + more;
      assert.ok(received.length >= delivered && received.length <= most, `${received.length} of ${address}`);
      for (const { body } of received) assert.deepEqual(body, BODY);
    }
    if (!this.over) throw new Late('mail still waits after all rounds');
  }

  #delivered(address: string): number {
    const about = this.#events.filter(event => 'recipient' in event && event.recipient === address);
    const endings = about.map(({ event }) => event).filter(event => event !== 'attempt');
    for (const ending of endings) assert.equal(ending, 'recipient-delivered', address);
    return endings.length;
  }
}

interface Job {
  readonly afterBytes: number;
  readonly by: Spoil['by'];
}

/** Sends while the provider is spoiled, and on until all is over; whether that byte was reached. */
async function play(pair: Pair, manner: Manner, job: Job, ms: number): Promise<boolean> {
  let reached = false;
  const heal = () => pair.spoiled.follow({});
  const spoil = {
    ...job,
    reached: () => {
      reached = true;
      if (manner.once) heal();
    },
  };
  pair.spoiled.follow({ spoil });
  const set = setOf(pair, manner, ms);
  try {
    const first = new Sending();
    await first.round(set);
    // What may have arrived waits for a later round; what the other took is over.
    for (let rounds = 1; !first.over && rounds < 10; rounds++) {
      heal();
      await first.round(set);
    }
    first.check(pair, job.by === 0x35 ? 1 : 0);
    seen.unknown += first.unknown;
    if (reached) {
      heal();
      const next = new Sending();
      for (let rounds = 0; !next.over && rounds < 10; rounds++) await next.round(set);
      next.check(pair, 0);
    }
  } finally {
    set.close();
  }
  const { counters } = pair.spoiled;
  await until(
    () => counters.connectionsNow + pair.sound.counters.connectionsNow === 0,
    'connections to close',
    3 * PATIENCE.mostMs,
  );
  return reached;
}

/** On a machine that is busy a time limit may strike earlier in the session: then with more time. */
function prove(pair: Pair, manner: Manner, job: Job): Promise<void> {
  const where = `${typeof job.by === 'number' ? `byte ${job.by}` : job.by} after ${job.afterBytes} bytes`;
  return patiently(PATIENCE, async ms => {
    if (!(await play(pair, manner, job, ms))) throw new Late('never reached');
  }).catch(error => {
    throw new Error(`${where}: ${(error as Error).message}`, { cause: error });
  });
}

/** Bytes that the provider says in a session in which all is well, and which is given time. */
function lengthOf(manner: Manner): Promise<number> {
  return patiently({ ...PATIENCE, firstMs: PATIENCE.mostMs / 4 }, async ms => {
    const pair = await startPair(manner);
    await play(pair, manner, { afterBytes: Number.POSITIVE_INFINITY, by: 'end' }, ms);
    const [session] = pair.spoiled.sessions;
    const replies = session?.replies ?? [];
    const last = replies.findIndex(reply => manner.upTo.test(reply));
    if (last === -1) throw new Late(`a session without ${manner.upTo}: ${replies.join('\n')}`);
    return replies
      .slice(0, last + 1)
      .reduce((sum, reply) => sum + reply.replaceAll('\n', '\r\n').length + 2, 0);
  });
}

describe('a provider that fails at any one byte', () => {
  for (const manner of manners) {
    test(manner.title, async t => {
      const pairs = await Promise.all(Array.from({ length: PAIRS }, () => startPair(manner)));
      const length = await lengthOf(manner);
      assert.ok(length > 150, `${length} bytes`);
      const jobs = FAULTS.flatMap(by => Array.from({ length }, (_, afterBytes) => ({ afterBytes, by })));
      const count = jobs.length;
      const proveAll = async (pair: Pair): Promise<void> => {
        for (let job = jobs.shift(); job !== undefined; job = jobs.shift()) await prove(pair, manner, job);
      };
      // The first that fails ends it for all.
      await Promise.all(pairs.map(proveAll)).finally(() => jobs.splice(0));
      const sessions = pairs.flatMap(({ spoiled }) => spoiled.sessions);
      const spoken = sessions.filter(({ secure }) => !secure).flatMap(({ commands }) => commands);
      if (manner.credentials !== undefined) {
        assert.ok(!spoken.some(line => /^(AUTH|MAIL)/.test(line)), 'said in clear');
      }
      t.diagnostic(`${count} times in ${length} bytes, ${sessions.length} sessions`);
      seen.sound += pairs.reduce((sum, { sound }) => sum + sound.messages.length, 0);
    });
  }

  test('often leaves it open whether it took the mail, and often leaves the mail to the next', t => {
    t.diagnostic(JSON.stringify(seen));
    assert.ok(seen.unknown > 100 && seen.sound > 1000, JSON.stringify(seen));
  });
});
