/**
 * For any behaviour of any providers: once they work again, every recipient
 * has ended in exactly one of delivered, rejected and expired, was sent to
 * exactly once unless an ambiguity was counted, and nothing is lost.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import type { Recipient } from '../../relay/spool/message.ts';
import type { TransactionRecord } from '../smtp/record.ts';
import {
  type Action,
  both,
  drop,
  garbage,
  partial,
  reset,
  type Script,
  type Spoil,
  take,
} from '../smtp/script.ts';
import { until } from '../smtp/wait.ts';
import { type Json, type RelayUnderTest, startRelay } from './relay-under-test.ts';

/** A name for each action, so that a failing case can be read. */
const anywhere: Readonly<Record<string, Action>> = {
  temporary: '451 4.3.0 later',
  closing: '421 4.3.2 closing',
  throttled: '421 4.7.0 try again in 1 second',
  permanent: '554 5.3.0 no',
  drop: drop,
  reset: reset,
  garbage: garbage,
  'cut off': partial(3),
};
const atMail: Readonly<Record<string, Action>> = {
  ...anywhere,
  quota: '550 5.4.5 Daily user sending limit exceeded',
  sender: '550 5.7.1 sender not allowed',
  'log in': '530 5.7.0 log in first',
};
const atRcpt: Readonly<Record<string, Action>> = {
  ...anywhere,
  'unknown user': '550 5.1.1 no such user',
  policy: '550 5.7.1 relaying denied',
  greylisted: '450 4.2.0 greylisted',
  full: '452 4.5.3 too many recipients',
};
const atDot: Readonly<Record<string, Action>> = {
  ...anywhere,
  content: '554 5.6.0 content refused',
  'taken, drop': take(drop),
  'taken, reset': take(reset),
  'taken, garbage': take(garbage),
  'refused, drop': both('451 4.3.0 later', drop),
  'too many': '554 5.5.3 too many recipients',
};

type Plan = Readonly<
  Record<'greeting' | 'ehlo' | 'mail' | 'rcpt' | 'data' | 'body' | 'dot', readonly string[]>
>;

interface Case {
  /** What each provider does, one entry each time a stage is reached; 'ok' and the end of the list are normal. */
  readonly plans: readonly Plan[];
  /** What goes wrong at one byte of each of its sessions, if anything. */
  readonly spoils: readonly (Spoil | undefined)[];
  readonly pipelining: readonly boolean[];
  readonly down: readonly boolean[];
  /** Recipients of each message. */
  readonly messages: readonly number[];
  readonly perTransaction: number;
  readonly ending: 'recovers' | 'expires';
}

const some = (actions: Readonly<Record<string, Action>>): fc.Arbitrary<string[]> =>
  fc.array(
    fc.oneof(
      { weight: 2, arbitrary: fc.constant('ok') },
      { weight: 3, arbitrary: fc.constantFrom(...Object.keys(actions)) },
    ),
    {
      maxLength: 6,
    },
  );

const few = (actions: Readonly<Record<string, Action>>): fc.Arbitrary<string[]> =>
  fc.array(
    fc.oneof(
      { weight: 4, arbitrary: fc.constant('ok') },
      { weight: 1, arbitrary: fc.constantFrom(...Object.keys(actions)) },
    ),
    {
      maxLength: 4,
    },
  );

const plan: fc.Arbitrary<Plan> = fc.record({
  greeting: few(anywhere),
  ehlo: few(anywhere),
  mail: some(atMail),
  rcpt: some(atRcpt),
  data: some(anywhere),
  body: few({ drop, reset }),
  dot: some(atDot),
});

const spoil: fc.Arbitrary<Spoil | undefined> = fc.option(
  fc.record({
    afterBytes: fc.integer({ min: 0, max: 400 }),
    by: fc.constantFrom<Spoil['by']>('end', 'reset', 'garbage', 0x01),
  }),
  { nil: undefined, freq: 2 },
);

const anyCase: fc.Arbitrary<Case> = fc.integer({ min: 1, max: 3 }).chain(count =>
  fc.record({
    plans: fc.array(plan, { minLength: count, maxLength: count }),
    spoils: fc.array(spoil, { minLength: count, maxLength: count }),
    pipelining: fc.array(fc.boolean(), { minLength: count, maxLength: count }),
    down: fc.array(fc.boolean(), { minLength: count, maxLength: count }),
    messages: fc.array(fc.integer({ min: 1, max: 5 }), { minLength: 1, maxLength: 3 }),
    perTransaction: fc.integer({ min: 1, max: 5 }),
    ending: fc.constantFrom('recovers', 'recovers', 'expires'),
  }),
);

function scriptOf(plan: Plan, spoil: Spoil | undefined): Script {
  const tables = {
    greeting: anywhere,
    ehlo: anywhere,
    mail: atMail,
    rcpt: atRcpt,
    data: anywhere,
    body: anywhere,
    dot: atDot,
  };
  const entries = Object.entries(plan).map(([stage, names]) => [
    stage,
    names.map(name => tables[stage as keyof Plan][name] ?? { do: 'accept' }),
  ]);
  return { ...(Object.fromEntries(entries) as Script), ...(spoil === undefined ? {} : { spoil }) };
}

/** What the cases together came across: a property that meets nothing proves nothing. */
const seen = { cases: 0, events: new Map<string, number>() };

const DAY = 24 * 3_600_000;

async function run(one: Case): Promise<void> {
  const relay = await startRelay({
    providers: one.plans.map((each, index) => ({
      script: scriptOf(each, one.spoils[index]),
      extensions: one.pipelining[index] ? ['PIPELINING', '8BITMIME'] : ['8BITMIME'],
      entry: { limits: { maxRecipientsPerMessage: one.perTransaction } },
    })),
  });
  try {
    await prove(relay, one);
  } finally {
    await relay.stop();
  }
}

async function prove(relay: RelayUnderTest, one: Case): Promise<void> {
  await Promise.all(
    relay.providers.map((provider, index) => (one.down[index] ? provider.down() : undefined)),
  );
  const sent: { id: string; to: string[] }[] = [];
  for (const [message, count] of one.messages.entries()) {
    const to = Array.from({ length: count }, (_, index) => `r${index}.m${message}@example.net`);
    sent.push({ id: await relay.send({ to }), to });
  }
  for (const { id } of sent) await relay.roundEnd(id);
  if (one.ending === 'expires') relay.pass(6 * DAY);
  else await heal(relay);
  const { spool, delivery } = relay.relay.parts;
  await until(
    () => {
      const { active, failed } = spool.counts();
      if (delivery.running === 0 && active.messages + failed.messages > 0) relay.pass(DAY / 24);
      return active.messages + failed.messages === 0 && delivery.running === 0;
    },
    'everything to end',
    20_000,
  );
  for (const message of sent) await check(relay, message);
  seen.cases += 1;
  for (const { event } of relay.events) seen.events.set(event, (seen.events.get(event) ?? 0) + 1);
}

/** Every provider works, and the relay is told so: their health begins anew. */
async function heal(relay: RelayUnderTest): Promise<void> {
  for (const provider of relay.providers) provider.follow({});
  await Promise.all(relay.providers.map(provider => provider.up()));
  await relay.reconfigure(config => ({
    ...config,
    forwardProviders: (config['forwardProviders'] as Json[]).map(entry => ({
      ...entry,
      limits: { ...(entry['limits'] as Json), idleTimeoutSeconds: 29 },
    })),
  }));
}

async function check(relay: RelayUnderTest, message: { id: string; to: string[] }): Promise<void> {
  const { id, to } = message;
  const stored = await relay.stored(id);
  assert.ok(stored === undefined || stored.state === 'dead', `${id} is ${stored?.state}`);
  const unknown = relay.heard('delivery-ambiguous', id).length;
  for (const address of to) {
    const endings = relay.events.filter(
      event =>
        (event.event === 'recipient-delivered' ||
          event.event === 'recipient-rejected' ||
          event.event === 'recipient-expired') &&
        event.id === id &&
        event.recipient === address,
    );
    assert.equal(endings.length, 1, `${address} has ${endings.length} endings`);
    const copies = relay.providers.flatMap(({ messages }) => messages).filter(carries(address)).length;
    const ended = stored?.recipients.find(recipient => recipient.address === address);
    checkCopies({ address, copies, ended, unknown, told: endings[0]!.event });
  }
}

const carries =
  (address: string) =>
  ({ recipients }: TransactionRecord): boolean =>
    recipients.includes(address);

function checkCopies(found: {
  address: string;
  copies: number;
  ended: Recipient | undefined;
  /** Ambiguities counted for the message: each may be a copy more. */
  unknown: number;
  told: string;
}): void {
  const { address, copies, ended, unknown, told } = found;
  const state = ended?.state ?? 'delivered';
  assert.equal(told, `recipient-${state}`);
  const least = state === 'delivered' ? 1 : 0;
  assert.ok(copies >= least, `${address} is ${state} and nobody has it`);
  assert.ok(
    copies <= least + unknown,
    `${address} is ${state}, ${unknown} unknown, and was received ${copies} times`,
  );
}

test('any script: each recipient ends once, was sent to exactly once unless an ambiguity was counted, nothing is lost', async t => {
  const seed = Number(process.env['MAILRELAY_SEED'] ?? 20_261_122);
  await fc.assert(
    fc.asyncProperty(fc.array(anyCase, { minLength: 8, maxLength: 8 }), async cases => {
      await Promise.all(cases.map(run));
    }),
    { seed, numRuns: 1000, interruptAfterTimeLimit: 40_000, endOnFailure: true },
  );
  assert.ok(seen.cases >= 24, `only ${seen.cases} cases in the time`);
  for (const event of [
    'recipient-delivered',
    'recipient-rejected',
    'recipient-expired',
    'delivery-ambiguous',
    'failover',
  ]) {
    assert.ok((seen.events.get(event) ?? 0) > 0, `no ${event} in ${seen.cases} cases`);
  }
  t.diagnostic(`${seen.cases} cases: ${JSON.stringify(Object.fromEntries(seen.events))}`);
});
