import assert from 'node:assert/strict';
import { describe as suite, test } from 'node:test';
import fc from 'fast-check';
import type { ReplyMeaning, ReplyRule } from '../../../relay/config/config.ts';
import {
  describe,
  type Failure,
  type Fault,
  type Reply,
  type Stage,
} from '../../../relay/delivery/failure.ts';
import { judge } from '../../../relay/delivery/judge.ts';
import { isPermanent } from '../../../relay/delivery/refusal.ts';
import type { ProviderEffect, Verdict } from '../../../relay/delivery/verdict.ts';

const before: readonly Stage[] = ['dns', 'connect', 'tls', 'greeting', 'ehlo', 'starttls', 'auth'];
const onwards: readonly Stage[] = ['mail', 'rcpt', 'data', 'body', 'dot'];
const stages: readonly Stage[] = [...before, ...onwards];

/** `550 5.1.1 No such user` as a reply. */
function reply(line: string): Reply {
  const parts = /^(\d{3})(?: (\d\.\d{1,3}\.\d{1,3}))?(?: (.*))?$/s.exec(line);
  assert.ok(parts, line);
  const [, code, enhanced, text = ''] = parts;
  return { code: Number(code), text, ...(enhanced === undefined ? {} : { enhanced }) };
}

function broken(stage: Stage, fault: Fault, message = 'something broke'): Failure {
  return { stage, fault, message };
}

function answered(stage: Stage, line: string): Failure {
  return { stage, fault: 'reply', reply: reply(line), message: line };
}

interface Row {
  readonly title: string;
  readonly failures: readonly Failure[];
  readonly acceptedBefore?: number;
  readonly expected: Partial<Verdict>;
}

const kept = { refused: false, ends: false, ambiguous: false } as const;

const rows: readonly Row[] = [
  {
    title: 'DNS, refused, timeout, reset | provider | same ≤3 | next yes | ends never',
    failures: [
      broken('dns', 'lost'),
      broken('dns', 'timeout'),
      broken('connect', 'lost'),
      broken('connect', 'timeout'),
      broken('tls', 'lost'),
      broken('greeting', 'timeout'),
      broken('ehlo', 'lost'),
      broken('auth', 'lost'),
      broken('mail', 'timeout'),
      broken('rcpt', 'timeout'),
    ],
    expected: { class: 'network', again: 'retry', next: true, effect: 'strike', ...kept },
  },
  {
    title:
      'closed upon a recipient, reset while the content is sent | counts once per message, so that one message cannot open the breaker',
    failures: [broken('rcpt', 'lost'), broken('data', 'lost'), broken('body', 'timeout')],
    expected: { class: 'network', again: 'retry', next: true, effect: 'soft-strike', ...kept },
  },
  {
    title: 'certificate, host name, TLS required but absent | provider | same no | next yes | ends never',
    failures: [
      broken('tls', 'certificate'),
      broken('starttls', 'certificate'),
      broken('starttls', 'not-offered'),
      answered('starttls', '502 5.5.1 STARTTLS not supported'),
      answered('mail', '530 5.7.0 Must issue a STARTTLS command first'),
    ],
    expected: { class: 'tls', again: 'no', next: true, effect: 'strike', ...kept },
  },
  {
    title: 'STARTTLS 4xx | provider | same ≤3 | next yes | ends never',
    failures: [answered('starttls', '454 4.7.0 TLS not available due to local problem')],
    expected: { class: 'tls', again: 'retry', next: true, effect: 'strike', ...kept },
  },
  {
    title: 'greeting or EHLO 4xx, 421 anywhere | provider | same ≤3 | next yes | ends never',
    failures: [
      answered('greeting', '421 Service not available'),
      answered('greeting', '450 4.3.2 System not accepting network messages'),
      answered('ehlo', '451 4.3.0 Local error'),
      answered('auth', '421 4.3.2 Shutting down'),
      answered('mail', '421 4.3.0 Temporary System Problem'),
      answered('rcpt', '421 4.3.2 Server shutting down'),
      answered('data', '421 4.4.5 Server busy, closing'),
      answered('dot', '421 4.3.0 Closing'),
    ],
    expected: { class: 'service', again: 'retry', next: true, effect: 'strike', ...kept },
  },
  {
    title: '421 that only ends this connection | retried, and no sign of a failing provider',
    failures: [
      answered('mail', '421 4.4.2 Connection timed out, idle'),
      answered('mail', '421 Maximum message count per session reached'),
      answered('rcpt', '421 4.7.0 mx.example Error: too many errors'),
      answered('rcpt', '421 4.7.0 Too many messages in this connection'),
    ],
    expected: { class: 'service', again: 'retry', next: true, effect: 'soft-strike', ...kept },
  },
  {
    title: 'greeting or EHLO 5xx | provider | same no | next yes | ends never',
    failures: [
      answered('greeting', '554 5.7.1 Your address is blocked'),
      answered('greeting', '554 No SMTP service here'),
      answered('ehlo', '550 5.7.1 Bad HELO'),
    ],
    expected: { class: 'service', again: 'no', next: true, effect: 'strike', ...kept },
  },
  {
    title: 'AUTH 5xx, AUTH not offered | provider: suspend | same no | next yes | ends never',
    failures: [
      answered('auth', '535 5.7.8 Username and Password not accepted'),
      answered('auth', '534 5.7.9 Application-specific password required'),
      answered('auth', '530 5.5.1 Authentication Required'),
      answered('auth', '504 5.5.4 Unrecognized authentication type'),
      answered('auth', '550 5.1.1 No such user'),
      broken('auth', 'not-offered'),
      answered('mail', '530 5.7.0 Authentication required'),
      answered('mail', '535 5.7.8 Credentials no longer valid'),
    ],
    expected: { class: 'authentication', again: 'no', next: true, effect: 'suspend', ...kept },
  },
  {
    title: 'AUTH 4xx, 432, 454 | provider: cool down | same ≤3 | next yes | ends never',
    failures: [
      answered('auth', '454 4.7.0 Temporary authentication failure'),
      answered('auth', '451 4.3.0 Backend down'),
      answered('auth', '432 4.7.12 A password transition is needed'),
      answered('mail', '454 4.7.0 Slow down'),
      answered('dot', '432 4.3.2 Concurrency'),
      answered('greeting', '421 4.7.0 Try again later, closing connection'),
    ],
    expected: { class: 'rate', again: 'retry', next: true, effect: 'cool-down', waitMs: 60_000, ...kept },
  },
  {
    title: 'MAIL 4xx | provider (often rate) | same ≤3 | next yes | ends no',
    failures: [answered('mail', '451 4.3.0 Local error'), answered('mail', '452 4.3.1 Out of space')],
    expected: { class: 'service', again: 'retry', next: true, effect: 'soft-strike', ...kept },
  },
  {
    title: 'MAIL 4xx | honour the named wait',
    failures: [
      answered('mail', '450 4.7.1 Please try again in 30 seconds'),
      answered('mail', '421 4.7.0 Slow down, retry after 30 s'),
    ],
    expected: { class: 'rate', again: 'retry', next: true, effect: 'cool-down', waitMs: 30_000, ...kept },
  },
  {
    title:
      'before MAIL, a named wait or a known throttle | provider: cool down | same no | next yes | ends never',
    failures: [
      answered('auth', '454 4.7.0 Wait for 30 seconds'),
      answered('greeting', '421 4.7.0 Try again in 30 seconds'),
    ],
    expected: { class: 'rate', again: 'no', next: true, effect: 'cool-down', waitMs: 30_000, ...kept },
  },
  {
    title:
      'MAIL 5xx (sender not allowed) | provider + message | same no | next yes | only when every provider said 5xx',
    failures: [
      answered('mail', '550 5.7.1 Sender not allowed'),
      answered('mail', '553 5.1.8 Sender domain does not exist'),
      answered('mail', '550 Bad sender'),
    ],
    expected: { class: 'sender', again: 'no', next: true, refused: true, ends: false, effect: 'none' },
  },
  {
    title:
      'MAIL 5xx (552 size) | provider + message | same no | next yes | only when every provider said 5xx',
    failures: [
      answered('mail', '552 5.3.4 Message size exceeds fixed limit'),
      answered('mail', '552 Too big'),
      broken('mail', 'not-offered', 'message of 9000000 bytes is over the SIZE that the provider offers'),
    ],
    expected: { class: 'size', again: 'no', next: true, refused: true, ends: false, effect: 'none' },
  },
  {
    title:
      'an extension that the message needs is not offered | provider + message | next yes | when every provider lacks it',
    failures: [broken('mail', 'not-offered', 'SMTPUTF8 is not offered')],
    expected: { class: 'content', again: 'no', next: true, refused: true, ends: false, effect: 'none' },
  },
  {
    title: 'MAIL 5xx (5.4.5 quota) | provider, and temporary whatever the 5xx says',
    failures: [answered('mail', '550 5.4.5 Daily user sending limit exceeded')],
    expected: { class: 'rate', again: 'no', next: true, effect: 'cool-down', waitMs: 3_600_000, ...kept },
  },
  {
    title: 'RCPT 4xx (greylist, full) | recipient | in a later round | next yes | ends no',
    failures: [
      answered('rcpt', '451 4.7.1 Greylisting in action'),
      answered('rcpt', '452 4.2.2 Mailbox full'),
      answered('rcpt', '450 4.1.1 User unknown in local recipient table'),
      answered('rcpt', '454 4.7.1 Relay access denied'),
    ],
    expected: { class: 'mailbox', again: 'no', next: true, effect: 'none', ...kept },
  },
  {
    title: "RCPT 4xx with a named wait | the wait is the recipient's, the provider is not cooled down",
    failures: [answered('rcpt', '450 4.7.1 Greylisted, try again in 300 seconds')],
    expected: { class: 'mailbox', again: 'no', next: true, effect: 'none', waitMs: 300_000, ...kept },
  },
  {
    title:
      'RCPT 4xx in words that anybody uses of a rate | recipient, the provider when several domains are answered so',
    failures: [
      answered('rcpt', '450 4.7.1 try again later, too many connections'),
      answered('rcpt', '451 4.7.1 Rate limit of this domain exceeded'),
      answered('rcpt', '454 4.7.1 throttled'),
    ],
    expected: { class: 'rate', again: 'no', next: true, effect: 'soft-cool-down', waitMs: 60_000, ...kept },
  },
  {
    title: 'RCPT 4xx in words that anybody uses of a quota, or with a named wait | the same, for longer',
    failures: [
      answered('rcpt', '452 4.7.1 daily limit reached'),
      answered('rcpt', '450 4.7.1 throttled, try again in 1 hour'),
    ],
    expected: {
      class: 'rate',
      again: 'no',
      next: true,
      effect: 'soft-cool-down',
      waitMs: 3_600_000,
      ...kept,
    },
  },
  {
    title: 'RCPT 4xx in words of the limit of an account, or 421 in any | provider: cool down',
    failures: [
      answered('rcpt', '450 4.7.0 peak SMTP relay limit exceeded'),
      answered('rcpt', '450 4.7.1 Error: too many recipients from 192.0.2.1'),
      answered('rcpt', '421 4.7.0 too many connections'),
    ],
    expected: { class: 'rate', next: true, effect: 'cool-down', waitMs: 60_000, ...kept },
  },
  {
    title:
      'RCPT 452 4.5.3 / 552 5.5.3 after ≥1 accepted | transaction | the rest at once in a new one | next – | ends no',
    acceptedBefore: 1,
    failures: [
      answered('rcpt', '452 4.5.3 Too many recipients'),
      answered('rcpt', '552 5.5.3 Too many recipients'),
      answered('rcpt', '550 5.5.3 Enough'),
      answered('rcpt', '452 Too many'),
      answered('rcpt', '552 Too many'),
      answered(
        'rcpt',
        '451 4.3.0 Multiple destination domains per transaction is unsupported. Please try again.',
      ),
    ],
    expected: { class: 'rate', again: 'rest-now', next: false, effect: 'none', ...kept },
  },
  {
    title: 'RCPT 452 4.5.3 / 552 5.5.3 with none accepted | a deferral, or it would go round for ever',
    failures: [
      answered('rcpt', '452 4.5.3 Too many recipients'),
      answered('rcpt', '552 5.5.3 Too many recipients'),
    ],
    expected: { class: 'mailbox', again: 'no', next: true, effect: 'none', ...kept },
  },
  {
    title: 'DATA or dot: too many recipients, of several | transaction | half as many at once | ends no',
    acceptedBefore: 2,
    failures: [
      answered('dot', '554 Transaction failed: Recipient count exceeds 50.'),
      answered('dot', '550 5.5.3 Enough'),
      answered('dot', '452 4.5.3 Enough'),
      answered('dot', '451 Too many recipients'),
      answered('dot', '421 4.5.3 Too many recipients'),
      answered('data', '452 4.5.3 Too many recipients'),
      answered('body', '552 5.5.3 Too many recipients'),
    ],
    expected: { class: 'rate', again: 'fewer', next: false, effect: 'none', ...kept },
  },
  {
    title: 'DATA or dot: too many recipients, of one | not to be split | next yes | ends no',
    acceptedBefore: 1,
    failures: [
      answered('dot', '554 Transaction failed: Recipient count exceeds 50.'),
      answered('dot', '550 5.5.3 Enough'),
    ],
    expected: { class: 'rate', again: 'no', next: true, effect: 'none', ...kept },
  },
  {
    title: 'MAIL: too many recipients | not this transaction’s, nobody has been named | next yes | ends no',
    failures: [
      answered('mail', '550 5.5.3 Too many recipients'),
      answered('mail', '452 Too many recipients'),
    ],
    expected: { class: 'rate', again: 'no', next: true, effect: 'none', ...kept },
  },
  {
    title:
      'RCPT 550 5.1.x, 553 5.1.3 (no such mailbox) | recipient | same no | next no | ends yes, that recipient',
    failures: [
      answered('rcpt', '550 5.1.1 No such user'),
      answered('rcpt', '550 5.1.2 Bad destination system'),
      answered('rcpt', '553 5.1.3 Bad address syntax'),
      answered('rcpt', '550 5.1.10 RESOLVER.ADR.RecipientNotFound'),
      answered('rcpt', '550 User unknown'),
    ],
    expected: { class: 'mailbox', again: 'no', next: false, refused: true, ends: true, effect: 'none' },
  },
  {
    title:
      'RCPT 5.7.x (policy, relaying denied, blocked) | provider + recipient | same no | next yes | only when every provider said 5xx',
    failures: [
      answered('rcpt', '550 5.7.1 Relaying denied'),
      answered('rcpt', '554 5.7.1 Relay access denied'),
      answered('rcpt', '550 5.7.606 Access denied, banned sending IP'),
    ],
    expected: { class: 'policy', again: 'no', next: true, refused: true, ends: false, effect: 'none' },
  },
  {
    title:
      'RCPT 5xx that says no more than its code | provider + recipient | next yes | only when every provider said 5xx',
    failures: [answered('rcpt', '550 Requested action not taken'), answered('rcpt', '554 Denied')],
    expected: { class: 'unknown', again: 'no', next: true, refused: true, ends: false, effect: 'none' },
  },
  {
    title: 'RCPT 5xx about the sender (delayed rejection) | provider + message, never the recipient’s end',
    failures: [
      answered('rcpt', '550 5.1.8 Bad sender domain'),
      answered('rcpt', '550 5.1.0 <a@b>: Sender address rejected: User unknown in virtual mailbox table'),
    ],
    expected: { class: 'sender', again: 'no', next: true, refused: true, ends: false, effect: 'none' },
  },
  {
    title:
      'RCPT 5xx with 5.1.0 (an address, whose it does not say) | next yes | only when every provider said 5xx',
    failures: [
      answered('rcpt', '550 5.1.0 <s@x.example>: Sender unknown'),
      answered('rcpt', '553 5.1.0 Address rejected'),
    ],
    expected: { class: 'unknown', again: 'no', next: true, refused: true, ends: false, effect: 'none' },
  },
  {
    title: 'RCPT 5xx with 5.1.0 in words that say that the mailbox is unknown | ends yes, that recipient',
    failures: [
      answered('rcpt', '550 5.1.0 <a@b.example>: User unknown'),
      answered('rcpt', '550 5.1.0 No such user here'),
    ],
    expected: { class: 'mailbox', again: 'no', next: false, refused: true, ends: true, effect: 'none' },
  },
  {
    title: 'DATA or dot 4xx | provider + message | same ≤3 | next yes | ends no',
    failures: [
      answered('data', '451 4.3.0 Local error'),
      answered('dot', '451 4.3.0 Queue file write error'),
      answered('dot', '450 Not now'),
    ],
    expected: { class: 'service', again: 'retry', next: true, effect: 'soft-strike', ...kept },
  },
  {
    title:
      'dot 5xx (size, content, policy) | provider + message | same no | next yes | only when every provider said 5xx',
    failures: [
      answered('dot', '552 5.3.4 Message too big'),
      answered('dot', '554 5.6.0 Malformed'),
      answered('dot', '554 5.7.1 Policy'),
      answered('dot', '554 Transaction failed'),
      answered('data', '554 5.5.1 No valid recipients'),
      answered('dot', '550 5.1.1 One of them does not exist'),
    ],
    expected: { again: 'no', next: true, refused: true, ends: false, effect: 'none' },
  },
  {
    title:
      'connection lost or silent after the dot | unknown | later, same Message-ID | next not at once | ends no; counted as ambiguous',
    failures: [
      broken('dot', 'lost'),
      broken('dot', 'timeout'),
      broken('dot', 'garbled'),
      answered('dot', '354 Go on'),
      broken('dot', 'reply'),
    ],
    expected: {
      class: 'network',
      again: 'no',
      next: false,
      ambiguous: true,
      refused: false,
      ends: false,
      effect: 'strike',
    },
  },
  {
    title: 'a reply that cannot be parsed | provider | same ≤3 | next yes | ends no',
    failures: [
      broken('greeting', 'garbled'),
      broken('mail', 'garbled'),
      answered('rcpt', '399 What'),
      answered('mail', '999 What'),
      broken('ehlo', 'reply'),
    ],
    expected: { class: 'protocol', again: 'retry', next: true, effect: 'strike', ...kept },
  },
  {
    title: 'bad sequence of commands | the session, not the mail | same ≤3 | next yes | ends no',
    failures: [answered('mail', '503 5.5.1 Nested MAIL command'), answered('data', '503 5.5.1 RCPT first')],
    expected: { class: 'protocol', again: 'retry', next: true, effect: 'soft-strike', ...kept },
  },
  {
    title: 'our own disk or database | us | stop sending',
    failures: stages.map(stage => broken(stage, 'local')),
    expected: { class: 'local', again: 'no', next: false, effect: 'none', ...kept },
  },
];

suite('judge', () => {
  for (const { title, failures, acceptedBefore = 0, expected } of rows) {
    test(title, () => {
      for (const failure of failures) {
        const { waitMs, ...verdict } = judge(failure, { acceptedBefore }, []);
        const found = expected.waitMs === undefined ? verdict : { ...verdict, waitMs };
        const wanted = { ...verdict, ...expected };
        assert.deepEqual(found, wanted, `${failure.stage}: ${describe(failure)}`);
      }
    });
  }

  test('an address in a reply is no word of the provider’s: whoever chooses it must not take a provider down', () => {
    for (const [line, plain] of [
      ['550 5.1.1 <throttle@x.example>: user unknown', '550 5.1.1 user unknown'],
      ['550 5.1.1 daily.limit@x.example... User unknown', '550 5.1.1 ... User unknown'],
      ['550 5.1.1 greylist@x.example does not exist here', '550 5.1.1 does not exist here'],
      ['550 5.7.1 <"authentication required"@x.example> refused', '550 5.7.1 refused'],
      ['550 5.7.1 "too many connections"@x.example refused', '550 5.7.1 refused'],
      ['450 4.2.0 <"try again in 999999 seconds"@x.example>: later', '450 4.2.0 later'],
      ['530 5.7.0 for <starttls@x.example>', '530 5.7.0 for'],
    ] as const) {
      for (const stage of ['mail', 'rcpt', 'dot'] as const) {
        const [found, wanted] = [line, plain].map(text =>
          judge(answered(stage, text), { acceptedBefore: 0 }, []),
        );
        assert.deepEqual(found, wanted, `${stage}: ${line}`);
      }
    }
    const rules: ReplyRule[] = [{ contains: 'hourly cap', meaning: 'rate-limited' }];
    const failure = answered('rcpt', '550 5.1.1 <"hourly cap"@x.example> unknown');
    assert.equal(judge(failure, { acceptedBefore: 0 }, rules).effect, 'none');
  });

  test('a 5xx that names a time to come back is no final word', () => {
    const mail = judge(
      answered('mail', '550 Too many messages. Try again in 92 seconds.'),
      { acceptedBefore: 0 },
      [],
    );
    assert.deepEqual(
      [mail.refused, mail.effect, mail.waitMs, mail.again],
      [false, 'cool-down', 92_000, 'no'],
    );
    const auth = judge(
      answered('auth', '550 Too many messages. Try again in 92 seconds.'),
      { acceptedBefore: 0 },
      [],
    );
    assert.deepEqual([auth.effect, auth.waitMs], ['cool-down', 92_000]);
    const rcpt = judge(answered('rcpt', '550 Greetings, come back in 5 minutes'), { acceptedBefore: 0 }, []);
    assert.deepEqual([rcpt.refused, rcpt.effect, rcpt.waitMs], [false, 'none', 300_000]);
  });
});

suite('rules of the configuration', () => {
  const context = { acceptedBefore: 0 };

  test('come before the built-in table', () => {
    const failure = answered('mail', '550 5.4.5 Daily user sending limit exceeded');
    const rule: ReplyRule = { enhanced: '5.4.5', meaning: 'sender-refused' };
    assert.equal(judge(failure, context, [rule]).class, 'sender');
    assert.equal(judge(failure, context, [{ ...rule, stage: 'rcpt' }]).class, 'rate');
  });

  test('can soften a 5xx', () => {
    const full = answered('rcpt', '552 5.2.2 Mailbox full');
    assert.equal(judge(full, context, []).refused, true);
    assert.equal(judge(full, context, [{ enhanced: '5.2.2', meaning: 'recipient-deferred' }]).refused, false);
  });

  test('cannot make a 4xx final, nor a failure before MAIL the message’s', () => {
    const rule: ReplyRule = { contains: 'unknown', meaning: 'no-such-mailbox' };
    const soft = judge(answered('rcpt', '450 4.1.1 unknown'), context, [rule]);
    assert.deepEqual([soft.refused, soft.ends], [false, false]);
    const early = judge(answered('greeting', '550 unknown'), context, [rule]);
    assert.deepEqual([early.refused, early.ends, early.effect], [false, false, 'strike']);
  });

  test('need something to recognise a reply by', () => {
    const rule: ReplyRule = { meaning: 'content-refused' };
    assert.equal(judge(answered('dot', '451 4.3.0 Later'), context, [rule]).class, 'service');
  });

  test('service-unavailable strikes as a 4xx and leaves a blocked account alone as a 5xx', () => {
    const rule: ReplyRule = { contains: 'maintenance', meaning: 'service-unavailable' };
    assert.equal(judge(answered('mail', '451 Maintenance'), context, [rule]).effect, 'strike');
    assert.equal(judge(answered('greeting', '554 Maintenance'), context, [rule]).effect, 'strike');
    const blocked = judge(answered('dot', '554 Maintenance'), context, [rule]);
    assert.deepEqual([blocked.effect, blocked.waitMs, blocked.refused], ['cool-down', 3_600_000, false]);
  });
});

suite('properties of judge', () => {
  const meanings: readonly ReplyMeaning[] = [
    'rate-limited',
    'quota-exceeded',
    'authentication-failed',
    'sender-refused',
    'no-such-mailbox',
    'recipient-deferred',
    'policy-refused',
    'content-refused',
    'too-large',
    'too-many-recipients',
    'service-unavailable',
  ];
  const faults: readonly Fault[] = [
    'reply',
    'timeout',
    'lost',
    'garbled',
    'certificate',
    'not-offered',
    'local',
  ];
  const texts = [
    '',
    'Too many recipients',
    'user unknown',
    'try again in 30 seconds',
    'must issue STARTTLS',
    'quota',
  ];
  const anyReply = fc.record(
    {
      code: fc.oneof(fc.integer({ min: 400, max: 599 }), fc.integer()),
      enhanced: fc.tuple(fc.constantFrom(4, 5), fc.nat(8), fc.nat(12)).map(parts => parts.join('.')),
      text: fc.oneof(fc.constantFrom(...texts), fc.string()),
    },
    { requiredKeys: ['code', 'text'] },
  );
  const anyFailure: fc.Arbitrary<Failure> = fc.record(
    {
      stage: fc.constantFrom(...stages),
      fault: fc.constantFrom(...faults),
      reply: anyReply,
      message: fc.string(),
    },
    { requiredKeys: ['stage', 'fault', 'message'] },
  );
  const anyRule: fc.Arbitrary<ReplyRule> = fc.record(
    {
      stage: fc.constantFrom(...stages),
      code: fc.integer({ min: 400, max: 599 }),
      contains: fc.constantFrom(...texts),
      meaning: fc.constantFrom(...meanings),
    },
    { requiredKeys: ['meaning'] },
  );
  const anyJudgement = fc
    .tuple(anyFailure, fc.nat(3), fc.array(anyRule, { maxLength: 3 }))
    .map(([failure, acceptedBefore, rules]) => ({
      failure,
      acceptedBefore,
      verdict: judge(failure, { acceptedBefore }, rules),
    }));

  const holds = (claim: (verdict: Verdict) => boolean): void =>
    fc.assert(
      fc.property(anyJudgement, ({ verdict }) => claim(verdict)),
      { numRuns: 2000 },
    );

  test('what ends is refused, and is tried nowhere else', () => {
    holds(verdict => !verdict.ends || (verdict.refused && !verdict.next && verdict.again === 'no'));
    holds(verdict => !verdict.refused || verdict.again === 'no');
  });

  test('what is ambiguous is neither refused nor tried at once', () => {
    holds(verdict => !verdict.ambiguous || !(verdict.refused || verdict.next || verdict.again !== 'no'));
  });

  test('a cool-down has a length, and every wait is between a second and a day', () => {
    const cools: readonly ProviderEffect[] = ['cool-down', 'soft-cool-down'];
    holds(({ effect, waitMs }) => !cools.includes(effect) || waitMs !== undefined);
    holds(({ waitMs = 1000 }) => waitMs >= 1000 && waitMs <= 86_400_000);
  });

  test('a 4xx never ends and never refuses, whatever the rules', () => {
    fc.assert(
      fc.property(anyJudgement, ({ failure, verdict }) => {
        fc.pre(failure.fault === 'reply' && failure.reply !== undefined);
        fc.pre(failure.reply !== undefined && failure.reply.code >= 400 && failure.reply.code < 500);
        assert.deepEqual([verdict.refused, verdict.ends], [false, false]);
      }),
      { numRuns: 2000 },
    );
  });

  test('nothing before MAIL ever ends or refuses a message', () => {
    fc.assert(
      fc.property(anyJudgement, ({ failure, verdict }) => {
        fc.pre(before.includes(failure.stage));
        assert.deepEqual([verdict.refused, verdict.ends, verdict.ambiguous], [false, false, false]);
      }),
      { numRuns: 2000 },
    );
  });

  test('after the dot, silence is ambiguous and an answer is not', () => {
    fc.assert(
      fc.property(anyJudgement, ({ failure, verdict }) => {
        fc.pre(failure.stage === 'dot' && failure.fault !== 'local' && failure.fault !== 'not-offered');
        const said = failure.fault === 'reply' && failure.reply !== undefined;
        const code = said && failure.reply !== undefined ? failure.reply.code : 0;
        assert.equal(verdict.ambiguous, !(code >= 400 && code <= 599));
      }),
      { numRuns: 2000 },
    );
  });

  test('only RCPT ends one recipient, and only after an acceptance does the rest go on at once', () => {
    fc.assert(
      fc.property(anyJudgement, ({ failure, acceptedBefore, verdict }) => {
        if (verdict.ends) assert.equal(failure.stage, 'rcpt');
        if (verdict.again === 'rest-now') assert.ok(failure.stage === 'rcpt' && acceptedBefore > 0);
      }),
      { numRuns: 2000 },
    );
  });

  test('only a message that was surely not taken, for several, is sent to fewer at once', () => {
    fc.assert(
      fc.property(anyJudgement, ({ failure, acceptedBefore, verdict }) => {
        if (verdict.again !== 'fewer') return;
        assert.ok(['data', 'body', 'dot'].includes(failure.stage) && acceptedBefore > 1);
        const { ambiguous, next, effect } = verdict;
        assert.deepEqual({ ambiguous, next, effect }, { ambiguous: false, next: false, effect: 'none' });
      }),
      { numRuns: 5000 },
    );
  });
});

suite('describe and isPermanent', () => {
  test('a reply is shown as it came, anything else with its stage', () => {
    assert.equal(describe(answered('rcpt', '550 5.1.1 No such user')), '550 5.1.1 No such user');
    assert.equal(describe(answered('mail', '451')), '451');
    assert.equal(describe(broken('connect', 'lost', 'connection refused')), 'connect: connection refused');
  });

  test('5xx is permanent, everything else is not', () => {
    assert.equal(isPermanent(reply('550 No')), true);
    assert.equal(isPermanent(reply('599 No')), true);
    assert.equal(isPermanent(reply('499 No')), false);
    assert.equal(isPermanent(reply('600 No')), false);
  });
});
