/**
 * What a reply means that nothing more is known of: by its stage, then by its
 * enhanced code (RFC 3463), the bare code last.
 */
import type { FailureClass } from '../telemetry/events.ts';
import { namedWait } from './backoff.ts';
import type { Reply, Stage } from './failure.ts';
import {
  beforeMail,
  credentialCodes,
  credentialsRefused,
  deferredRecipient,
  isPermanent,
  named,
  noSuchMailbox,
  type Refusal,
  refused,
  throttled,
  throttleMeant,
} from './refusal.ts';
import { isDivisible, saysTooMany, tooMany, tooManyAtOnce } from './too-many-recipients.ts';
import { type Verdict, verdict } from './verdict.ts';

/** A 421 that ends this connection alone: it was idle, has carried its share, or many recipients of one message were bad (Postfix). */
const sessionOver = /\b(too many errors|idle|time-?out|timed out|(per|this|same|in) (session|connection))\b/i;

/** Judges a refusal in unknown words. There always is a verdict. */
export function judgeByCode(refusal: Refusal): Verdict {
  const { stage, reply } = refusal;
  if (reply.code === 421) return judgeClosing(stage, reply);
  if (beforeMail.has(stage)) return judgeBeforeMail(stage, reply);
  if (credentialCodes.has(reply.code)) return judgeCredentials(reply);
  // Bad sequence: the two sides disagree about where they are, which says nothing about the mail.
  if (reply.code === 503) return verdict('protocol', { again: 'retry', effect: 'soft-strike' });
  if (stage === 'rcpt') return judgeRecipient(refusal);
  return isPermanent(reply) ? judgePermanent(refusal) : judgeDeferral(refusal);
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

/** 5xx at MAIL, DATA or the dot. */
function judgePermanent(refusal: Refusal): Verdict {
  const { stage, reply } = refusal;
  if (reply.enhanced === '5.5.3') return tooManyAtOnce(refusal);
  // A 5xx that names a time to come back is no final word.
  return namedWait(reply.text) === undefined ? refused(classOf(stage, reply)) : throttled(refusal);
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
