import assert from 'node:assert/strict';
import { after, describe, test } from 'node:test';
import type { ProviderTimeouts } from '../../../relay/config/config.ts';
import { openSession } from '../../../relay/delivery/connection.ts';
import { type Fault, describe as inWords, type Stage } from '../../../relay/delivery/failure.ts';
import type { Session, TransactionEnvelope, TransactionReport } from '../../../relay/delivery/session.ts';
import { authority } from '../../smtp/certificates.ts';
import { type ProviderOptions, type ScriptedProvider, startProvider } from '../../smtp/provider.ts';
import { providerConfig } from '../../smtp/provider-config.ts';
import {
  type Action,
  both,
  drop,
  garbage,
  partial,
  raw,
  reset,
  type Script,
  stall,
  take,
} from '../../smtp/script.ts';
import { until } from '../../smtp/wait.ts';

const never = new AbortController().signal;
const open: { close(): Promise<void> }[] = [];
after(() => Promise.all(open.map(each => each.close())));

const LOCKSTEP = ['8BITMIME', 'SMTPUTF8'];
/** How the provider takes commands: a title and its EHLO keywords. */
const manners: readonly [string, ProviderOptions][] = [
  ['pipelined', {}],
  ['command by command', { extensions: LOCKSTEP }],
];

const message = Buffer.from('Message-ID: <1@test>\r\nSubject: x\r\n\r\n.dot\r\n..two\r\nend\r\n');

function envelope(changes: Partial<TransactionEnvelope> = {}): TransactionEnvelope {
  const plain = { sender: 'from@a.test', recipients: ['to@b.test'], eightBit: false, smtpUtf8: false };
  return { ...plain, size: message.length, ...changes };
}

interface Pair {
  readonly started: ScriptedProvider;
  readonly session: Session;
}

async function pair(
  options: ProviderOptions = {},
  script: Script = {},
  timeouts: Partial<ProviderTimeouts> = {},
): Promise<Pair> {
  const started = await startProvider(options);
  open.push(started);
  const session = await openSession(
    providerConfig(started, {
      ssl: options.tls === 'implicit',
      tls: { ca: authority().certificate },
      timeouts,
    }),
    never,
  );
  open.push({ close: async () => session.destroy() });
  started.follow(script);
  return { started, session };
}

const codes = ({ recipients }: TransactionReport) => recipients.map(reply => reply?.code);
const ended = ({ failure }: TransactionReport) =>
  failure === undefined ? undefined : [failure.stage, failure.fault, failure.reply?.code];
/** What people are told. */
const said = ({ failure }: TransactionReport) => (failure === undefined ? undefined : inWords(failure));

/** The connection is good for another transaction, and what that one carries arrives alone and whole. */
async function assertClean({ session, started }: Pair): Promise<void> {
  assert.equal(session.usable, true);
  started.follow({});
  const before = started.messages.length;
  const report = await session.transact(envelope({ recipients: ['next@b.test'] }), message);
  assert.equal(report.accepted?.code, 250);
  assert.equal(started.messages.length, before + 1);
  assert.deepEqual(started.messages.at(-1)?.recipients, ['next@b.test']);
  assert.deepEqual(started.messages.at(-1)?.body, message);
  assert.equal(started.sessions.length, 1);
}

async function assertClosed({ session, started }: Pair): Promise<void> {
  assert.equal(session.usable, false);
  await until(() => started.counters.connectionsNow === 0, 'the connection to be closed');
}

for (const [manner, options] of manners) {
  describe(`a transaction, ${manner},`, () => {
    test('delivers what it was given, byte for byte, to all recipients', async () => {
      const both = await pair(options);
      const recipients = ['a@b.test', 'c@d.test'];
      const report = await both.session.transact(envelope({ recipients }), message);
      assert.deepEqual(
        [codes(report), report.accepted?.enhanced, report.failure],
        [[250, 250], '2.0.0', undefined],
      );
      assert.equal(report.unanswered, false);
      const [received] = both.started.messages;
      assert.deepEqual([received?.sender, received?.recipients], ['from@a.test', recipients]);
      assert.deepEqual(received?.body, message);
      assert.equal(received?.parameters, `SIZE=${message.length}`);
      await assertClean(both);
      assert.equal(both.session.transactions, 2);
    });

    test('carries the null sender', async () => {
      const { session, started } = await pair(options);
      await session.transact(envelope({ sender: '' }), message);
      assert.equal(started.messages[0]?.sender, '');
    });

    test('gives each of 1,000 recipients its own reply', async () => {
      const recipients = Array.from({ length: 1000 }, (_, index) => `user${index}@b.test`);
      const both = await pair(options, {
        rcpt: ({ address = '' }) => {
          const index = Number(/\d+/.exec(address)?.[0]);
          return index % 7 === 0 ? `550 5.1.1 no ${index}` : undefined;
        },
      });
      const report = await both.session.transact(envelope({ recipients }), message);
      for (const [index, reply] of report.recipients.entries()) {
        assert.equal(reply?.code, index % 7 === 0 ? 550 : 250);
        if (index % 7 === 0) assert.equal(reply?.text, `no ${index}`);
      }
      assert.equal(report.accepted?.code, 250);
      assert.equal(both.started.messages[0]?.recipients.length, 1000 - 143);
      await assertClean(both);
    });

    test('keeps the replies of refused recipients when DATA is refused, and the next is clean', async () => {
      const both = await pair(options, {
        recipients: { 'bad@b.test': '550 5.1.1 no' },
        data: '451 4.3.0 not now',
      });
      const report = await both.session.transact(
        envelope({ recipients: ['bad@b.test', 'to@b.test'] }),
        message,
      );
      assert.deepEqual(
        [codes(report), ended(report)],
        [
          [550, 250],
          ['data', 'reply', 451],
        ],
      );
      await assertClean(both);
    });

    test('keeps them when the dot is refused', async () => {
      const both = await pair(options, {
        recipients: { 'bad@b.test': '452 4.2.2 full' },
        dot: '554 5.7.1 spam',
      });
      const report = await both.session.transact(
        envelope({ recipients: ['bad@b.test', 'to@b.test'] }),
        message,
      );
      assert.deepEqual(
        [codes(report), ended(report)],
        [
          [452, 250],
          ['dot', 'reply', 554],
        ],
      );
      await assertClean(both);
    });

    test('is no failure when every recipient was refused, and the next is clean', async () => {
      const both = await pair(options, { rcpt: ['550 5.1.1 no', '450 4.2.1 later'] });
      const report = await both.session.transact(envelope({ recipients: ['a@b.test', 'c@d.test'] }), message);
      assert.deepEqual([codes(report), ended(report), report.accepted], [[550, 450], undefined, undefined]);
      await assertClean(both);
      assert.ok(both.started.sessions[0]?.commands.includes('RSET'));
    });

    test('a refused sender says nothing about the recipients, and the next is clean', async () => {
      for (const reply of ['451 4.7.1 slow down', '550 5.7.1 not you']) {
        const both = await pair(options, { mail: reply });
        const report = await both.session.transact(envelope(), message);
        assert.deepEqual(
          [codes(report), ended(report)],
          [[undefined], ['mail', 'reply', Number(reply.slice(0, 3))]],
        );
        assert.equal(report.unanswered, false);
        await assertClean(both);
      }
    });

    test('a second one that a server would refuse for want of RSET shows that RSET was sent', async () => {
      const both = await pair(options, { data: '554 5.3.0 no' });
      await both.session.transact(envelope({ sender: 'first@a.test' }), message);
      both.started.follow({});
      await both.session.transact(envelope({ sender: 'second@a.test' }), message);
      assert.deepEqual(
        both.started.messages.map(({ sender }) => sender),
        ['second@a.test'],
      );
    });

    test('a refused RSET ends the connection, not the report', async () => {
      const both = await pair(options, { data: '554 5.3.0 no', rset: '500 what' });
      assert.deepEqual(ended(await both.session.transact(envelope(), message)), ['data', 'reply', 554]);
      await assertClosed(both);
    });

    test('declares BODY=8BITMIME and SMTPUTF8 when needed', async () => {
      const { session, started } = await pair(options);
      const body = Buffer.from('Subject: grüße\r\n\r\nüber\r\n');
      const recipients = ['用户@例え.test'];
      await session.transact(
        envelope({ sender: 'jörg@a.test', recipients, eightBit: true, size: body.length }),
        body,
      );
      const [received] = started.messages;
      assert.equal(received?.parameters, `SIZE=${body.length} BODY=8BITMIME SMTPUTF8`);
      assert.deepEqual(
        [received?.sender, received?.recipients, received?.body],
        ['jörg@a.test', recipients, body],
      );
    });

    test('an accepted reply of 2xx to DATA is no go-ahead', async () => {
      const both = await pair(options, { data: raw('250 fine\r\n') });
      const report = await both.session.transact(envelope(), message);
      assert.deepEqual(ended(report), ['data', 'garbled', 250]);
      assert.equal(said(report), 'data: answered out of place with 250 fine');
      await assertClosed(both);
    });

    test('354 to the dot is no acceptance, and people are told what was wrong with it', async () => {
      const both = await pair(options, { dot: raw('354 again\r\n') });
      const report = await both.session.transact(envelope(), message);
      assert.deepEqual(ended(report), ['dot', 'garbled', 354]);
      assert.equal(said(report), 'dot: answered out of place with 354 again');
      await assertClosed(both);
    });

    test('a reply too many ends the connection after the report', async () => {
      const both = await pair(options, { dot: '250 2.0.0 ok\n250 and more' });
      const report = await both.session.transact(envelope(), message);
      assert.equal(report.accepted?.code, 250);
      await assertClosed(both);
    });

    test('the beginning of a reply too many does as well', async () => {
      const both = await pair(options, { dot: raw('250 2.0.0 ok\r\n550 5.7') });
      const report = await both.session.transact(envelope(), message);
      assert.equal(report.accepted?.code, 250);
      await assertClosed(both);
    });
  });
}

/** Each fault, what it is reported as, its code, and whether the connection is done for. */
const faults: readonly [string, Action, Fault, number | undefined, 'open' | 'closed'][] = [
  ['a 4xx', '451 4.3.0 not now', 'reply', 451, 'open'],
  ['a 5xx', '554 5.7.1 never', 'reply', 554, 'open'],
  ['a 421', '421 4.7.0 closing', 'reply', 421, 'closed'],
  ['silence', stall, 'timeout', undefined, 'closed'],
  ['a closed connection', drop, 'lost', undefined, 'closed'],
  ['a reset connection', reset, 'lost', undefined, 'closed'],
  ['garbage', garbage, 'garbled', undefined, 'closed'],
  ['half a reply and an end', partial(6, '451 4.3.0 not now'), 'lost', undefined, 'closed'],
  [
    'a whole refusal without its CRLF and an end',
    partial(17, '451 4.3.0 not now'),
    'lost',
    undefined,
    'closed',
  ],
];

type Case = {
  readonly options: ProviderOptions;
  readonly stage: 'mail' | 'rcpt' | 'data' | 'dot';
  readonly action: Action;
  readonly fault: Fault;
  readonly code: number | undefined;
  readonly then: 'open' | 'closed';
};

const cases = manners.flatMap(([manner, options]) =>
  (['mail', 'rcpt', 'data', 'dot'] as const).flatMap(stage =>
    faults
      // A refused recipient is no failure of the transaction.
      .filter(([, , , , then]) => stage !== 'rcpt' || then === 'closed')
      .map(([title, action, fault, code, then]): [string, Case] => [
        `${manner}, ${stage}: ${title} is reported as ${fault}`,
        { options, stage, action, fault, code, then },
      ]),
  ),
);

async function check({ options, stage, action, fault, code, then }: Case): Promise<void> {
  const timeouts = fault === 'timeout' ? { commandMs: 150, finalDotMs: 150 } : {};
  const both = await pair(options, { [stage]: action }, timeouts);
  const report = await both.session.transact(envelope(), message);
  assert.deepEqual(ended(report), [stage, fault, code]);
  if (fault !== 'reply') assert.equal(said(report), `${stage}: ${report.failure?.message}`);
  assert.doesNotMatch(report.failure?.message ?? '', new RegExp(`^${stage}\\b`));
  assert.equal(report.accepted, undefined);
  const broken = fault === 'lost' || fault === 'timeout';
  assert.equal(report.unanswered, stage === 'mail' && broken);
  assert.equal(both.started.messages.length, 0);
  await (then === 'open' ? assertClean(both) : assertClosed(both));
}

describe('a transaction: stage by fault', () => {
  for (const [title, each] of cases) test(title, () => check(each));

  test('a 421 to one recipient keeps what the others were told', async () => {
    const both = await pair({}, { recipients: { 'b@x.test': '421 4.7.0 enough' } });
    const recipients = ['a@x.test', 'b@x.test', 'c@x.test'];
    const report = await both.session.transact(envelope({ recipients }), message);
    assert.deepEqual(
      [codes(report), ended(report)],
      [
        [250, 421, undefined],
        ['rcpt', 'reply', 421],
      ],
    );
    await assertClosed(both);
  });

  test('a message that the provider took without an answer is ambiguous: stage dot', async () => {
    for (const [action, fault] of [
      [take(drop), 'lost'],
      [take(reset), 'lost'],
      [take(stall), 'timeout'],
      [take(garbage), 'garbled'],
      [take(partial(3, '250 ok')), 'lost'],
    ] as const) {
      const both = await pair({}, { dot: action }, { finalDotMs: 150 });
      assert.deepEqual(ended(await both.session.transact(envelope(), message)), ['dot', fault, undefined]);
      assert.equal(both.started.messages.length, 1);
      await assertClosed(both);
    }
  });

  for (const [manner, options] of manners) {
    test(`${manner}: the server may end the session after any byte that it sends`, async () => {
      const whole = await pair(options);
      await whole.session.transact(envelope(), message);
      whole.session.destroy();
      const { started } = whole;
      const sizes =
        started.sessions[0]?.replies.map(reply => reply.length + 1 + reply.split('\n').length) ?? [];
      const setUp = (sizes[0] ?? 0) + (sizes[1] ?? 0);
      const ends = sizes
        .slice(2)
        .map((_, index) => sizes.slice(0, index + 3).reduce((sum, size) => sum + size, 0));
      const names: readonly Stage[] = ['mail', 'rcpt', 'data', 'dot'];
      for (let afterBytes = setUp; afterBytes < (ends.at(-1) ?? 0); afterBytes++) {
        started.follow({ spoil: { afterBytes, by: 'end' } });
        const session = await openSession(providerConfig(started), never);
        const report = await session.transact(envelope(), message);
        const stage = names[ends.findIndex(end => afterBytes < end)];
        const actual = report.failure?.stage;
        // Cut right before the answer to the dot, the end may be seen before the body is written.
        assert.ok(
          actual === stage || (stage === 'dot' && actual === 'body'),
          `${afterBytes}: ${actual}, not ${stage}`,
        );
        assert.equal(report.failure?.fault, 'lost');
        assert.equal(session.usable, false);
      }
    });
  }
});

describe('pipelining with a server that errs', () => {
  test('354 after a refused MAIL drops the connection', async () => {
    const both = await pair({}, { mail: '550 5.7.1 no', data: '354 go on' });
    assert.deepEqual(ended(await both.session.transact(envelope(), message)), ['mail', 'reply', 550]);
    await assertClosed(both);
    assert.equal(both.started.messages.length, 0);
  });

  test('354 with no recipient accepted is answered by a lone dot, and nothing is delivered', async () => {
    const both = await pair({}, { rcpt: '550 5.1.1 no', data: '354 go on' });
    const report = await both.session.transact(envelope(), message);
    assert.deepEqual([codes(report), ended(report), report.accepted], [[550], undefined, undefined]);
    assert.equal(both.started.messages.length, 0);
    await assertClean(both);
  });

  test('MAIL, RCPT and DATA leave in one write, body and dot in another', async () => {
    const { session, started } = await pair();
    const commands: number[] = [];
    started.follow({
      mail: () => {
        commands.push(started.sessions[0]?.commands.length ?? 0);
        return undefined;
      },
    });
    await session.transact(envelope({ recipients: ['a@b.test', 'c@d.test'] }), message);
    assert.deepEqual(
      started.sessions[0]?.commands.slice(1).map(line => line.slice(0, 4)),
      ['MAIL', 'RCPT', 'RCPT', 'DATA'],
    );
    assert.deepEqual(commands, [2]);
  });
});

describe('what is refused before a byte is sent', () => {
  test('a message larger than SIZE', async () => {
    const both = await pair({ maxSize: 1000 });
    const report = await both.session.transact(envelope({ size: 1001 }), message);
    assert.deepEqual(ended(report), ['mail', 'not-offered', undefined]);
    assert.match(report.failure?.message ?? '', /1001 bytes.* 1000/);
    assert.equal(both.started.sessions[0]?.commands.length, 1);
    await assertClean(both);
  });

  test('SMTPUTF8 where it is not offered', async () => {
    for (const changes of [{ smtpUtf8: true }, { sender: 'jörg@a.test' }, { recipients: ['ü@b.test'] }]) {
      const both = await pair({ extensions: ['PIPELINING'] });
      const report = await both.session.transact(envelope(changes), message);
      assert.deepEqual(ended(report), ['mail', 'not-offered', undefined]);
      await assertClean(both);
    }
  });

  test('a sender that would break out of its command', async () => {
    for (const sender of ['a@b\r\nRCPT TO:<x@y>', 'a@b\n', 'a\0@b', 'a@b> SIZE=1', '<a@b']) {
      const both = await pair();
      const report = await both.session.transact(envelope({ sender }), message);
      assert.deepEqual(ended(report), ['mail', 'reply', 553], JSON.stringify(sender));
      await assertClean(both);
    }
  });

  test('such a recipient, while the others get their mail', async () => {
    const both = await pair();
    const recipients = ['x@y>\r\nRSET', 'to@b.test', '', 'a\r@b', '<c@d'];
    const report = await both.session.transact(envelope({ recipients }), message);
    assert.deepEqual(codes(report), [553, 250, 553, 553, 553]);
    assert.equal(report.recipients[0]?.enhanced, '5.1.3');
    assert.deepEqual(both.started.messages[0]?.recipients, ['to@b.test']);
    await assertClean(both);
  });

  test('nothing is sent when no recipient can be', async () => {
    const both = await pair();
    const report = await both.session.transact(envelope({ recipients: ['x\n@y'] }), message);
    assert.deepEqual([codes(report), ended(report)], [[553], undefined]);
    await assertClean(both);
  });
});

describe('the body', () => {
  const line = Buffer.from(`${'.'.repeat(3)}${'x'.repeat(71)}\r\n`);
  /** `bytes` of dotted lines, in chunks that cut them anywhere. */
  async function* lines(bytes: number, chunk: number): AsyncGenerator<Buffer> {
    const all = Buffer.alloc(chunk + line.length);
    for (let at = 0; at < all.length; at += line.length) line.copy(all, at);
    for (let sent = 0; sent < bytes; sent += chunk) {
      const skip = sent % line.length;
      yield Buffer.from(all.subarray(skip, skip + Math.min(chunk, bytes - sent)));
    }
  }
  const collect = async (body: AsyncIterable<Buffer>) => Buffer.concat(await Array.fromAsync(body));
  const size = 76 * 70_000;

  for (const tls of ['none', 'implicit'] as const) {
    test(`of 5 MB arrives byte for byte, ${tls === 'none' ? 'in clear' : 'by TLS'}, in chunks or whole`, async () => {
      const both = await pair({ tls });
      const whole = await collect(lines(size, 100_000));
      for (const body of [lines(size, 262_144), lines(size, 1021), whole] as const) {
        const report = await both.session.transact(envelope({ size }), body);
        assert.equal(report.accepted?.code, 250);
        assert.ok(both.started.messages.at(-1)?.body.equals(whole));
      }
      await assertClean(both);
    });
  }

  test('of any size is sent with flat memory while the provider is slow to read', async () => {
    const both = await pair({ keep: 'count' }, { body: stall });
    let produced = 0;
    async function* endless(): AsyncGenerator<Buffer> {
      for await (const chunk of lines(200_000_000, 262_144)) {
        produced += chunk.length;
        yield chunk;
      }
    }
    const result = both.session.transact(envelope({ size: 1 }), endless());
    let last = -1;
    await until(async () => {
      const still = produced > 0 && produced === last;
      last = produced;
      await new Promise(resolve => setTimeout(resolve, 50));
      return still;
    }, 'the relay to stop reading');
    // What the sockets' buffers hold, and no more.
    assert.ok(produced < 20_000_000, `${produced}`);
    both.session.destroy();
    assert.deepEqual(ended(await result), ['body', 'lost', undefined]);
  });

  test('without CRLF at its end gets one, an empty one is empty', async () => {
    const { session, started } = await pair();
    await session.transact(envelope(), Buffer.from('a: b\r\n\r\nend'));
    await session.transact(envelope(), Buffer.alloc(0));
    assert.deepEqual(
      started.messages.map(({ body }) => body.toString()),
      ['a: b\r\n\r\nend\r\n', ''],
    );
  });

  test('never smuggles a second message out', async () => {
    const { session, started } = await pair();
    const second = 'MAIL FROM:<evil@x.test>\r\nRCPT TO:<v@b.test>\r\nDATA\r\nx\r\n.\r\n';
    for (const end of ['\r\n.\r\n', '\n.\n', '\n.\r\n', '\r.\r', '\r\n.\r', '\r.\r\n']) {
      const report = await session.transact(envelope(), Buffer.from(`a: b\r\n\r\none${end}${second}`));
      assert.equal(report.accepted?.code, 250);
    }
    assert.deepEqual(new Set(started.messages.map(({ sender }) => sender)), new Set(['from@a.test']));
    assert.equal(started.messages.length, 6);
    for (const { wire } of started.messages)
      assert.doesNotMatch(wire.toString('latin1'), /\r(?!\n)|(?<!\r)\n/);
  });

  test('that cannot be read is our fault: no dot, no message, connection closed', async () => {
    const both = await pair();
    async function* failing(): AsyncGenerator<Buffer> {
      yield message;
      throw Object.assign(new Error('EIO: i/o error, read'), { code: 'EIO' });
    }
    const report = await both.session.transact(envelope(), failing());
    assert.deepEqual(ended(report), ['body', 'local', undefined]);
    assert.equal(report.failure?.message, 'the stored message could not be read');
    assert.equal(report.failure?.detail, 'EIO: i/o error, read');
    await assertClosed(both);
    assert.equal(both.started.messages.length, 0);
    assert.equal(both.started.transactions[0]?.complete, false);
  });

  test('is not read when the envelope was refused, and released when it is cut short', async () => {
    let state = 'untouched';
    async function* watched(): AsyncGenerator<Buffer> {
      try {
        state = 'reading';
        yield* lines(50_000_000, 262_144);
      } finally {
        state = 'released';
      }
    }
    const both = await pair({}, { mail: '451 4.3.0 no' });
    await both.session.transact(envelope(), watched());
    assert.equal(state, 'untouched');
    both.started.follow({ bodyAfterBytes: 1_000_000, body: drop });
    await both.session.transact(envelope({ size: 1 }), watched());
    assert.equal(state, 'released');
  });

  for (const [title, action, fault, code] of [
    ['a refusal in the middle is taken as the answer', both('552 5.3.4 too big', drop), 'reply', 552],
    ['a 421 in the middle is taken as the answer', '421 4.3.0 shutting down', 'reply', 421],
    ['a 250 in the middle is no answer', both('250 ok', drop), 'garbled', 250],
    ['garbage in the middle is garbled', garbage, 'garbled', undefined],
    ['an end in the middle is a loss', drop, 'lost', undefined],
    ['a reset in the middle is a loss', reset, 'lost', undefined],
    ['no progress is a timeout', stall, 'timeout', undefined],
  ] as const) {
    test(`${title}, and the dot is not sent`, async () => {
      const timeouts = { dataBlockMs: fault === 'timeout' ? 200 : 5000 };
      const both = await pair({}, { bodyAfterBytes: 500_000, body: action }, timeouts);
      const report = await both.session.transact(envelope({ size: 1 }), lines(50_000_000, 262_144));
      assert.deepEqual(ended(report), ['body', fault, code]);
      assert.doesNotMatch(report.failure?.message ?? '', /^body\b/);
      assert.equal(both.session.usable, false);
      assert.equal(both.started.messages.length, 0);
    });
  }
});

test('a refusal in the middle of the body is heard though the provider resets the connection after it', async () => {
  async function* slowly(): AsyncGenerator<Buffer> {
    for (let sent = 0; sent < 100; sent++) {
      yield Buffer.from(`${'x'.repeat(262_142)}\r\n`);
      await new Promise(resolve => setTimeout(resolve, 0));
    }
  }
  const script = { bodyAfterBytes: 1_000_000, body: both('552 5.3.4 too big', reset) };
  for (const tls of ['none', 'implicit'] as const) {
    for (let tries = 0; tries < 15; tries++) {
      const { session } = await pair({ tls, keep: 'count' }, script);
      const report = await session.transact(envelope({ size: 1 }), slowly());
      assert.deepEqual(ended(report), ['body', 'reply', 552], `${tls} ${tries}`);
    }
  }
});

describe('a session that is no more', () => {
  test('found dead at the first command it says unanswered', async () => {
    const both = await pair();
    await both.started.down();
    const report = await both.session.transact(envelope(), message);
    assert.deepEqual([report.unanswered, report.failure?.fault], [true, 'lost']);
    assert.equal(said(report), `mail: ${report.failure?.message}`);
    assert.doesNotMatch(report.failure?.message ?? '', /^mail\b/);
    assert.deepEqual(codes(report), [undefined]);
  });

  test('destroyed in the middle it ends the transaction', async () => {
    const both = await pair({}, { mail: stall });
    const result = both.session.transact(envelope(), message);
    await until(() => (both.started.sessions[0]?.commands.length ?? 0) > 1, 'MAIL to arrive');
    both.session.destroy();
    assert.deepEqual(ended(await result), ['mail', 'lost', undefined]);
    assert.equal(said(await result), 'mail: closed by the relay');
    await assertClosed(both);
  });

  test('two transactions at one time are refused, and the first goes on', async () => {
    const both = await pair();
    const first = both.session.transact(envelope(), message);
    const second = await both.session.transact(envelope(), message);
    assert.equal(second.failure?.fault, 'lost');
    assert.equal((await first).accepted?.code, 250);
    assert.equal(both.started.messages.length, 1);
  });
});
