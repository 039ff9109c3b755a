/**
 * What one transaction did to each recipient it carried: the provider's
 * replies (session.ts) put through the table of verdicts (judge.ts). Pure.
 */
import type { ReplyRule } from '../config/config.ts';
import type { AttemptOutcome } from '../telemetry/events.ts';
import { describe, type Failure, type Reply } from './failure.ts';
import { judge } from './judge.ts';
import type { TransactionReport } from './session.ts';
import type { Verdict } from './verdict.ts';

/** One recipient's share of a transaction; `reply` is for people. */
export type RecipientOutcome =
  | { readonly kind: 'delivered'; readonly reply: string }
  | { readonly kind: 'failed'; readonly verdict: Verdict; readonly failure: Failure; readonly reply: string };

/** A whole transaction, judged. */
export interface TransactionOutcome {
  readonly recipients: readonly RecipientOutcome[];
  /** What ended it early, judged; absent when it ran to the answer of the dot, or all were refused. */
  readonly ended?: { readonly verdict: Verdict; readonly failure: Failure };
  readonly result: AttemptOutcome;
}

/** Judges every recipient of a report, in the order of the envelope. */
export function judgeTransaction(report: TransactionReport, rules: readonly ReplyRule[]): TransactionOutcome {
  const ended = judgeEnd(report, rules);
  let accepted = 0;
  const recipients = report.recipients.map((reply): RecipientOutcome => {
    if (reply !== undefined && isRefusal(reply)) return refused(reply, accepted, rules);
    if (reply !== undefined) accepted += 1;
    if (report.accepted !== undefined) return { kind: 'delivered', reply: replyText(report.accepted) };
    return endedWith(ended);
  });
  const result = summarise(recipients, ended?.verdict);
  return ended === undefined ? { recipients, result } : { recipients, ended, result };
}

function judgeEnd(
  { failure, recipients }: TransactionReport,
  rules: readonly ReplyRule[],
): TransactionOutcome['ended'] {
  if (failure === undefined) return undefined;
  const accepted = recipients.filter(reply => reply !== undefined && !isRefusal(reply)).length;
  // At RCPT it is not known of all of them who would have been accepted.
  const acceptedBefore = failure.stage === 'rcpt' ? 0 : accepted;
  return { failure, verdict: judge(failure, { acceptedBefore }, rules) };
}

/** Each recipient's share of a message that a provider was not offered, for that reason. */
export function notOffered(failure: Failure): RecipientOutcome {
  return endedWith({ failure, verdict: judge(failure, { acceptedBefore: 0 }, []) });
}

/** `250 2.0.0 queued as 4711`. */
export function replyText(reply: Reply): string {
  return [reply.code, reply.enhanced, reply.text].filter(part => part !== undefined && part !== '').join(' ');
}

function isRefusal(reply: Reply): boolean {
  return reply.code >= 300;
}

function refused(reply: Reply, acceptedBefore: number, rules: readonly ReplyRule[]): RecipientOutcome {
  const failure: Failure = { stage: 'rcpt', fault: 'reply', reply, message: replyText(reply) };
  return {
    kind: 'failed',
    failure,
    verdict: judge(failure, { acceptedBefore }, rules),
    reply: describe(failure),
  };
}

const NOT_ANSWERED: Failure = {
  stage: 'rcpt',
  fault: 'garbled',
  message: 'the provider ended the transaction without an answer',
};

function endedWith(ended: TransactionOutcome['ended']): RecipientOutcome {
  const failure = ended?.failure ?? NOT_ANSWERED;
  const verdict = ended?.verdict ?? judge(NOT_ANSWERED, { acceptedBefore: 0 }, []);
  return { kind: 'failed', failure, verdict, reply: describe(failure) };
}

function summarise(
  recipients: readonly RecipientOutcome[],
  ended: Verdict | undefined,
): TransactionOutcome['result'] {
  const delivered = recipients.filter(({ kind }) => kind === 'delivered').length;
  if (delivered === recipients.length) return 'delivered';
  if (delivered > 0) return 'partial';
  if (ended?.ambiguous === true) return 'ambiguous';
  const allRefused = recipients.every(outcome => outcome.kind === 'failed' && outcome.verdict.refused);
  return allRefused ? 'refused' : 'failed';
}
