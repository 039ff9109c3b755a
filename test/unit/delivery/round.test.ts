import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { ProviderConfig, RetryConfig } from '../../../relay/config/config.ts';
import { isUntold } from '../../../relay/delivery/bounce.ts';
import { ProviderSet } from '../../../relay/delivery/provider-set.ts';
import { Round, type RoundEnd } from '../../../relay/delivery/round.ts';
import type { Recipient, StoredMessage } from '../../../relay/spool/message.ts';
import { type Claim, type InFlight, type Settlement, SpoolError } from '../../../relay/spool/spool.ts';
import type { RelayEvent } from '../../../relay/telemetry/events.ts';
import { providerConfig } from '../../smtp/provider-config.ts';
import {
  type Answer,
  brokenBy,
  delivered,
  FakeSession,
  openFailure,
  recipientCodes,
  refusedAt,
  resend,
  retry,
  storedMessage,
  surroundings,
} from './fake-session.ts';

const addresses = (count: number): Recipient[] =>
  Array.from({ length: count }, (_, index) => ({ address: `r${index}@example.net`, state: 'pending' }));

interface Situation {
  /** By provider, in order: what its sessions answer; 'down' = no connection. */
  readonly providers: Readonly<Record<string, Answer[] | 'down'>>;
  readonly limits?: Partial<ProviderConfig['limits']>;
  readonly message?: Partial<StoredMessage>;
  /** 'no room': the spool refuses them. */
  readonly bounces?: boolean | 'no room';
  readonly retry?: Partial<RetryConfig>;
  /** Called before each settlement is taken. */
  readonly onSettle?: (settlement: Settlement) => void;
  readonly stopping?: AbortController;
  readonly interrupted?: InFlight;
  /** The body is in a file, and this happens while it is opened. */
  readonly onRead?: (sessions: readonly FakeSession[]) => void;
}

async function run(situation: Situation) {
  const events: RelayEvent[] = [];
  const around = surroundings(({ name }) => {
    const answers = situation.providers[name];
    if (answers === 'down') throw openFailure({ stage: 'connect', fault: 'lost' });
    return new FakeSession(answers);
  });
  const set = new ProviderSet({ ...around.deps, mailWaits: () => false, recovered: () => undefined });
  set.configure(
    Object.keys(situation.providers).map(name =>
      providerConfig(
        { host: `${name}.test`, port: 25 },
        { name, ...(situation.limits === undefined ? {} : { limits: situation.limits }) },
      ),
    ),
  );
  const settlements: Settlement[] = [];
  const notes: string[] = [];
  const bounced: Recipient[][] = [];
  const stopping = situation.stopping ?? new AbortController();
  const message = storedMessage(situation.message);
  const body = Buffer.from('Subject: x\r\n\r\n');
  const claim: Claim = {
    message,
    ...(situation.onRead === undefined ? { body } : {}),
    ...(situation.interrupted === undefined ? {} : { interrupted: situation.interrupted }),
  };
  const round = new Round(claim, 'fresh', {
    read: async function* () {
      assert.ok(situation.onRead !== undefined, 'the body is at hand');
      situation.onRead(around.sessions);
      yield body;
    },
    note: (_, { provider, uncertain, accepted }) =>
      notes.push(`${provider} perhaps ${uncertain.join(' ')}, surely ${accepted.join(' ')}`),
    settle: async (_, settlement) => {
      situation.onSettle?.(settlement);
      settlements.push(settlement);
    },
    bounce: async (_, recipients) => {
      if (situation.bounces === 'no room') throw new SpoolError('disk-full', 'no room');
      bounced.push([...recipients]);
      return recipients.map(one => (isUntold(one) ? { ...one, bounced: true as const } : one));
    },
    emit: event => events.push(event),
    now: Date.now,
    random: () => 0.5,
    settings: () => ({
      retry: { ...retry, ...situation.retry },
      resend: { ...resend, bounces: situation.bounces !== undefined && situation.bounces !== false },
      replyRules: [],
    }),
    providers: () => set.all,
    stopping: stopping.signal,
  });
  const end: RoundEnd = await round.run();
  set.destroy();
  const attempts = events.flatMap(event =>
    event.event === 'attempt' ? [`${event.provider} ${event.try} ${event.outcome}`] : [],
  );
  const last = settlements.at(-1);
  const states = last?.recipients.map(({ state }) => state);
  return {
    end,
    settlements,
    notes,
    last,
    states,
    attempts,
    events,
    bounced,
    sessions: around.sessions,
    told: around.events,
    health: set.all,
  };
}

describe('a round', { concurrency: true }, () => {
  test('one provider that takes it: done, one commit', async () => {
    const { end, settlements, attempts } = await run({ providers: { a: [] } });
    assert.deepEqual(end, { kind: 'settled', as: 'done' });
    assert.equal(settlements.length, 1);
    assert.deepEqual(attempts, ['a 1 delivered']);
  });

  test('three tries at each provider in order, then failed with the time of the next round', async () => {
    const later = refusedAt('mail', 451, 'later');
    const { last, attempts } = await run({
      providers: { a: [later, later, later], b: [later, later, later] },
    });
    assert.deepEqual(attempts, [
      'a 1 failed',
      'a 2 failed',
      'a 3 failed',
      'b 1 failed',
      'b 2 failed',
      'b 3 failed',
    ]);
    assert.equal(last?.kind, 'failed');
    assert.ok(last?.kind === 'failed' && last.dueAt > Date.now() + 55_000);
  });

  test('a failover is told once per change of provider', async () => {
    const { events } = await run({
      providers: { a: 'down', b: [refusedAt('mail', 550, 'no', '5.7.1')], c: [] },
    });
    const told = events.flatMap(event =>
      event.event === 'failover' ? [`${event.from} to ${event.to}`] : [],
    );
    assert.deepEqual(told, ['a to b', 'b to c']);
  });

  test('what one transaction achieved is committed before the next begins', async () => {
    const order: string[] = [];
    const note =
      (name: string): Answer =>
      ({ recipients }) => {
        order.push(name);
        return {
          recipients: recipients.map(() => ({ code: 250, text: '' })),
          accepted: { code: 250, text: '' },
          unanswered: false,
        };
      };
    const { states } = await run({
      providers: { a: [note('first'), note('second')] },
      limits: { maxRecipientsPerMessage: 1 },
      message: { recipients: addresses(2) },
      onSettle: ({ kind }) => order.push(kind),
    });
    assert.deepEqual(order, ['first', 'progress', 'second', 'done']);
    assert.deepEqual(states, ['delivered', 'delivered']);
  });

  test('every recipient of a message in several transactions is told, each once', async () => {
    const { events } = await run({
      providers: { a: [] },
      limits: { maxRecipientsPerMessage: 1 },
      message: { recipients: addresses(3) },
    });
    const told = events.flatMap(event => (event.event === 'recipient-delivered' ? [event.recipient] : []));
    assert.deepEqual(told, ['r0@example.net', 'r1@example.net', 'r2@example.net']);
  });

  test('each recipient has its own fate, and only those still open go to the next provider', async () => {
    const { states, sessions } = await run({
      providers: {
        a: [recipientCodes([250], [550, '5.1.1'], [450], [550, '5.7.1'])],
        b: [recipientCodes([250], [250])],
      },
      message: { recipients: addresses(4) },
    });
    assert.deepEqual(states, ['delivered', 'rejected', 'delivered', 'delivered']);
    assert.deepEqual(sessions[1]?.envelopes[0]?.recipients, ['r2@example.net', 'r3@example.net']);
  });

  test('an unanswered dot bars its recipients from the whole round, and nobody else', async () => {
    const { last, sessions } = await run({
      providers: { a: [brokenBy({ stage: 'dot', fault: 'lost' })], b: [] },
      limits: { maxRecipientsPerMessage: 1 },
      message: { recipients: addresses(2) },
    });
    assert.deepEqual(
      last?.recipients.map(({ state, ambiguous }) => [state, ambiguous]),
      [
        ['pending', 1],
        ['delivered', undefined],
      ],
    );
    assert.deepEqual(
      sessions.flatMap(({ envelopes }) => envelopes.map(({ recipients }) => recipients)),
      [['r0@example.net'], ['r1@example.net']],
    );
  });

  test('a refusal of recipients is no success of the provider, mail that it took for one of them is', async () => {
    const none = await run({ providers: { a: [recipientCodes([550, '5.7.1'])] } });
    assert.equal(none.health[0]?.lastSuccessAt, undefined);
    const one = await run({
      providers: { a: [recipientCodes([250], [550, '5.7.1'])] },
      message: { recipients: addresses(2) },
    });
    assert.notEqual(one.health[0]?.lastSuccessAt, undefined);
  });

  test('what is said of one recipient is held against no provider that took the mail for another', async () => {
    const answer: Answer = () => ({
      recipients: [
        { code: 250, text: 'ok' },
        { code: 550, text: 'authentication required' },
      ],
      accepted: { code: 250, text: 'ok' },
      unanswered: false,
    });
    const { last, health } = await run({ providers: { a: [answer] }, message: { recipients: addresses(2) } });
    assert.deepEqual(
      last?.recipients.map(({ state }) => state),
      ['delivered', 'pending'],
    );
    assert.deepEqual(health[0]?.health, { kind: 'closed', strikes: 0, softStrikes: 0 });
    assert.notEqual(health[0]?.lastSuccessAt, undefined);
  });

  test('a throttle at RCPT is told of with the domains of those whom it was answered to', async () => {
    const to = ['a@One.example', 'b@two.example', 'c@one.example', '"d@x"@three.example'];
    const recipients = to.map((address): Recipient => ({ address, state: 'pending' }));
    const limited = { code: 450, enhanced: '4.7.1', text: 'rate limit exceeded' };
    const all: Answer = () => ({ recipients: [limited, limited, limited, limited], unanswered: false });
    assert.equal(
      (await run({ providers: { a: [all] }, message: { recipients } })).health[0]?.health.kind,
      'cooling',
    );
    const two: Answer = () => ({
      recipients: [limited, limited, limited, { code: 550, text: 'no' }],
      unanswered: false,
    });
    assert.equal(
      (await run({ providers: { a: [two] }, message: { recipients } })).health[0]?.health.kind,
      'closed',
    );
    const known = { code: 450, enhanced: '4.7.0', text: 'Peak SMTP relay limit exceeded' };
    const one: Answer = () => ({ recipients: [limited, known, limited, limited], unanswered: false });
    assert.equal(
      (await run({ providers: { a: [one] }, message: { recipients } })).health[0]?.health.kind,
      'cooling',
    );
    const taken: Answer = () => ({
      recipients: [limited, limited, { code: 250, text: 'ok' }, limited],
      accepted: { code: 250, text: 'ok' },
      unanswered: false,
    });
    const { health } = await run({ providers: { a: [taken] }, message: { recipients } });
    assert.deepEqual(health[0]?.health, { kind: 'closed', strikes: 0, softStrikes: 0 });
  });

  test('refused by every provider: dead; refused by one while the other is down: failed', async () => {
    const no = refusedAt('dot', 554, 'no', '5.6.0');
    assert.equal((await run({ providers: { a: [no], b: [no] } })).last?.kind, 'dead');
    assert.equal((await run({ providers: { a: [no], b: 'down' } })).last?.kind, 'failed');
  });

  test('a kept connection that turns out closed costs no try', async () => {
    const closed: Answer = () => ({
      recipients: [undefined],
      failure: { stage: 'mail', fault: 'lost', message: '' },
      unanswered: true,
    });
    const { attempts, states } = await run({
      providers: { a: [recipientCodes([250]), closed, recipientCodes([250])] },
      limits: { maxRecipientsPerMessage: 1 },
      message: { recipients: addresses(2) },
    });
    assert.deepEqual(attempts, ['a 1 delivered', 'a 1 delivered']);
    assert.deepEqual(states, ['delivered', 'delivered']);
  });

  test('a connection that its provider closes while our disk is slow counts against nobody', async () => {
    let reads = 0;
    const { end, attempts, sessions, told } = await run({
      providers: { a: [] },
      onRead: opened => {
        reads += 1;
        if (reads === 1) opened[0]!.usable = false;
      },
    });
    assert.deepEqual(end, { kind: 'settled', as: 'done' });
    assert.deepEqual(attempts, ['a 1 delivered']);
    assert.deepEqual([reads, sessions.length], [1, 2], 'the body is kept for the next one');
    assert.deepEqual(
      told.filter(({ event }) => event === 'provider-state'),
      [],
    );
  });

  test('a provider that ends each connection while the body is opened is left after its tries', async () => {
    const ended = brokenBy({ stage: 'mail', fault: 'lost' });
    const { end, attempts, sessions } = await run({
      providers: { a: [ended, ended, ended], b: [] },
      onRead: opened => {
        for (const session of opened) session.usable = false;
      },
    });
    assert.deepEqual(end, { kind: 'settled', as: 'done' });
    assert.deepEqual(attempts, ['a 1 failed', 'a 2 failed', 'a 3 failed', 'b 1 delivered']);
    assert.ok(sessions.length <= 8, `${sessions.length} connections`);
  });

  test('a body of our own that cannot be read keeps what was achieved and goes nowhere else', async () => {
    const { end, last, sessions } = await run({
      providers: {
        a: [recipientCodes([250]), brokenBy({ stage: 'body', fault: 'local', detail: 'EIO' })],
        b: [],
      },
      limits: { maxRecipientsPerMessage: 1 },
      message: { recipients: addresses(2) },
    });
    assert.deepEqual(end, { kind: 'local', message: 'as scripted: EIO' });
    assert.equal(last?.kind, 'failed');
    const [, { provider, reply } = {}] = last.recipients;
    assert.deepEqual([provider, reply], [undefined, 'as scripted'], 'nobody answered');
    assert.deepEqual(
      last?.recipients.map(({ state }) => state),
      ['delivered', 'pending'],
    );
    assert.equal(sessions.length, 1);
  });

  test('stopped: ends at its next step, with what was achieved on disk and no settlement', async () => {
    const stopping = new AbortController();
    const stopAfter: Answer = ({ recipients }) => {
      stopping.abort();
      return {
        recipients: recipients.map(() => ({ code: 250, text: '' })),
        accepted: { code: 250, text: '' },
        unanswered: false,
      };
    };
    const { end, settlements } = await run({
      providers: { a: [stopAfter] },
      limits: { maxRecipientsPerMessage: 1 },
      message: { recipients: addresses(2) },
      stopping,
    });
    assert.deepEqual(end, { kind: 'stopped' });
    assert.deepEqual(
      settlements.map(({ kind }) => kind),
      ['progress'],
    );
  });

  test('stopped after an unanswered dot: settled, so that the next start does not send it at once', async () => {
    const stopping = new AbortController();
    const unanswered: Answer = ({ recipients }) => {
      stopping.abort();
      return {
        recipients: recipients.map(() => ({ code: 250, text: '' })),
        failure: { stage: 'dot', fault: 'lost', message: '' },
        unanswered: false,
      };
    };
    const { end, last } = await run({
      providers: { a: [unanswered] },
      limits: { maxRecipientsPerMessage: 1 },
      message: { recipients: addresses(2) },
      stopping,
    });
    assert.deepEqual(end, { kind: 'settled', as: 'failed' });
    assert.equal(last?.recipients[0]?.ambiguous, 1);
  });

  test('a stop does not wait for a retry delay', async () => {
    const stopping = new AbortController();
    setTimeout(() => stopping.abort(), 30);
    const startedAt = performance.now();
    const { end, attempts } = await run({
      providers: { a: [refusedAt('mail', 451, 'later')] },
      retry: { initialDelayMs: 60_000 },
      stopping,
    });
    assert.deepEqual(end, { kind: 'stopped' });
    assert.deepEqual(attempts, ['a 1 failed']);
    assert.ok(performance.now() - startedAt < 30_000);
  });

  test('a message larger than limits.maxMessageBytes is refused on behalf of the provider, unasked', async () => {
    const { last, sessions } = await run({ providers: { a: [], b: [] }, limits: { maxMessageBytes: 99 } });
    assert.equal(last?.kind, 'dead');
    assert.equal(sessions.length, 0);
  });

  test('a long wait named by a provider is not spent inside the round', async () => {
    const busy = refusedAt('mail', 451, 'service not available, try again in 3600 seconds', '4.3.2');
    const startedAt = performance.now();
    const { states } = await run({ providers: { a: [busy], b: [] } });
    assert.deepEqual(states, ['delivered']);
    assert.ok(performance.now() - startedAt < 30_000);
  });

  test('too old: expired after a last round, with the last answer', async () => {
    const { last } = await run({
      providers: { a: 'down' },
      message: { receivedAt: Date.now() - resend.expireAfterMs - 1000 },
    });
    assert.equal(last?.kind, 'dead');
    assert.equal(last?.recipients[0]?.state, 'expired');
  });

  test('with bounces: who was delivered to is on disk before the bounce, the bounce before the end', async () => {
    const { settlements, bounced } = await run({
      providers: { a: [recipientCodes([250], [550, '5.1.1'])] },
      message: { recipients: addresses(2) },
      bounces: true,
    });
    assert.deepEqual(
      settlements.map(({ kind }) => kind),
      ['progress', 'dead'],
    );
    assert.equal(bounced.length, 1);
  });

  test('with bounces: who is refused is told of at the end of the round, though others still wait', async () => {
    const { settlements, bounced } = await run({
      providers: { a: [recipientCodes([450, '4.2.2'], [550, '5.1.1'])] },
      message: { recipients: addresses(2) },
      bounces: true,
    });
    assert.deepEqual(
      settlements
        .slice(-2)
        .map(({ kind, recipients }) => [kind, ...recipients.map(({ bounced }) => bounced)]),
      [
        ['progress', undefined, undefined],
        ['failed', undefined, true],
      ],
    );
    assert.deepEqual(
      bounced[0]?.map(({ state }) => state),
      ['pending', 'rejected'],
    );
  });

  test('with bounces: nobody is told of twice', async () => {
    const [first, second] = addresses(2);
    const { last, bounced } = await run({
      providers: { a: [] },
      message: { recipients: [first!, { ...second!, state: 'rejected', bounced: true }] },
      bounces: true,
    });
    assert.equal(last?.kind, 'dead');
    assert.equal(bounced.length, 0);
  });

  test('with bounces and no room for one: what was answered is on disk, and the message waits, owing it', async () => {
    const { end, settlements, last } = await run({
      providers: { a: [recipientCodes([250], [550, '5.1.1'])] },
      message: { recipients: addresses(2) },
      bounces: 'no room',
    });
    assert.deepEqual(end, { kind: 'settled', as: 'failed' });
    const states = settlements.map(({ kind, recipients }) => [kind, ...recipients.map(({ state }) => state)]);
    assert.deepEqual(states, [
      ['progress', 'delivered', 'rejected'],
      ['failed', 'delivered', 'rejected'],
    ]);
    assert.ok(last?.kind === 'failed' && last.dueAt > Date.now());
    assert.match(last.reason, /bounce to its sender waits for room/);
    assert.ok(last.recipients.every(({ bounced }) => bounced === undefined));
  });

  test('with bounces: a message that owes one alone is sent to nobody, and ends when it is written', async () => {
    const [first, second] = addresses(2);
    const recipients: Recipient[] = [
      { ...first!, state: 'delivered' },
      { ...second!, state: 'rejected', reply: '550 5.1.1 no' },
    ];
    const { settlements, bounced, sessions } = await run({
      providers: { a: [] },
      message: { recipients, state: 'failed', rounds: 1 },
      bounces: true,
    });
    assert.equal(sessions.length, 0);
    assert.deepEqual(bounced, [recipients]);
    assert.equal(settlements.at(-1)?.kind, 'dead');
    assert.equal(settlements.at(-1)?.recipients[1]?.bounced, true);
  });

  test('with bounces and no room for one: who still waits is sent to in the next round all the same', async () => {
    const { last } = await run({
      providers: { a: [recipientCodes([450, '4.2.2'], [550, '5.1.1'])] },
      message: { recipients: addresses(2) },
      bounces: 'no room',
    });
    assert.ok(last?.kind === 'failed');
    assert.match(last.reason, /450/);
    assert.deepEqual(
      last.recipients.map(({ state }) => state),
      ['pending', 'rejected'],
    );
  });

  test('without any provider it waits', async () => {
    const { last } = await run({ providers: {} });
    assert.equal(last?.kind, 'failed');
  });
});

/** Refuses the whole message at its end when it has more recipients. */
const takingAtMost =
  (most: number, reply: readonly [code: number, text: string, enhanced?: string]): Answer =>
  (envelope, body) => {
    const answer = envelope.recipients.length > most ? refusedAt('dot', ...reply) : delivered;
    return typeof answer === 'function' ? answer(envelope, body) : answer;
  };

describe('a message that has too many recipients, found out at its final dot', { concurrency: true }, () => {
  const exceeds = [554, 'Transaction failed: Recipient count exceeds 50.'] as const;
  const sizes = (sessions: readonly FakeSession[]): number[] =>
    sessions.flatMap(({ envelopes }) => envelopes.map(({ recipients }) => recipients.length));
  const repeated = (answer: Answer): Answer[] => Array<Answer>(100).fill(answer);
  const limits = { maxRecipientsPerMessage: 1000 };

  test('is halved until it is taken, in the same round and within one try; each gets it once', async () => {
    const { end, states, attempts, sessions, health } = await run({
      providers: { a: repeated(takingAtMost(50, exceeds)), b: [] },
      limits,
      message: { recipients: addresses(200) },
    });
    assert.deepEqual(end, { kind: 'settled', as: 'done' });
    assert.deepEqual([...new Set(states)], ['delivered']);
    assert.deepEqual(sizes(sessions), [200, 100, 50, 50, 50, 50]);
    assert.deepEqual(attempts, ['a 1 failed', 'a 1 failed', ...Array<string>(4).fill('a 1 delivered')]);
    const taken = sessions.flatMap(({ envelopes }) => envelopes.slice(2).flatMap(each => each.recipients));
    assert.equal(new Set(taken).size, 200);
    assert.deepEqual(health[0]?.health, { kind: 'closed', strikes: 0, softStrikes: 0 });
  });

  test('is halved no more than down to one, and then left to the next provider, refused to nobody', async () => {
    const { last, states, sessions } = await run({
      providers: { a: repeated(takingAtMost(0, exceeds)), b: [] },
      limits,
      message: { recipients: addresses(5) },
    });
    assert.deepEqual(sizes(sessions.slice(0, 1)), [5, 2, 1, 1, 1, 1, 1]);
    assert.deepEqual(sizes(sessions.slice(1)), [5]);
    assert.deepEqual([last?.kind, ...new Set(states)], ['done', 'delivered']);
  });

  test('waits where there is no other provider, with what was said', async () => {
    const { last } = await run({
      providers: { a: repeated(takingAtMost(0, exceeds)) },
      limits,
      message: { recipients: addresses(2) },
    });
    assert.deepEqual(
      [last?.kind, last?.recipients.map(({ reply }) => reply)],
      ['failed', [exceeds.join(' '), exceeds.join(' ')]],
    );
  });

  test('is halved by those who were accepted: who was refused at RCPT is no part of it', async () => {
    const ok = { code: 250, text: 'ok' };
    const four: Answer = {
      recipients: [ok, { code: 550, enhanced: '5.1.1', text: '' }, ok, ok, ok],
      failure: { stage: 'dot', fault: 'reply', reply: { code: 554, text: exceeds[1] }, message: '' },
      unanswered: false,
    };
    const { states, sessions } = await run({
      providers: { a: [four] },
      limits,
      message: { recipients: addresses(5) },
    });
    assert.deepEqual(sizes(sessions), [5, 2, 2]);
    assert.deepEqual(states, ['delivered', 'rejected', 'delivered', 'delivered', 'delivered']);
  });

  test('teaches the provider once it took fewer: told once, and later mail is split before it is sent', async () => {
    const { told, health, sessions } = await run({
      providers: { a: repeated(takingAtMost(50, exceeds)) },
      limits,
      message: { recipients: addresses(120) },
    });
    assert.deepEqual(sizes(sessions), [120, 60, 30, 30, 30, 30]);
    assert.deepEqual(told, [
      {
        event: 'recipient-limit-found',
        provider: 'a',
        recipients: 30,
        configured: 1000,
        reply: exceeds.join(' '),
      },
    ]);
    assert.equal(health[0]?.recipientsPerMessage, 30);
  });

  test('is told of the provider without the address that its refusal repeats', async () => {
    const { told } = await run({
      providers: { a: repeated(takingAtMost(1, [554, '<r0@example.net>: Recipient count exceeds 1.'])) },
      limits,
      message: { recipients: addresses(2) },
    });
    const [limit] = told;
    const reply = '554 <[address]>: Recipient count exceeds 1.';
    assert.equal(limit?.event === 'recipient-limit-found' && limit.reply, reply);
  });

  test('teaches nothing when it was taken in no other way either', async () => {
    const { told, health } = await run({
      providers: { a: repeated(takingAtMost(0, exceeds)) },
      limits,
      message: { recipients: addresses(8) },
    });
    assert.deepEqual(told, []);
    assert.equal(health[0]?.recipientsPerMessage, 1000);
  });

  test('leaves nobody in doubt: only a dot that was answered with a refusal is followed by another', async () => {
    const { notes } = await run({
      providers: { a: repeated(takingAtMost(1, exceeds)) },
      limits,
      message: { recipients: addresses(2) },
    });
    assert.deepEqual(notes, [
      'a perhaps 0 1, surely ',
      'a perhaps , surely ',
      'a perhaps 0, surely ',
      'a perhaps , surely 0',
      'a perhaps 1, surely ',
      'a perhaps , surely 1',
    ]);
  });
});

describe('what a round notes for the case that the process is killed', { concurrency: true }, () => {
  const three = ['a', 'b', 'c'].map(name => ({ address: `${name}@example.net`, state: 'pending' as const }));

  test('before the dot: who may have it; after a 250: who has it; nothing where no dot was sent', async () => {
    const refused = refusedAt('mail', 451, 'later');
    const { notes } = await run({
      providers: { a: [refused, refused, refused], b: [recipientCodes([250], [550, '5.1.1'], [250])] },
      message: { recipients: three },
    });
    assert.deepEqual(notes, ['b perhaps 0 2, surely ', 'b perhaps , surely 0 2']);
  });

  test('a dot that was refused leaves nobody in doubt', async () => {
    const { notes } = await run({ providers: { a: [refusedAt('dot', 554, 'no', '5.6.0')], b: [] } });
    assert.deepEqual(notes, [
      'a perhaps 0, surely ',
      'a perhaps , surely ',
      'b perhaps 0, surely ',
      'b perhaps , surely 0',
    ]);
  });

  test('who is in doubt stays so while the others go on', async () => {
    const { notes } = await run({
      providers: { a: [brokenBy({ stage: 'dot', fault: 'lost' })] },
      limits: { ...providerConfig({ host: 'x', port: 25 }).limits, maxRecipientsPerMessage: 1 },
      message: { recipients: three.slice(0, 2) },
    });
    assert.deepEqual(notes.slice(0, 3), [
      'a perhaps 0, surely ',
      'a perhaps 0, surely ',
      'a perhaps 0 1, surely ',
    ]);
    assert.equal(notes.at(-1), 'a perhaps 0, surely 1');
  });
});

describe('a message in the middle of which the process was killed', { concurrency: true }, () => {
  const three = ['a', 'b', 'c'].map(name => ({ address: `${name}@example.net`, state: 'pending' as const }));

  test('whoever may have it waits for the first resend and is counted; the others are sent to at once', async () => {
    const { last, sessions, events } = await run({
      providers: { p: [] },
      message: { recipients: three },
      interrupted: { provider: 'p', uncertain: [1], accepted: [] },
    });
    assert.deepEqual(sessions[0]?.envelopes[0]?.recipients, ['a@example.net', 'c@example.net']);
    assert.ok(last?.kind === 'failed');
    assert.ok(Math.abs(last.dueAt - Date.now() - resend.initialDelayMs) < 5000);
    assert.deepEqual(
      last.recipients.map(({ state, ambiguous }) => [state, ambiguous]),
      [
        ['delivered', undefined],
        ['pending', 1],
        ['delivered', undefined],
      ],
    );
    const counted = events.filter(({ event }) => event === 'delivery-ambiguous');
    assert.equal(counted.length, 1);
    assert.ok(counted[0]?.event === 'delivery-ambiguous' && counted[0].recipients === 1);
  });

  test('whoever surely has it is delivered, and not sent to again', async () => {
    const { end, sessions, events } = await run({
      providers: { p: [] },
      interrupted: { provider: 'p', uncertain: [], accepted: [0] },
    });
    assert.deepEqual(end, { kind: 'settled', as: 'done' });
    assert.equal(sessions.length, 0);
    assert.deepEqual(
      events.map(({ event }) => event),
      ['recipient-delivered'],
    );
  });

  test('what the note says is on disk before the next transaction begins', async () => {
    const { settlements } = await run({
      providers: { p: [() => assert.fail('the round ends with this')] },
      message: { recipients: three },
      interrupted: { provider: 'p', uncertain: [], accepted: [0] },
      stopping: abortedController(),
    });
    assert.deepEqual(
      settlements.map(({ kind, recipients }) => [kind, recipients.map(({ state }) => state)]),
      [['progress', ['delivered', 'pending', 'pending']]],
    );
  });

  test('the death of a process that had it waiting alone changes nothing for those who have ended since', async () => {
    const { last, states } = await run({
      providers: { p: [] },
      message: { recipients: [{ address: 'a@example.net', state: 'rejected' }, three[1]!] },
      interrupted: { provider: 'p', uncertain: [0], accepted: [] },
    });
    assert.deepEqual(states, ['rejected', 'delivered']);
    assert.equal(last?.recipients[0]?.ambiguous, undefined);
  });
});

function abortedController(): AbortController {
  const controller = new AbortController();
  controller.abort();
  return controller;
}
