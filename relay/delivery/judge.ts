/**
 * What a failure means: whose fault it is, whether to try again, and where.
 * The stage decides the scope, the enhanced code and the known texts decide
 * how long; the bare code comes last, because it is what misleads. Guarantees
 * that hold whatever the rules say: nothing before MAIL ends or refuses mail,
 * no 4xx does, and an unanswered final dot is never tried elsewhere at once.
 */
import type { ReplyRule } from '../config/config.ts';
import { withoutAddresses } from './addresses.ts';
import type { Failure, Reply } from './failure.ts';
import { judgeByCode } from './judge-by-code.ts';
import { judgeKnown } from './judge-known.ts';
import { lookUp } from './known-replies.ts';
import { beforeMail, credentialsRefused, type Refusal } from './refusal.ts';
import { type ProviderEffect, type Verdict, verdict } from './verdict.ts';

export interface JudgeContext {
  /** RCPTs accepted before in the same transaction; for what ends it at RCPT itself 0. */
  readonly acceptedBefore: number;
}

/** Judges one failure. Total: whatever is passed in, there is a verdict. Throws nothing. */
export function judge(failure: Failure, context: JudgeContext, rules: readonly ReplyRule[]): Verdict {
  const { stage, fault, reply } = failure;
  if (fault === 'local') return verdict('local', { next: false });
  if (fault === 'not-offered') return judgeMissing(failure);
  if (fault === 'reply' && reply !== undefined && isRefusal(reply)) {
    const said = { ...reply, text: withoutAddresses(reply.text) };
    return judgeReply({ stage, reply: said, acceptedBefore: context.acceptedBefore }, rules);
  }
  // Whatever else happened after the dot, the provider may have taken the mail.
  if (stage === 'dot') return verdict('network', { next: false, ambiguous: true, effect: 'strike' });
  if (fault === 'certificate') return verdict('tls', { effect: 'strike' });
  const garbled = fault === 'garbled' || fault === 'reply';
  return verdict(garbled ? 'protocol' : 'network', { again: 'retry', effect: brokenEffect(failure) });
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

function judgeReply(refusal: Refusal, rules: readonly ReplyRule[]): Verdict {
  const known = lookUp(refusal.stage, refusal.reply, rules);
  const meant = known === undefined ? undefined : judgeKnown(known, refusal);
  return meant ?? judgeByCode(refusal);
}
