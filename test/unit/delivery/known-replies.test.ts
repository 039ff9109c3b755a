import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { describe as suite, test } from 'node:test';
import type { ReplyMeaning } from '../../../relay/config/config.ts';
import type { Reply, Stage } from '../../../relay/delivery/failure.ts';
import { judge } from '../../../relay/delivery/judge.ts';
import { knownReplies, lookUp } from '../../../relay/delivery/known-replies.ts';
import type { Verdict } from '../../../relay/delivery/verdict.ts';
import type { FailureClass } from '../../../relay/telemetry/events.ts';

/** What a published reply must come to: the class, and how the mail goes on. */
type Fate =
  /** The provider is left alone for that many seconds; the mail goes elsewhere or waits. */
  | { readonly cool: number }
  | 'suspended'
  /** This provider will never take it; ends when every provider says so. */
  | 'refused'
  /** The recipient is over. */
  | 'ended'
  /** Later; nothing held against the provider. */
  | 'deferred'
  /** The provider failed on this message, or altogether. */
  | 'soft-strike'
  | 'strike'
  /** Later; the provider is left alone when several recipient domains are answered so. */
  | 'soft-cool-down'
  | 'rest-now'
  /** Half as many at a time, at once. */
  | 'fewer';

type Published = readonly [stage: Stage, line: string, expected: FailureClass, fate: Fate];

function parse(line: string): Reply {
  const parts = /^(\d{3})(?: (\d\.\d{1,3}\.\d{1,3}))? (.*)$/s.exec(line);
  assert.ok(parts, line);
  const [, code, enhanced, text = ''] = parts;
  return { code: Number(code), text, ...(enhanced === undefined ? {} : { enhanced }) };
}

function fateOf(verdict: Verdict): Fate {
  if (verdict.ends) return 'ended';
  if (verdict.refused) return 'refused';
  if (verdict.again === 'rest-now' || verdict.again === 'fewer') return verdict.again;
  if (verdict.effect === 'cool-down') return { cool: (verdict.waitMs ?? 0) / 1000 };
  if (verdict.effect === 'suspend') return 'suspended';
  return verdict.effect === 'none' ? 'deferred' : verdict.effect;
}

const hour = { cool: 3600 };
const tenMinutes = { cool: 600 };
const aMinute = { cool: 60 };

const published: Readonly<Record<string, readonly Published[]>> = {
  'Gmail, Google Workspace': [
    [
      'dot',
      '550 5.4.5 Daily user sending limit exceeded. For more information, visit the help centre',
      'rate',
      hour,
    ],
    ['mail', '550 5.4.5 Daily SMTP relay sending limit exceeded for customer', 'rate', hour],
    ['dot', '550 5.7.1 Daily SMTP relay limit exceeded for user', 'rate', hour],
    [
      'rcpt',
      '450 4.2.1 Peak SMTP relay limit exceeded for customer. This is a temporary error',
      'rate',
      aMinute,
    ],
    ['greeting', '421 4.7.0 Try again later, closing connection', 'rate', aMinute],
    ['mail', '421 4.7.0 Temporary System Problem. Try again later', 'rate', aMinute],
    ['mail', '421 4.3.0 Temporary System Problem. Try again later', 'service', 'strike'],
    ['dot', '421 4.7.28 Our system has detected an unusual rate of unsolicited mail', 'rate', tenMinutes],
    ['dot', '550 5.7.1 Our system has detected an unusual rate of unsolicited mail', 'rate', tenMinutes],
    ['auth', '454 4.7.0 Too many login attempts, please try again later.', 'rate', tenMinutes],
    ['auth', '454 4.7.0 Cannot authenticate due to temporary system problem', 'rate', aMinute],
    [
      'auth',
      '534 5.7.14 Please log in through your web browser and then try again',
      'authentication',
      'suspended',
    ],
    ['auth', '535 5.7.8 Username and Password not accepted', 'authentication', 'suspended'],
    ['mail', '530 5.7.0 Authentication Required', 'authentication', 'suspended'],
    ['mail', '530 5.7.0 Must issue a STARTTLS command first', 'tls', 'strike'],
    ['rcpt', '550 5.7.1 Invalid credentials for relay', 'authentication', 'suspended'],
    [
      'rcpt',
      '450 4.2.1 The user you are trying to contact is receiving mail too quickly',
      'mailbox',
      'deferred',
    ],
    ['rcpt', '421 4.7.0 TLS required for RCPT domain, closing connection.', 'mailbox', 'deferred'],
    ['rcpt', '550 5.1.1 The email account that you tried to reach does not exist', 'mailbox', 'ended'],
    ['rcpt', '550 5.2.1 The email account that you tried to reach is disabled', 'mailbox', 'ended'],
    ['rcpt', '552 5.2.2 The email account that you tried to reach is over quota', 'mailbox', 'refused'],
    ['rcpt', '452 4.2.2 The email account that you tried to reach is over quota', 'mailbox', 'deferred'],
    ['rcpt', '452 4.5.3 Your message has too many recipients', 'rate', 'rest-now'],
    [
      'rcpt',
      '452 4.5.3 Domain policy size per transaction exceeded, please try this recipient in a separate transaction',
      'rate',
      'rest-now',
    ],
    [
      'rcpt',
      '451 4.3.0 Multiple destination domains per transaction is unsupported. Please try again',
      'rate',
      'rest-now',
    ],
    ['rcpt', '550 5.7.0 Mail relay denied', 'policy', 'refused'],
    [
      'dot',
      '552 5.7.0 This message was blocked because its content presents a potential security issue',
      'policy',
      'refused',
    ],
    ['dot', '552 5.2.3 Your message exceeded the size limits', 'size', 'refused'],
    ['dot', '451 4.3.0 Mail server temporarily rejected message', 'service', 'soft-strike'],
  ],
  'Microsoft 365': [
    ['dot', '432 4.3.2 STOREDRV.ClientSubmit; sender thread limit exceeded', 'rate', { cool: 10 }],
    ['mail', '432 4.3.2 Concurrent connections limit exceeded. Visit the help page', 'rate', { cool: 10 }],
    ['auth', '454 4.7.0 Temporary authentication failure', 'rate', aMinute],
    [
      'auth',
      '535 5.7.139 Authentication unsuccessful, SmtpClientAuthentication is disabled for the Tenant',
      'authentication',
      'suspended',
    ],
    [
      'mail',
      '530 5.7.57 Client was not authenticated to send anonymous mail during MAIL FROM',
      'authentication',
      'suspended',
    ],
    ['dot', '550 5.7.501 Access denied, spam abuse detected', 'service', hour],
    ['dot', '550 5.7.502 Access denied, banned sender', 'service', hour],
    ['rcpt', '550 5.7.503 Access denied, banned sender', 'service', hour],
    ['dot', '550 5.7.705 Access denied, tenant has exceeded threshold', 'rate', hour],
    ['dot', '550 5.1.90 Your message can’t be sent because you’ve reached your daily limit', 'rate', hour],
    [
      'dot',
      '550 5.7.232 Your trial tenant has exceeded its daily limit for external recipients',
      'rate',
      hour,
    ],
    [
      'dot',
      '554 5.2.0 STOREDRV.Submission.Exception:OutboundSpamException; Failed to process message due to a permanent exception',
      'service',
      hour,
    ],
    [
      'dot',
      '554 5.2.0 STOREDRV.Submission.Exception:OutboundSpamException; verdict is RefuseQuota',
      'rate',
      hour,
    ],
    [
      'dot',
      '554 5.2.0 STOREDRV.Submission.Exception:SendAsDeniedException.MapiExceptionSendAsDenied',
      'sender',
      'refused',
    ],
    ['dot', '550 5.7.60 SMTP; Client does not have permissions to send as this sender', 'sender', 'refused'],
    ['dot', '550 5.1.8 Access denied, bad outbound sender', 'sender', 'refused'],
    [
      'rcpt',
      '550 5.1.10 RESOLVER.ADR.RecipientNotFound; Recipient not found by SMTP address lookup',
      'mailbox',
      'ended',
    ],
    [
      'rcpt',
      '550 5.7.133 RESOLVER.RST.SenderNotAuthenticatedForGroup; authentication required; Delivery restriction check failed because the sender was not authenticated when sending to this group',
      'policy',
      'refused',
    ],
    [
      'dot',
      '550 5.7.133 RESOLVER.RST.SenderNotAuthenticatedForGroup; authentication required; Delivery restriction check failed because the sender was not authenticated when sending to this group',
      'policy',
      'refused',
    ],
    [
      'dot',
      '554 5.7.0 < #5.7.133 smtp;550 5.7.133 RESOLVER.RST.SenderNotAuthenticatedForGroup; authentication required; Delivery restriction check failed because the sender was not authenticated when sending to this group>',
      'policy',
      'refused',
    ],
    [
      'rcpt',
      '550 5.7.134 RESOLVER.RST.SenderNotAuthenticatedForMailbox; authentication required; Delivery restriction check failed because the sender was not authenticated when sending to this mailbox',
      'policy',
      'refused',
    ],
    ['rcpt', '550 5.7.136 Sender was not authenticated; authentication required', 'policy', 'refused'],
    ['rcpt', '550 5.7.1 RESOLVER.RST.AuthRequired; authentication required', 'policy', 'refused'],
    ['mail', '530 5.7.57 Client not authenticated to send mail.', 'authentication', 'suspended'],
    ['mail', '530 5.7.1 Client was not authenticated', 'authentication', 'suspended'],
    ['rcpt', '550 5.4.1 Recipient address rejected: Access denied', 'unknown', 'refused'],
    ['mail', '451 4.7.500 Server busy. Please try again later', 'rate', aMinute],
    ['rcpt', '452 4.5.3 Too many recipients', 'rate', 'rest-now'],
  ],
  'Amazon SES': [
    ['dot', '554 Transaction failed: Recipient count exceeds 50.', 'rate', 'fewer'],
    ['dot', '454 Throttling failure: Maximum sending rate exceeded.', 'rate', { cool: 5 }],
    ['data', '454 Throttling failure: Daily message quota exceeded.', 'rate', hour],
    ['auth', '454 Temporary authentication failure', 'rate', aMinute],
    ['auth', '535 Authentication Credentials Invalid', 'authentication', 'suspended'],
    ['mail', '530 Authentication required', 'authentication', 'suspended'],
    ['greeting', '421 Too many concurrent SMTP connections', 'rate', { cool: 10 }],
    ['mail', '421 Maximum message count per session reached', 'service', 'soft-strike'],
    ['mail', '451 Temporary service failure', 'service', 'soft-strike'],
    [
      'dot',
      '554 Message rejected: Email address is not verified. The following identities failed the check',
      'sender',
      'refused',
    ],
    [
      'dot',
      '554 Access denied: User `arn` is not authorized to perform `ses:SendRawEmail`',
      'sender',
      'refused',
    ],
    ['dot', '554 Message rejected: Sending paused for this account', 'service', hour],
    ['dot', '552 Message is too long.', 'size', 'refused'],
  ],
  SendGrid: [
    ['auth', '451 Authentication failed: Maximum credits exceeded', 'rate', hour],
    ['auth', '535 Authentication failed: Bad username / password', 'authentication', 'suspended'],
    ['mail', '550 Unauthenticated senders not allowed', 'authentication', 'suspended'],
    [
      'dot',
      '550 The from address does not match a verified Sender Identity. Mail cannot be sent until this error is resolved.',
      'sender',
      'refused',
    ],
    ['dot', '403 You are not authorized to send from that email address', 'sender', 'deferred'],
    ['rcpt', '450 too frequent connects from 192.0.2.1, please try again later.', 'rate', aMinute],
    ['rcpt', '452 Too many recipients received this hour', 'rate', 'rest-now'],
    ['dot', '451 Temporary local problem - please try later', 'service', 'soft-strike'],
  ],
  'Alibaba Mail, Aliyun DirectMail': [
    ['auth', '526 Authentication failure[0]', 'authentication', 'suspended'],
    ['auth', '526 Authentication failure[1]', 'authentication', 'suspended'],
    ['auth', '524 username or passwd is NULL', 'authentication', 'suspended'],
    ['mail', '553 Mail from must equal authorized user', 'sender', 'refused'],
    ['mail', "440 mail from account doesn't conform with authentication", 'sender', 'deferred'],
    ['mail', '501 "MAIL FROM" is non-local account', 'sender', 'refused'],
    ['mail', '450 "MAIL FROM" mailbox unavailable', 'sender', 'deferred'],
    ['mail', "541 This account isn't allowed to send email", 'service', hour],
    ['rcpt', "554 RCPT (a@example.com) dosn't exist", 'mailbox', 'ended'],
    ['rcpt', '553 "RCPT TO" mailbox unavailable', 'mailbox', 'ended'],
    ['rcpt', "503 Rcptto account isn't a local account", 'policy', 'refused'],
    ['rcpt', '504 the number of RCPT attempts is achieved the maximum threshold', 'rate', hour],
    ['rcpt', '505 the total of RCPTs is achieved the maximum threshold', 'rate', 'rest-now'],
    ['dot', '510 The length of DATA content is achieved the maximum threshold', 'size', 'refused'],
    ['dot', '551 virus infected mail rejected', 'content', 'refused'],
    ['dot', '554 Reject by content spam', 'content', 'refused'],
    ['dot', '554 Reject by behaviour spam', 'rate', tenMinutes],
    ['dot', '454 Transient reject by behaviour spam', 'rate', tenMinutes],
  ],
  Mailgun: [
    [
      'dot',
      '421 Domain mg.example.com is not allowed to send: recipient limit exceeded, try again after Mon, 25 Aug',
      'rate',
      hour,
    ],
    [
      'rcpt',
      '550 5.7.1 Sandbox subdomains are for test purposes only. Please add your own domain',
      'policy',
      'refused',
    ],
    [
      'dot',
      '550 5.7.1 Domain mg.example.com is not allowed to send: The domain is unverified',
      'sender',
      'refused',
    ],
    ['mail', '421 4.7.0 Rate limit reached', 'rate', aMinute],
    ['auth', '535 5.7.8 Authentication failed', 'authentication', 'suspended'],
    ['mail', '550 5.7.1 Unauthenticated email is not accepted', 'sender', 'refused'],
    ['dot', '550 Please activate your Mailgun account', 'service', hour],
  ],
  Postmark: [
    ['dot', '406 You tried to send to a recipient that has been marked as inactive', 'policy', 'deferred'],
    ['rcpt', '550 5.7.1 Inactive recipient', 'policy', 'refused'],
    ['dot', '550 The Sender Signature for a@example.com is not confirmed', 'sender', 'refused'],
    [
      'dot',
      '550 While your account is pending approval, all recipient addresses must share the domain',
      'policy',
      'refused',
    ],
    ['dot', '550 You are not allowed to send: out of credits', 'service', hour],
  ],
  'many (Postfix, Exim, Sendmail, qmail, Coremail, Yandex, Postal)': [
    ['rcpt', '452 4.2.2 The recipient reached the daily limit of incoming messages', 'mailbox', 'deferred'],
    ['rcpt', '550 5.1.1 unknown mailbox at throttled-domain.example', 'mailbox', 'ended'],
    ['rcpt', '550 5.7.1 You are not allowed to send to this mailing list', 'policy', 'refused'],
    ['mail', '550 5.7.1 You are not allowed to send from a@example.com', 'sender', 'refused'],
    [
      'dot',
      '554 5.7.1 Message rejected: sender not allowed to send attachments of this type',
      'policy',
      'refused',
    ],
    // Words of a rate in a 4xx are a request to all; in a 5xx they may be about this mail, and pass with time.
    ['mail', '450 4.7.1 Rate limit exceeded', 'rate', aMinute],
    ['dot', '451 4.7.1 Sending quota used up', 'rate', hour],
    ['greeting', '554 5.7.1 Too many connections from your address', 'rate', aMinute],
    ['auth', '550 5.7.1 Daily limit reached', 'rate', hour],
    ['mail', '550 5.7.1 Too many concurrent messages of this sender', 'rate', 'deferred'],
    ['mail', '550 5.7.1 Your daily limit is reached', 'rate', 'deferred'],
    ['rcpt', '550 5.7.1 The list is throttled', 'rate', 'deferred'],
    ['rcpt', '550 Rate limit of this domain exceeded', 'rate', 'deferred'],
    ['dot', '554 5.7.1 Sending quota exceeded', 'rate', 'deferred'],
    ['dot', '554 5.7.1 Too much mail from this sender', 'rate', 'deferred'],
    ['dot', '550 5.7.1 Sending limit reached. Try again in 90 seconds', 'rate', { cool: 90 }],
    ['rcpt', '550 5.7.1 Rate limit reached. Try again in 90 seconds', 'mailbox', 'deferred'],
    ['rcpt', '450 4.7.1 Too many concurrent connections for this domain', 'rate', 'soft-cool-down'],
    ['rcpt', '451 4.7.1 Sending limit reached', 'rate', 'soft-cool-down'],
    ['rcpt', '452 4.5.3 Recipient limit exceeded', 'rate', 'rest-now'],
    ['dot', '550 5.5.3 Recipient limit exceeded', 'rate', 'fewer'],
    ['rcpt', '553 5.7.1 <a@b>: Sender address rejected: not owned by user c', 'sender', 'refused'],
    [
      'rcpt',
      '550 5.1.1 <a@b>: Recipient address rejected: User unknown in local recipient table',
      'mailbox',
      'ended',
    ],
    ['rcpt', '554 5.7.1 <a@b>: Relay access denied', 'policy', 'refused'],
    ['mail', '530 5.7.0 Authentication required', 'authentication', 'suspended'],
    ['mail', '550 5.7.1 Authentication Required', 'authentication', 'suspended'],
    ['rcpt', '530 5.7.0 Authentication required', 'authentication', 'suspended'],
    ['rcpt', '530 SMTP authentication is required.', 'authentication', 'suspended'],
    [
      'rcpt',
      '550 Please turn on SMTP Authentication in your mail client, or login to the IMAP/POP3 server before sending your message. (relay.example) [192.0.2.1]:42630 is not permitted to relay through this server without authentication.',
      'authentication',
      'suspended',
    ],
    ['rcpt', '550 authentication required', 'authentication', 'soft-strike'],
    ['rcpt', '550 smtp auth required', 'authentication', 'soft-strike'],
    ['rcpt', '454 4.7.1 Authentication required', 'authentication', 'soft-strike'],
    ['rcpt', '550 5.7.1 You are required to authenticate to send email to <a@b>', 'policy', 'refused'],
    ['rcpt', '553 5.7.1 <a@b>: Sender address rejected: not logged in', 'sender', 'refused'],
    [
      'dot',
      '550 5.7.1 Authentication required: DMARC validation failed or missing',
      'authentication',
      'soft-strike',
    ],
    ['dot', '530 From/Sender name is not valid', 'sender', 'refused'],
    ['rcpt', '450 4.7.1 Error: too many recipients from 192.0.2.1', 'rate', aMinute],
    ['mail', '450 4.7.1 Error: too much mail from 192.0.2.1', 'rate', aMinute],
    ['greeting', '421 4.7.0 mx.example.com Error: too many connections from 192.0.2.1', 'rate', aMinute],
    ['dot', '452 4.3.1 Insufficient system storage', 'service', 'soft-strike'],
    ['rcpt', '450 4.2.0 Greylisted, see the help page', 'mailbox', 'deferred'],
    [
      'rcpt',
      '451 4.5.1 The recipient has exceeded their message rate limit. Try again later',
      'mailbox',
      'deferred',
    ],
    ['mail', '503 Error: need EHLO and AUTH first !', 'authentication', 'suspended'],
    ['rcpt', '550 Sender verify failed', 'sender', 'refused'],
    ['rcpt', '550 no such user here', 'mailbox', 'ended'],
    ['dot', '552 5.3.4 Error: message file too big', 'size', 'refused'],
  ],
};

suite('published replies', () => {
  for (const [provider, replies] of Object.entries(published)) {
    test(`${provider}: each published reply is taken for what it means`, () => {
      for (const [stage, line, expected, fate] of replies) {
        const reply = parse(line);
        // Recipient limits are judged as they are met: after some were accepted.
        const verdict = judge({ stage, fault: 'reply', reply, message: line }, { acceptedBefore: 2 }, []);
        assert.deepEqual([verdict.class, fateOf(verdict)], [expected, fate], `${stage}: ${line}`);
      }
    });
  }

  test('every provider in the table has published replies in this test', () => {
    assert.deepEqual(
      knownReplies.map(({ provider }) => provider),
      Object.keys(published),
    );
  });

  test('every row names what it recognises, and its text is in lower case', () => {
    for (const { provider, source, replies } of knownReplies) {
      assert.notEqual(source, '', provider);
      for (const { code, enhanced, contains } of replies) {
        assert.ok(code !== undefined || enhanced !== undefined || contains !== undefined, provider);
        assert.equal(contains, contains?.toLowerCase());
      }
    }
  });
});

test('docs/delivery.md shows every row of the table, in its order, under its provider and source', () => {
  const page = readFileSync(new URL('../../../docs/delivery.md', import.meta.url), 'utf8');
  const find = (text: string, from: number): number => {
    const found = page.indexOf(text, from);
    assert.notEqual(found, -1, text);
    return found + text.length;
  };
  let place = find('## Known replies', 0);
  for (const { provider, source, replies } of knownReplies) {
    place = find(`Source: ${source}\n`, find(`### ${provider}\n`, place));
    for (const { stage, code, enhanced, contains, meaning } of replies) {
      const shown = [code, enhanced, contains === undefined ? undefined : `"${contains}"`]
        .filter(part => part !== undefined)
        .map(part => `\`${part}\``)
        .join(' ');
      place = find(
        `\n| ${stage === undefined ? '' : `at ${stage.toUpperCase()}: `}${shown} | ${meaning} |`,
        place,
      );
    }
  }
});

suite('lookUp', () => {
  const reply = parse('451 4.7.1 Please WAIT a little');

  const cases: readonly (readonly [string, object, boolean])[] = [
    ['text regardless of case', { contains: 'please wait' }, true],
    ['another text', { contains: 'please go' }, false],
    ['code', { code: 451 }, true],
    ['another code', { code: 450 }, false],
    ['enhanced code', { enhanced: '4.7.1' }, true],
    ['part of an enhanced code', { enhanced: '4.7' }, false],
    ['stage and code', { stage: 'mail', code: 451 }, true],
    ['another stage', { stage: 'rcpt', code: 451 }, false],
    ['all but one condition', { stage: 'mail', code: 451, contains: 'nothing' }, false],
    ['the stage alone', { stage: 'mail' }, false],
  ];
  for (const [title, conditions, fits] of cases) {
    test(`a rule by ${title} ${fits ? 'fits' : 'does not fit'}`, () => {
      const meaning: ReplyMeaning = 'content-refused';
      const found = lookUp('mail', reply, [{ ...conditions, meaning }]);
      assert.equal(found?.meaning, fits ? meaning : undefined);
    });
  }
});
