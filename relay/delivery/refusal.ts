/**
 * A provider's refusal as it is judged, and what the rules about it share:
 * which codes and stages are alike, and the verdicts that several of them come to.
 */
import type { FailureClass } from '../telemetry/events.ts';
import { namedWait } from './backoff.ts';
import type { Reply, Stage } from './failure.ts';
import { type Verdict, verdict } from './verdict.ts';

/** A 4xx or 5xx, and where it was said. */
export interface Refusal {
  readonly stage: Stage;
  /** Its text without addresses. */
  readonly reply: Reply;
  /** RCPTs accepted before in the same transaction. */
  readonly acceptedBefore: number;
}

/** Wait after a throttle that names none. */
const throttleMs = 60_000;

/** Codes by which a provider says at any stage that we have not logged in as it wants (RFC 4954 section 6). */
export const credentialCodes: ReadonlySet<number> = new Set([530, 534, 535, 538]);

/** Stages at which no answer is about any mail. */
export const beforeMail: ReadonlySet<Stage> = new Set([
  'dns',
  'connect',
  'tls',
  'greeting',
  'ehlo',
  'starttls',
  'auth',
]);

export const throttleMeant: Verdict = verdict('rate', { effect: 'cool-down', waitMs: throttleMs });
export const credentialsRefused: Verdict = verdict('authentication', { effect: 'suspend' });

export const noSuchMailbox: Verdict = verdict('mailbox', { next: false, refused: true, ends: true });

/** 5xx: the sender must not repeat it unchanged (RFC 5321 section 4.2.1). */
export function isPermanent(reply: Reply): boolean {
  return reply.code >= 500 && reply.code <= 599;
}

/** Until every provider has refused it, only this one has. */
export function refused(failureClass: FailureClass): Verdict {
  return verdict(failureClass, { refused: true });
}

/** That recipient later, after the time that was named for it. */
export function deferredRecipient(reply: Reply): Verdict {
  return verdict('mailbox', named(reply));
}

/**
 * A throttle known as such. Only a 4xx invites the same message again, and
 * never at RCPT: its transaction goes on without it. Another login would only
 * add to what is counted against us.
 */
export function throttled({ stage, reply }: Refusal, waitMs: number = throttleMs): Verdict {
  const again = isPermanent(reply) || stage === 'rcpt' || beforeMail.has(stage) ? 'no' : 'retry';
  return { ...throttleMeant, again, waitMs: namedWait(reply.text) ?? waitMs };
}

/** The wait that the reply names, for a verdict; nothing where it names none. */
export function named(reply: Reply): { waitMs?: number } {
  const waitMs = namedWait(reply.text);
  return waitMs === undefined ? {} : { waitMs };
}
