/** Replies that say a transaction has too many recipients: who goes on without a delay, and in how many. */
import type { Reply } from './failure.ts';
import { deferredRecipient, type Refusal } from './refusal.ts';
import { type Verdict, verdict } from './verdict.ts';

/** X.5.3 says so; a bare 452 or 552 does by RFC 5321 section 4.5.3.1.10, once some were accepted. */
export function saysTooMany({ code, enhanced }: Reply, acceptedBefore: number): boolean {
  if (enhanced !== undefined) return enhanced === '4.5.3' || enhanced === '5.5.3';
  return (code === 452 || code === 552) && acceptedBefore > 0;
}

/** After one was accepted, the rest goes in a new transaction; the first of one is only deferred. */
export function tooMany({ reply, acceptedBefore }: Refusal): Verdict {
  return acceptedBefore > 0 ? verdict('rate', { again: 'rest-now', next: false }) : deferredRecipient(reply);
}

/** Said of the whole message: fewer at a time would have been taken, so it is refused to none of them. */
export function tooManyAtOnce(refusal: Refusal): Verdict {
  return isDivisible(refusal) ? verdict('rate', { again: 'fewer', next: false }) : verdict('rate');
}

/** At MAIL nobody has been named yet. */
export function isDivisible({ stage, acceptedBefore }: Refusal): boolean {
  return stage !== 'mail' && acceptedBefore > 1;
}
