/**
 * What a known reply (known-replies.ts, or a rule of the configuration) calls
 * for at the stage where it was said.
 */
import type { FailureClass } from '../telemetry/events.ts';
import { namedWait } from './backoff.ts';
import type { Reply } from './failure.ts';
import type { Known } from './known-replies.ts';
import {
  beforeMail,
  credentialCodes,
  credentialsRefused,
  deferredRecipient,
  isPermanent,
  named,
  noSuchMailbox,
  type Refusal,
  throttled,
  throttleMeant,
} from './refusal.ts';
import { tooMany, tooManyAtOnce } from './too-many-recipients.ts';
import { type Verdict, verdict } from './verdict.ts';

/** Wait after a quota of a day, or an account that a person has to free. */
const quotaMs = 3_600_000;

/** What a known reply calls for; undefined when it cannot mean that at this stage. */
export function judgeKnown(known: Known, refusal: Refusal): Verdict | undefined {
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

function refusedIfPermanent(failureClass: FailureClass, reply: Reply): Verdict {
  return verdict(failureClass, { refused: isPermanent(reply) });
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
