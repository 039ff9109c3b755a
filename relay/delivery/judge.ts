/**
 * What a failure means: whose fault it is, whether to try again, and where.
 * The stage decides the scope, the enhanced code and the known texts decide
 * how long; the bare code comes last, because it is what misleads. Guarantees
 * that hold whatever the rules say: nothing before MAIL ends or refuses mail,
 * no 4xx does, and an unanswered final dot is never tried elsewhere at once.
 */
import type { ReplyRule } from '../config/config.ts';
import type { FailureClass } from '../telemetry/events.ts';
import { withoutAddresses } from './addresses.ts';
import { namedWait } from './backoff.ts';
import type { Failure, Reply, Stage } from './failure.ts';
import { type Known, lookUp } from './known-replies.ts';
import { type ProviderEffect, type Verdict, verdict } from './verdict.ts';

export interface JudgeContext {
  /** RCPTs accepted before in the same transaction; for what ends it at RCPT itself 0. */
  readonly acceptedBefore: number;
}

/** Wait after a throttle that names none. */
const throttleMs = 60_000;

/** Wait after a quota of a day, or an account that a person has to free. */
const quotaMs = 3_600_000;

/** Codes by which a provider says at any stage that we have not logged in as it wants (RFC 4954 section 6). */
const credentialCodes: ReadonlySet<number> = new Set([530, 534, 535, 538]);

const beforeMail: ReadonlySet<Stage> = new Set([
  'dns',
  'connect',
  'tls',
  'greeting',
  'ehlo',
  'starttls',
  'auth',
]);

/** A 421 that ends this connection alone: it was idle, has carried its share, or many recipients of one message were bad (Postfix). */
const sessionOver = /\b(too many errors|idle|time-?out|timed out|(per|this|same|in) (session|connection))\b/i;

const throttleMeant: Verdict = verdict('rate', { effect: 'cool-down', waitMs: throttleMs });
const credentialsRefused: Verdict = verdict('authentication', { effect: 'suspend' });

/** Judges one failure. Total: whatever is passed in, there is a verdict. Throws nothing. */
export function judge(failure: Failure, context: JudgeContext, rules: readonly ReplyRule[]): Verdict {
  const { stage, fault, reply } = failure;
  if (fault === 'local') return verdict('local', { next: false });
  if (fault === 'not-offered') return judgeMissing(failure);
  if (fault === 'reply' && reply !== undefined && isRefusal(reply)) {
    const { acceptedBefore } = context;
    return judgeReply({
      stage,
      reply: { ...reply, text: withoutAddresses(reply.text) },
      acceptedBefore,
      rules,
    });
  }
  // Whatever else happened after the dot, the provider may have taken the mail.
  if (stage === 'dot') return verdict('network', { next: false, ambiguous: true, effect: 'strike' });
  if (fault === 'certificate') return verdict('tls', { effect: 'strike' });
  const garbled = fault === 'garbled' || fault === 'reply';
  return verdict(garbled ? 'protocol' : 'network', { again: 'retry', effect: brokenEffect(failure) });
}

/** 5xx: the sender must not repeat it unchanged (RFC 5321 section 4.2.1). */
export function isPermanent(reply: Reply): boolean {
  return reply.code >= 500 && reply.code <= 599;
}

interface Refusal {
  readonly stage: Stage;
  readonly reply: Reply;
  readonly acceptedBefore: number;
  readonly rules: readonly ReplyRule[];
}

function isRefusal(reply: Reply): boolean {
  return reply.code >= 400 && reply.code <= 599;
}

/**
 * A connection that is closed upon a recipient, or breaks while content is
 * sent, may be the message's doing: one message must not open the breaker.
 */
function brokenEffect({ stage, fault }: Failure): ProviderEffect {
  const uponRecipient = stage === 'rcpt' && fault === 'lost';
  return uponRecipient || stage === 'data' || stage === 'body' ? 'soft-strike' : 'strike';
}

/** The provider lacks an extension. From MAIL on it is this message that needs it (RFC 6531, RFC 1870). */
function judgeMissing({ stage, message }: Failure): Verdict {
  if (stage === 'auth') return credentialsRefused;
  if (stage === 'tls' || stage === 'starttls') return verdict('tls', { effect: 'strike' });
  if (beforeMail.has(stage)) return verdict('protocol', { effect: 'strike' });
  const size = /\b(size|large|bytes|octets)\b/i.test(message);
  return verdict(size ? 'size' : 'content', { refused: true });
}

function judgeReply(refusal: Refusal): Verdict {
  const { stage, reply, rules } = refusal;
  const known = lookUp(stage, reply, rules);
  const meant = known === undefined ? undefined : byMeaning(known, refusal);
  if (meant !== undefined) return meant;
  if (reply.code === 421) return judgeClosing(stage, reply);
  if (beforeMail.has(stage)) return judgeBeforeMail(stage, reply);
  if (credentialCodes.has(reply.code)) return judgeCredentials(reply);
  // Bad sequence: the two sides disagree about where they are, which says nothing about the mail.
  if (reply.code === 503) return verdict('protocol', { again: 'retry', effect: 'soft-strike' });
  if (stage === 'rcpt') return judgeRecipient(refusal);
  return isPermanent(reply) ? judgePermanent(refusal) : judgeDeferral(refusal);
}

/** 5xx at MAIL, DATA or the dot. */
function judgePermanent(refusal: Refusal): Verdict {
  const { stage, reply } = refusal;
  if (reply.enhanced === '5.5.3') return tooManyAtOnce(refusal);
  // A 5xx that names a time to come back is no final word.
  return namedWait(reply.text) === undefined ? refused(classOf(stage, reply)) : throttled(refusal);
}

/** What a known reply calls for; undefined when it cannot mean that at this stage. */
function byMeaning(known: Known, refusal: Refusal): Verdict | undefined {
  const { stage, reply } = refusal;
  if (known.meaning === 'authentication-failed') return notLoggedIn(known, refusal);
  if (known.generic && isPermanent(reply) && !beforeMail.has(stage)) return passing(reply);
  switch (known.meaning) {
    case 'rate-limited':
      return perhapsOfDomain(known, refusal, throttled(refusal, known.waitMs));
    case 'quota-exceeded':
      return perhapsOfDomain(known, refusal, outOfQuota(reply, known.waitMs));
    case 'service-unavailable':
      return judgeUnavailable(refusal, known.waitMs);
    default:
      return beforeMail.has(stage) ? undefined : byMailMeaning(known, refusal);
  }
}

/** The meanings that are about a message or a recipient. */
function byMailMeaning(known: Known, refusal: Refusal): Verdict | undefined {
  switch (known.meaning) {
    case 'sender-refused':
      return refusedIfPermanent('sender', refusal.reply);
    case 'policy-refused':
      return refusedIfPermanent('policy', refusal.reply);
    case 'content-refused':
      return refusedIfPermanent('content', refusal.reply);
    case 'too-large':
      return refusedIfPermanent('size', refusal.reply);
    case 'recipient-deferred':
      return deferredRecipient(refusal.reply);
    case 'no-such-mailbox':
      return refusal.stage === 'rcpt' && isPermanent(refusal.reply) ? noSuchMailbox : undefined;
    case 'too-many-recipients':
      return refusal.stage === 'rcpt' ? tooMany(refusal) : tooManyAtOnce(refusal);
    default:
      return undefined;
  }
}

const noSuchMailbox: Verdict = verdict('mailbox', { next: false, refused: true, ends: true });

function refused(failureClass: FailureClass): Verdict {
  return verdict(failureClass, { refused: true });
}

function refusedIfPermanent(failureClass: FailureClass, reply: Reply): Verdict {
  return verdict(failureClass, { refused: isPermanent(reply) });
}

function deferredRecipient(reply: Reply): Verdict {
  return verdict('mailbox', named(reply));
}

/**
 * A throttle known as such. Only a 4xx invites the same message again, and
 * never at RCPT: its transaction goes on without it. Another login would only
 * add to what is counted against us.
 */
function throttled({ stage, reply }: Refusal, waitMs: number = throttleMs): Verdict {
  const again = isPermanent(reply) || stage === 'rcpt' || beforeMail.has(stage) ? 'no' : 'retry';
  return { ...throttleMeant, again, waitMs: namedWait(reply.text) ?? waitMs };
}

function outOfQuota(reply: Reply, waitMs: number = quotaMs): Verdict {
  return { ...throttleMeant, waitMs: namedWait(reply.text) ?? waitMs };
}

/**
 * A 4xx at RCPT in words that anybody uses may be about that recipient's domain
 * alone: one slow destination must not keep all other mail from the provider.
 * A 421 is said to the whole connection.
 */
function perhapsOfDomain({ generic }: Known, { stage, reply }: Refusal, meant: Verdict): Verdict {
  const doubtful = generic === true && stage === 'rcpt' && reply.code !== 421;
  return doubtful ? { ...meant, effect: 'soft-cool-down' } : meant;
}

/**
 * Words of a rate or a limit in a 5xx from MAIL on may be about this sender,
 * list or domain alone, so the provider is not held from others; but they pass
 * with time, so the mail is not refused. Undefined where a time is named: that
 * is judged as in any other 5xx.
 */
function passing(reply: Reply): Verdict | undefined {
  return namedWait(reply.text) === undefined ? verdict('rate') : undefined;
}

/**
 * Words of logging in that a recipient, a sender or a mail may be meant by: one of these must not suspend the
 * provider, nor be the end of mail that only lacks a password in the configuration. Ten mails in a row open its breaker.
 */
function notLoggedIn({ generic }: Known, { stage, reply }: Refusal): Verdict {
  const sure = !generic || beforeMail.has(stage) || credentialCodes.has(reply.code);
  return sure ? credentialsRefused : verdict('authentication', { effect: 'soft-strike' });
}

/** As a 5xx after login it is the account that is blocked: a probe could not see it, so it is left alone. */
function judgeUnavailable({ stage, reply }: Refusal, waitMs: number = quotaMs): Verdict {
  if (!isPermanent(reply)) return verdict('service', { again: 'retry', effect: 'strike', ...named(reply) });
  if (beforeMail.has(stage)) return verdict('service', { effect: 'strike', ...named(reply) });
  return verdict('service', { effect: 'cool-down', waitMs: namedWait(reply.text) ?? waitMs });
}

/** 421 at any stage: the connection ends (RFC 5321 section 3.8). */
function judgeClosing(stage: Stage, reply: Reply): Verdict {
  const again = 'retry';
  if (!beforeMail.has(stage) && sessionOver.test(reply.text)) {
    return verdict('service', { again, effect: 'soft-strike' });
  }
  if (!isThrottle(reply)) return verdict('service', { again, effect: 'strike' });
  return {
    ...throttleMeant,
    again: beforeMail.has(stage) ? unlessNamed(again, reply) : again,
    ...named(reply),
  };
}

/** Connecting and logging in. Nothing here is about any mail. */
function judgeBeforeMail(stage: Stage, reply: Reply): Verdict {
  const again = isPermanent(reply) ? 'no' : 'retry';
  if (stage === 'starttls') return verdict('tls', { again, effect: 'strike' });
  // Some throttle logins with a 5xx: whoever names a time does not mean the password.
  const throttle = isThrottle(reply) || (stage === 'auth' && again === 'retry');
  if (throttle) return { ...throttleMeant, again: unlessNamed(again, reply), ...named(reply) };
  return stage === 'auth' ? credentialsRefused : verdict('service', { again, effect: 'strike' });
}

function judgeCredentials(reply: Reply): Verdict {
  return /starttls/i.test(reply.text) ? verdict('tls', { effect: 'strike' }) : credentialsRefused;
}

/** RCPT: about one recipient, unless it says that the transaction is full. */
function judgeRecipient(refusal: Refusal): Verdict {
  const { reply, acceptedBefore } = refusal;
  if (saysTooMany(reply, acceptedBefore)) return tooMany(refusal);
  if (!isPermanent(reply) || namedWait(reply.text) !== undefined) return deferredRecipient(reply);
  const enhanced = reply.enhanced ?? '';
  // 5.1.7 and 5.1.8 are about the sender's address (RFC 3463 section 3.2).
  if (enhanced === '5.1.7' || enhanced === '5.1.8') return refused('sender');
  // 5.1.0 is any other fault of an address, of the sender's too.
  if (enhanced.startsWith('5.1.') && enhanced !== '5.1.0') return noSuchMailbox;
  return refused(classOf('rcpt', reply));
}

/** X.5.3 says so; a bare 452 or 552 does by RFC 5321 section 4.5.3.1.10, once some were accepted. */
function saysTooMany({ code, enhanced }: Reply, acceptedBefore: number): boolean {
  if (enhanced !== undefined) return enhanced === '4.5.3' || enhanced === '5.5.3';
  return (code === 452 || code === 552) && acceptedBefore > 0;
}

/** After one was accepted, the rest goes in a new transaction; the first of one is only deferred. */
function tooMany({ reply, acceptedBefore }: Refusal): Verdict {
  return acceptedBefore > 0 ? verdict('rate', { again: 'rest-now', next: false }) : deferredRecipient(reply);
}

/** Said of the whole message: fewer at a time would have been taken, so it is refused to none of them. */
function tooManyAtOnce(refusal: Refusal): Verdict {
  return isDivisible(refusal) ? verdict('rate', { again: 'fewer', next: false }) : verdict('rate');
}

/** At MAIL nobody has been named yet. */
function isDivisible({ stage, acceptedBefore }: Refusal): boolean {
  return stage !== 'mail' && acceptedBefore > 1;
}

/** 4xx at MAIL, DATA or the dot. */
function judgeDeferral(refusal: Refusal): Verdict {
  const { reply } = refusal;
  if (reply.enhanced === '4.5.3' && isDivisible(refusal)) return tooManyAtOnce(refusal);
  const wait = named(reply);
  if (isThrottle(reply)) return { ...throttleMeant, again: 'retry', ...wait };
  return verdict('service', { again: 'retry', effect: 'soft-strike' });
}

/** 432 and 454 (RFC 4954), 421 4.7.x, or a wait in words. Not for RCPT, where the wait is the recipient's. */
function isThrottle(reply: Reply): boolean {
  const closing = reply.code === 421 && (reply.enhanced ?? '').startsWith('4.7.');
  return closing || reply.code === 432 || reply.code === 454 || namedWait(reply.text) !== undefined;
}

/** Whoever names a time is not asked before. */
function unlessNamed(again: Verdict['again'], reply: Reply): Verdict['again'] {
  return namedWait(reply.text) === undefined ? again : 'no';
}

function named(reply: Reply): { waitMs?: number } {
  const waitMs = namedWait(reply.text);
  return waitMs === undefined ? {} : { waitMs };
}

/** Subjects of RFC 3463 and what they make a 5xx about: at MAIL, and at every later stage. */
const subjects: readonly (readonly [prefix: string, atMail: FailureClass, later: FailureClass])[] = [
  ['5.3.4', 'size', 'size'],
  ['5.2.3', 'size', 'size'],
  // Some address: after MAIL it may be the sender's or the recipient's.
  ['5.1.0', 'sender', 'unknown'],
  ['5.1.', 'sender', 'mailbox'],
  ['5.2.', 'sender', 'mailbox'],
  ['5.6.', 'content', 'content'],
  ['5.7.', 'sender', 'policy'],
];

/** What a 5xx about a message is about: by enhanced code, then by code. */
function classOf(stage: Stage, { code, enhanced = '' }: Reply): FailureClass {
  const subject = subjects.find(([prefix]) => enhanced.startsWith(prefix));
  if (subject !== undefined) return stage === 'mail' ? subject[1] : subject[2];
  if (code === 552) return stage === 'rcpt' ? 'mailbox' : 'size';
  return stage === 'mail' && (code === 550 || code === 553) ? 'sender' : 'unknown';
}
