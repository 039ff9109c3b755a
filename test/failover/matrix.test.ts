/**
 * The table of docs/delivery.md ("What a failure means"), proved on the whole
 * relay: every step of a session and every way it can go wrong, with the
 * faulty provider before a healthy one, behind one that is down, and alone.
 */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { ProviderStatus } from '../../relay/delivery/provider-set.ts';
import type { FailureClass } from '../../relay/telemetry/events.ts';
import { startBlackHole } from '../smtp/black-hole.ts';
import { authority } from '../smtp/certificates.ts';
import { type Action, drop, garbage, partial, reset, type Script, stall, take } from '../smtp/script.ts';
import { until } from '../smtp/wait.ts';
import { type ProviderSetup, type RelayUnderTest, silentAt, startRelay } from './relay-under-test.ts';

type State = ProviderStatus['state'];

interface Row {
  readonly fault: string;
  readonly setup?: ProviderSetup;
  readonly script?: Script;
  /** Tries told about the faulty provider. */
  readonly tries: number;
  /** Where and as what they are told to have failed. */
  readonly stage: string;
  readonly class: FailureClass;
  /** What the provider is afterwards. */
  readonly state: State;
  /**
   * waits:    the next provider delivers; with none, the message waits
   * rejects:  the same, but refused by everyone it is rejected
   * ends:     the recipient is over at once, wherever the provider stands
   * unknown:  nobody else gets it in this round; counted as ambiguous
   */
  readonly outcome: 'waits' | 'rejects' | 'ends' | 'unknown';
  /** The mail; default: a small one. */
  readonly content?: string;
}

const account = { users: { 'user@example.com': 'secret' }, tls: 'starttls' } as const;
const demanding = { tls: { required: true } };
/** More than the buffers of a connection hold. */
const large = `Subject: large\r\n\r\n${`${'x'.repeat(998)}\r\n`.repeat(12_000)}`;
const elsewhere = authority().issue({ names: ['elsewhere.example'] });

const connecting: readonly Row[] = [
  // A resolver that does not answer may take its time to say so.
  row('the host name has no address', { entry: { host: 'no-such-host.invalid', ...silentAt('connect') } }, [
    3,
    'dns',
    'network',
    'failing',
  ]),
  row('the TLS handshake breaks', { ...account, script: { tls: drop } }, [
    3,
    'starttls',
    'network',
    'failing',
  ]),
  row('the certificate is for another host', { ...account, certificate: elsewhere }, [
    1,
    'starttls',
    'tls',
    'failing',
  ]),
  row('the certificate has expired', { ...account, certificate: authority().issue({ expired: true }) }, [
    1,
    'starttls',
    'tls',
    'failing',
  ]),
  row(
    'the certificate is self-signed, TLS from the first byte',
    { ...account, tls: 'implicit', certificate: authority().issue({ selfSigned: true }) },
    [1, 'tls', 'tls', 'failing'],
  ),
  row('STARTTLS is required and absent', { ...account, tls: 'none', authWithoutTls: true }, [
    1,
    'starttls',
    'tls',
    'failing',
  ]),
  row('STARTTLS is refused', { ...account, script: { starttls: '454 4.7.0 TLS not available' } }, [
    3,
    'starttls',
    'tls',
    'failing',
  ]),
  row('TLS is required without a user name, and absent', { entry: demanding }, [
    1,
    'starttls',
    'tls',
    'failing',
  ]),
  row(
    'TLS is required without a user name, and refused',
    { tls: 'starttls', entry: demanding, script: { starttls: '502 5.5.1 what?' } },
    [1, 'starttls', 'tls', 'failing'],
  ),
  row(
    'TLS is required without a user name, and the certificate is for another host',
    { tls: 'starttls', entry: demanding, certificate: elsewhere },
    [1, 'starttls', 'tls', 'failing'],
  ),
  row('the greeting is 4xx', { script: { greeting: '450 4.3.2 busy' } }, [
    3,
    'greeting',
    'service',
    'failing',
  ]),
  row('the greeting is 421', { script: { greeting: '421 4.3.2 closing' } }, [
    3,
    'greeting',
    'service',
    'failing',
  ]),
  row('the greeting is 5xx', { script: { greeting: '554 5.3.2 no service' } }, [
    1,
    'greeting',
    'service',
    'failing',
  ]),
  row('the greeting is garbage', { script: { greeting: garbage } }, [3, 'greeting', 'protocol', 'failing']),
  row('the connection drops at the greeting', { script: { greeting: drop } }, [
    3,
    'greeting',
    'network',
    'failing',
  ]),
  row('the greeting is cut off', { script: { greeting: partial(7) } }, [3, 'greeting', 'network', 'failing']),
  row('EHLO is 4xx', { script: { ehlo: '451 4.3.0 later' } }, [3, 'ehlo', 'service', 'failing']),
  row('EHLO and HELO are 5xx', { script: { ehlo: '550 5.7.1 go away' } }, [1, 'ehlo', 'service', 'failing']),
  row('EHLO is answered with garbage', { script: { ehlo: garbage } }, [3, 'ehlo', 'protocol', 'failing']),
  row('the password is refused', { ...account, entry: { password: 'wrong' } }, [
    1,
    'auth',
    'authentication',
    'suspended',
  ]),
  row('AUTH is not offered', { ...account, mechanisms: ['GSSAPI'] }, [
    1,
    'auth',
    'authentication',
    'suspended',
  ]),
  row('AUTH is 454', { ...account, script: { auth: '454 4.7.0 temporary failure' } }, [
    3,
    'auth',
    'rate',
    'cooling',
  ]),
  row('AUTH is 454 and names a time', { ...account, script: { auth: '454 4.7.0 try again in 30 seconds' } }, [
    1,
    'auth',
    'rate',
    'cooling',
  ]),
  row('AUTH drops', { ...account, script: { auth: drop } }, [3, 'auth', 'network', 'failing']),
];

const transacting: readonly Row[] = [
  row('MAIL is 4xx', { script: { mail: '451 4.3.0 later' } }, [3, 'mail', 'service', 'active']),
  row('MAIL is 421', { script: { mail: '421 4.3.0 closing' } }, [3, 'mail', 'service', 'failing']),
  row('MAIL is 432', { script: { mail: '432 4.7.12 too fast' } }, [1, 'mail', 'rate', 'cooling']),
  row('MAIL names a long wait', { script: { mail: '450 4.7.1 try again in 300 seconds' } }, [
    1,
    'mail',
    'rate',
    'cooling',
  ]),
  row('MAIL is 550 5.4.5, a quota', { script: { mail: '550 5.4.5 Daily user sending limit exceeded' } }, [
    1,
    'mail',
    'rate',
    'cooling',
  ]),
  row('MAIL is 530, not logged in', { script: { mail: '530 5.7.0 log in first' } }, [
    1,
    'mail',
    'authentication',
    'suspended',
  ]),
  row(
    'MAIL is 5xx',
    { script: { mail: '550 5.7.1 sender not allowed' } },
    [1, 'mail', 'sender', 'active'],
    'rejects',
  ),
  row(
    'MAIL is 552, the size',
    { script: { mail: '552 5.3.4 too large' } },
    [1, 'mail', 'size', 'active'],
    'rejects',
  ),
  row('MAIL drops', { script: { mail: drop } }, [3, 'mail', 'network', 'failing']),
  row('MAIL is answered with garbage', { script: { mail: garbage } }, [3, 'mail', 'protocol', 'failing']),
  row('RCPT is 4xx', { script: { rcpt: '450 4.2.0 greylisted' } }, [1, 'rcpt', 'mailbox', 'active']),
  row(
    'RCPT is 550 5.1.1',
    { script: { rcpt: '550 5.1.1 no such user' } },
    [1, 'rcpt', 'mailbox', 'active'],
    'ends',
  ),
  row(
    'RCPT is 553 5.1.3',
    { script: { rcpt: '553 5.1.3 bad address' } },
    [1, 'rcpt', 'mailbox', 'active'],
    'ends',
  ),
  row(
    'RCPT is 550 5.7.1',
    { script: { rcpt: '550 5.7.1 relaying denied' } },
    [1, 'rcpt', 'policy', 'active'],
    'rejects',
  ),
  row('RCPT is 530, not logged in', { script: { rcpt: '530 5.7.0 Authentication required' } }, [
    1,
    'rcpt',
    'authentication',
    'suspended',
  ]),
  row('RCPT is 550, authentication required', { script: { rcpt: '550 authentication required' } }, [
    1,
    'rcpt',
    'authentication',
    'active',
  ]),
  row(
    'RCPT is 550 5.7.133, a group that strangers may not write to',
    {
      script: {
        rcpt: '550 5.7.133 RESOLVER.RST.SenderNotAuthenticatedForGroup; authentication required; Delivery restriction check failed because the sender was not authenticated when sending to this group',
      },
    },
    [1, 'rcpt', 'policy', 'active'],
    'rejects',
  ),
  row('RCPT drops', { script: { rcpt: drop } }, [3, 'rcpt', 'network', 'active']),
  row('DATA is 4xx', { script: { data: '451 4.3.0 later' } }, [3, 'data', 'service', 'active']),
  row('DATA is 5xx', { script: { data: '554 5.7.1 refused' } }, [1, 'data', 'policy', 'active'], 'rejects'),
  row('DATA drops', { script: { data: drop } }, [3, 'data', 'network', 'active']),
  { ...cutShort('the connection drops in the middle of the content', drop), content: large },
  { ...cutShort('the connection is reset in the middle of the content', reset), content: large },
  row('the dot is 4xx', { script: { dot: '451 4.3.0 later' } }, [3, 'dot', 'service', 'active']),
  row('the dot is 421', { script: { dot: '421 4.3.0 closing' } }, [3, 'dot', 'service', 'failing']),
  row(
    'the dot is 5xx',
    { script: { dot: '554 5.6.0 content refused' } },
    [1, 'dot', 'content', 'active'],
    'rejects',
  ),
  row(
    'the connection drops after the dot',
    { script: { dot: drop } },
    [1, 'dot', 'network', 'active'],
    'unknown',
  ),
  row(
    'the mail is taken and the connection drops',
    { script: { dot: take() } },
    [1, 'dot', 'network', 'active'],
    'unknown',
  ),
  row(
    'the dot is answered with garbage',
    { script: { dot: garbage } },
    [1, 'dot', 'network', 'active'],
    'unknown',
  ),
];

/** Each takes as long as its time-outs, nearly all of it asleep. */
const silent: readonly Row[] = [
  silence('the greeting never comes', 'greeting', [3, 'failing']),
  silence('EHLO is not answered', 'ehlo', [3, 'failing']),
  silence('AUTH is not answered', 'auth', [3, 'failing'], account),
  silence('MAIL is not answered', 'mail', [3, 'failing']),
  silence('RCPT is not answered', 'rcpt', [3, 'failing']),
  silence('DATA is not answered', 'data', [3, 'active']),
  { ...silence('the dot is not answered', 'dot', [1, 'active']), outcome: 'unknown' },
];

function silence(
  fault: string,
  stage: Exclude<Parameters<typeof silentAt>[0], 'connect'>,
  [tries, state]: [number, State],
  setup: ProviderSetup = {},
): Row {
  const more = { script: { [stage]: stall }, entry: silentAt(stage) };
  return row(fault, { ...setup, ...more }, [tries, stage, 'network', state]);
}

/** The message is never whole at the provider. */
function cutShort(fault: string, body: Action): Row {
  return row(fault, { script: { bodyAfterBytes: 1_000_000, body } }, [3, 'body', 'network', 'active']);
}

function row(
  fault: string,
  setup: ProviderSetup,
  [tries, stage, failureClass, state]: [number, string, FailureClass, State],
  outcome: Row['outcome'] = 'waits',
): Row {
  return { fault, setup: { ...setup, name: 'faulty' }, tries, stage, class: failureClass, state, outcome };
}

function letterOf({ content }: Row): { content?: string } {
  return content === undefined ? {} : { content };
}

/** What the faulty provider has told, and nothing else has happened to it. */
async function checkFaulty(relay: RelayUnderTest, id: string, expected: Row): Promise<void> {
  const attempts = relay.heard('attempt').filter(({ provider }) => provider === 'faulty');
  const failures = attempts.map(({ stage, class: kind }) => ({ stage, class: kind }));
  const wanted = { stage: expected.stage, class: expected.class };
  assert.deepEqual(
    failures,
    Array.from({ length: expected.tries }, () => wanted),
  );
  await until(() => relay.status('faulty').state !== 'standby', 'the faulty one to be judged');
  assert.equal(relay.status('faulty').state, expected.state);
  assert.equal(
    await relay.metric('mailrelay_provider_attempts_total', { provider: 'faulty' }),
    expected.tries,
  );
  const unknown = expected.outcome === 'unknown' ? 1 : 0;
  assert.equal(relay.heard('delivery-ambiguous', id).length, unknown);
  assert.equal(await relay.metric('mailrelay_ambiguous_total'), unknown);
}

type Ending = 'delivered' | 'rejected' | 'waiting';

/** The message is where its state says, whole, and nowhere else. */
async function checkEnding(relay: RelayUnderTest, id: string, ending: Ending): Promise<void> {
  const stored = await relay.stored(id);
  const { messages, chunks, failed, dead, quarantine } = await relay.inventory();
  const file = [`${id}.eml`];
  const state = { delivered: undefined, rejected: 'dead', waiting: 'failed' }[ending];
  assert.equal(stored?.state, state);
  assert.deepEqual(
    { messages, chunks, failed, dead, quarantine },
    {
      messages: ending === 'delivered' ? 0 : 1,
      chunks: 0,
      failed: ending === 'waiting' ? file : [],
      dead: ending === 'rejected' ? file : [],
      quarantine: [],
    },
  );
  if (ending === 'waiting') assert.equal(stored?.recipients[0]?.state, 'pending');
  if (ending === 'rejected') assert.equal(stored?.recipients[0]?.state, 'rejected');
}

/** With time for all tries: however slow the machine, no mail goes on for lack of patience. */
function withProviders(providers: readonly ProviderSetup[]): Promise<RelayUnderTest> {
  return startRelay({ providers, config: { retry: { patienceSeconds: 60 } } });
}

async function proveFirst(expected: Row): Promise<void> {
  const relay = await withProviders([expected.setup!, { name: 'healthy' }]);
  try {
    const id = await relay.send(letterOf(expected));
    await relay.roundEnd(id);
    const next = expected.outcome === 'waits' || expected.outcome === 'rejects';
    assert.equal(relay.provider(1).messages.length, next ? 1 : 0);
    assert.equal(relay.heard('failover', id).length, failsOver(expected) ? 1 : 0);
    await checkFaulty(relay, id, expected);
    const ending = {
      waits: 'delivered',
      rejects: 'delivered',
      ends: 'rejected',
      unknown: 'waiting',
    } as const;
    await checkEnding(relay, id, ending[expected.outcome]);
  } finally {
    await relay.stop();
  }
}

const failsOver = ({ outcome }: Row): boolean => outcome === 'waits' || outcome === 'rejects';

async function proveLast(expected: Row): Promise<void> {
  const relay = await withProviders([{ name: 'down' }, expected.setup!]);
  try {
    await relay.provider(0).down();
    const id = await relay.send(letterOf(expected));
    await relay.roundEnd(id);
    await checkFaulty(relay, id, expected);
    // The provider that is down was not asked: a refusal by the other is not everybody's.
    await checkEnding(relay, id, expected.outcome === 'ends' ? 'rejected' : 'waiting');
  } finally {
    await relay.stop();
  }
}

async function proveAlone(expected: Row): Promise<void> {
  const relay = await withProviders([expected.setup!]);
  try {
    const id = await relay.send(letterOf(expected));
    await relay.roundEnd(id);
    await checkFaulty(relay, id, expected);
    const over = expected.outcome === 'ends' || expected.outcome === 'rejects';
    await checkEnding(relay, id, over ? 'rejected' : 'waiting');
  } finally {
    await relay.stop();
  }
}

type Position = readonly [string, (expected: Row) => Promise<void>, (expected: Row) => string];

const positions: readonly Position[] = [
  [
    'the first of two',
    proveFirst,
    ({ outcome }) =>
      ({
        waits: 'the next delivers',
        rejects: 'the next delivers',
        ends: 'the recipient is rejected',
        unknown: 'nobody else gets it',
      })[outcome],
  ],
  [
    'behind one that is down',
    proveLast,
    ({ outcome }) => (outcome === 'ends' ? 'the recipient is rejected' : 'the mail waits in emails/failed'),
  ],
  [
    'the only one',
    proveAlone,
    ({ outcome }) =>
      outcome === 'ends' || outcome === 'rejects'
        ? 'the recipient is rejected'
        : 'the mail waits in emails/failed',
  ],
];

for (const position of positions) {
  describe(`a faulty provider that is ${position[0]}`, { concurrency: 6 }, () => {
    for (const expected of [...connecting, ...transacting]) proveAt(position, expected);
  });
}

// All at once: together they take hardly longer than one.
describe('a provider that falls silent', { concurrency: true }, () => {
  for (const position of positions) {
    describe(`and is ${position[0]}`, { concurrency: true }, () => {
      for (const expected of silent) proveAt(position, expected);
    });
  }
});

function proveAt([, prove, result]: Position, expected: Row): void {
  const tries = expected.tries === 1 ? 'one try' : `${expected.tries} tries`;
  const title = `${expected.fault}: ${tries}, then ${result(expected)}; the provider is ${expected.state}`;
  test(title, () => prove(expected));
}

describe('a provider that cannot be connected to', { concurrency: true }, () => {
  const refused: Row = row('', {}, [3, 'connect', 'network', 'failing']);

  test('refused: 3 tries, then the next delivers; the provider is failing', async () => {
    const relay = await withProviders([{ name: 'faulty' }, {}]);
    try {
      await relay.provider(0).down();
      const id = await relay.send();
      await relay.roundEnd(id);
      assert.equal(relay.provider(1).messages.length, 1);
      await checkFaulty(relay, id, refused);
      await checkEnding(relay, id, 'delivered');
    } finally {
      await relay.stop();
    }
  });

  test('refused, and there is no other: 3 tries, then the mail waits in emails/failed', async () => {
    const relay = await withProviders([{ name: 'faulty' }]);
    try {
      await relay.provider(0).down();
      const id = await relay.send();
      await relay.roundEnd(id);
      await checkFaulty(relay, id, refused);
      await checkEnding(relay, id, 'waiting');
    } finally {
      await relay.stop();
    }
  });

  test('a black hole: 3 tries, then the next delivers; the provider is failing', async () => {
    const hole = await startBlackHole();
    const entry = { host: hole.host, port: hole.port, ...silentAt('connect') };
    const relay = await withProviders([{ name: 'faulty', entry }, {}]);
    try {
      const id = await relay.send();
      await relay.roundEnd(id);
      assert.equal(relay.provider(1).messages.length, 1);
      await relay.untilState('faulty', 'failing');
      await checkFaulty(relay, id, refused);
      await checkEnding(relay, id, 'delivered');
    } finally {
      await relay.stop();
      await hole.close();
    }
  });
});

describe('a full transaction', () => {
  const to = ['a', 'b', 'c', 'd', 'e'].map(name => `${name}@example.net`);

  test('RCPT 452 4.5.3 after some: the rest goes at once in new transactions to the same provider', async () => {
    const relay = await withProviders([{ name: 'faulty', maxRecipients: 2 }, {}]);
    try {
      const id = await relay.send({ to });
      await relay.roundEnd(id);
      const carried = relay.provider(0).messages.map(({ recipients }) => recipients);
      assert.deepEqual(carried, [to.slice(0, 2), to.slice(2, 4), to.slice(4)]);
      assert.equal(relay.provider(1).counters.connections, 0);
      assert.equal(relay.status('faulty').state, 'active');
      await checkEnding(relay, id, 'delivered');
    } finally {
      await relay.stop();
    }
  });
});
