/**
 * What delivery tells about one attempt and one settled message, as events of
 * the catalogue. Chooses words and fields; decides nothing.
 */
import type { ProviderConfig } from '../config/config.ts';
import type { StoredMessage } from '../spool/message.ts';
import type { Settlement } from '../spool/spool.ts';
import type { Attempt, Emit } from '../telemetry/events.ts';
import { account, type Failure, type Reply, type Stage } from './failure.ts';
import type { TransactionOutcome } from './outcome.ts';
import type { Provider } from './provider.ts';
import type { TransactionReport } from './session.ts';
import type { Verdict } from './verdict.ts';

export interface AttemptMade {
  readonly provider: Provider;
  readonly message: StoredMessage;
  readonly indexes: readonly number[];
  readonly tryNumber: number;
  /** How many there are in a round. */
  readonly tries: number;
  readonly startedAt: number;
  readonly now: number;
  readonly report: TransactionReport;
  readonly outcome: TransactionOutcome;
  readonly delayMs: number | undefined;
}

/** One line per transaction: where it ended, and how. */
export function tellAttempt(emit: Emit, made: AttemptMade): void {
  const { provider, report, outcome } = made;
  const blamed = blame(outcome);
  const reply = report.accepted ?? blamed?.failure.reply;
  const text = report.accepted?.text ?? (blamed && wordsOf(blamed.failure));
  const attempt: Attempt = {
    event: 'attempt',
    id: made.message.id,
    provider: provider.name,
    host: provider.config.host,
    try: made.tryNumber,
    tries: made.tries,
    recipients: made.indexes.length,
    stage: stageOf(report, blamed),
    outcome: outcome.result,
    class: report.accepted === undefined ? (blamed?.verdict.class ?? 'none') : 'none',
    durationMs: made.now - made.startedAt,
    ...withReply(reply),
    ...(text === undefined ? {} : { reply: text }),
    ...(made.delayMs === undefined ? {} : { retryInMs: made.delayMs }),
  };
  emit(attempt);
}

/** A try to connect failed: it belongs to the provider and to no message. */
export function tellOpenFailed(
  emit: Emit,
  told: {
    readonly config: ProviderConfig;
    readonly failure: Failure;
    readonly verdict: Verdict;
    readonly tryNumber: number;
    readonly tries: number;
    readonly durationMs: number;
    readonly retryInMs: number | undefined;
  },
): void {
  const { config, failure, verdict, retryInMs } = told;
  emit({
    event: 'attempt',
    provider: config.name,
    host: config.host,
    try: told.tryNumber,
    tries: told.tries,
    recipients: 0,
    stage: failure.stage,
    outcome: 'failed',
    class: verdict.class,
    durationMs: told.durationMs,
    ...withReply(failure.reply),
    reply: wordsOf(failure),
    ...(retryInMs === undefined ? {} : { retryInMs }),
  });
}

/** The final dot went out and no answer came. */
export function tellAmbiguous(emit: Emit, id: string, provider: string, outcome: TransactionOutcome): void {
  emit({
    event: 'delivery-ambiguous',
    id,
    provider,
    recipients: outcome.recipients.filter(each => each.kind === 'failed' && each.verdict.ambiguous).length,
    message: outcome.ended?.failure.message ?? '',
  });
}

/** The process before died when the final dot was out: what came of it is not known. */
export function tellInterrupted(
  emit: Emit,
  found: { readonly id: string; readonly provider: string; readonly recipients: number },
): void {
  const message = 'the relay was killed before the message was answered';
  emit({ event: 'delivery-ambiguous', ...found, message });
}

const ENDINGS = {
  delivered: 'recipient-delivered',
  rejected: 'recipient-rejected',
  expired: 'recipient-expired',
} as const;

/** One line per recipient whose fate this round sealed, and one for the message where it waits or died. */
export function tellSettlement(
  emit: Emit,
  message: StoredMessage,
  settlement: Settlement,
  now: number,
): void {
  settlement.recipients.forEach((recipient, index) => {
    if (recipient.state === 'pending' || message.recipients[index]?.state === recipient.state) return;
    emit({
      event: ENDINGS[recipient.state],
      id: message.id,
      recipient: recipient.address,
      delayMs: now - message.receivedAt,
      ...(recipient.provider === undefined ? {} : { provider: recipient.provider }),
      ...(recipient.reply === undefined ? {} : { reply: recipient.reply }),
    });
  });
  if (settlement.kind === 'dead') {
    emit({ event: 'message-dead', id: message.id, reason: settlement.reason });
  }
  if (settlement.kind === 'failed') {
    emit({
      event: 'round-failed',
      id: message.id,
      rounds: message.rounds + 1,
      pending: settlement.recipients.filter(({ state }) => state === 'pending').length,
      dueInMs: Math.max(0, settlement.dueAt - now),
      reason: settlement.reason,
    });
  }
}

interface Blamed {
  readonly failure: Failure;
  readonly verdict: Verdict;
}

function blame(outcome: TransactionOutcome): Blamed | undefined {
  if (outcome.ended !== undefined) return outcome.ended;
  const failed = outcome.recipients.find(each => each.kind === 'failed');
  return failed?.kind === 'failed' ? failed : undefined;
}

/** The reply where it is one; out of place it would read like a success (`250 ok`), so what was wrong is told. */
function wordsOf(failure: Failure): string {
  const { fault, reply } = failure;
  return fault === 'reply' && reply !== undefined ? reply.text : account(failure);
}

function stageOf(report: TransactionReport, blamed: Blamed | undefined): Stage {
  return report.accepted === undefined ? (blamed?.failure.stage ?? 'dot') : 'dot';
}

function withReply(reply: Reply | undefined): { code?: number; enhanced?: string } {
  if (reply === undefined) return {};
  return reply.enhanced === undefined ? { code: reply.code } : { code: reply.code, enhanced: reply.enhanced };
}
