/**
 * What a finished round means for the message: done, dead, or failed and due
 * again. Works on the recipients of one message as values; every recipient is
 * in exactly one state, and one that has ended never changes again.
 */
import type { ResendConfig } from '../config/config.ts';
import type { Recipient, StoredMessage } from '../spool/message.ts';
import type { Settlement } from '../spool/spool.ts';
import { maskAddresses } from './addresses.ts';
import { resendDelay } from './backoff.ts';

/** What decides when an unsettled message is due again. */
export interface RoundClose {
  /** Milliseconds since the epoch at the end of the round. */
  readonly now: number;
  /** Uniform in [0, 1). */
  readonly random: number;
  readonly resend: ResendConfig;
  /** Why the last provider was left, for people; '' = the last answer says it. */
  readonly reason: string;
}

/** The settlement that ends a round; never 'progress'. */
export type RoundSettlement = Exclude<Settlement, { kind: 'progress' }>;

/** Positions of those still to be sent to. */
export function pendingIndexes(recipients: readonly Recipient[]): number[] {
  return recipients.flatMap(({ state }, index) => (state === 'pending' ? [index] : []));
}

/**
 * Gives up those still pending when the message is older than
 * `expireAfterMs`; their last answer stays, with a note where mail may have
 * arrived all the same. A clock that stepped back expires nothing.
 */
export function expire(
  message: Pick<StoredMessage, 'receivedAt'>,
  recipients: readonly Recipient[],
  now: number,
  expireAfterMs: number,
): readonly Recipient[] {
  if (message.receivedAt + expireAfterMs >= now) return recipients;
  return recipients.map(recipient => (recipient.state === 'pending' ? expired(recipient, now) : recipient));
}

/** Ends a round: everyone delivered → done; nobody pending → dead; else failed, with the time of the next round. */
export function settlementOf(
  message: Pick<StoredMessage, 'receivedAt' | 'rounds'>,
  answered: readonly Recipient[],
  close: RoundClose,
): RoundSettlement {
  const { now, random, resend } = close;
  const recipients = expire(message, answered, now, resend.expireAfterMs);
  if (recipients.every(({ state }) => state === 'delivered')) return { kind: 'done', recipients };
  if (pendingIndexes(recipients).length === 0) {
    return { kind: 'dead', recipients, reason: reasonOfDeath(recipients) };
  }
  // The last round is at expiry, not up to an hour after it.
  const lastRoundAt = message.receivedAt + resend.expireAfterMs + 1;
  const dueAt = Math.min(now + resendDelay(message.rounds + 1, resend, random), lastRoundAt);
  return { kind: 'failed', recipients, dueAt, reason: reasonOfFailure(recipients, close.reason) };
}

/**
 * The end of a round whose bounce found no room: a message that is over waits
 * like one that failed, and the next round, which has nobody to send to, tries
 * to write the bounce. That one is owed is told by the recipients alone.
 */
export function owingBounce(
  message: Pick<StoredMessage, 'rounds'>,
  settlement: RoundSettlement,
  { now, random, resend }: RoundClose,
): RoundSettlement {
  if (settlement.kind !== 'dead') return settlement;
  const dueAt = now + resendDelay(message.rounds + 1, resend, random);
  const reason = `the bounce to its sender waits for room on the disk; ${settlement.reason}`;
  return { kind: 'failed', recipients: settlement.recipients, dueAt, reason };
}

function expired(recipient: Recipient, now: number): Recipient {
  const times = recipient.ambiguous ?? 0;
  const note =
    times === 0
      ? ''
      : `; it may have arrived: ${times} ${times === 1 ? 'time' : 'times'} the message was sent whole and no answer came`;
  const reply = `${recipient.reply ?? 'no provider could be used'}${note}`;
  return { ...recipient, state: 'expired', reply, at: recipient.at ?? now };
}

/** Names no address: it goes where logs and lists are read. */
function reasonOfDeath(recipients: readonly Recipient[]): string {
  const parts = (['rejected', 'expired'] as const).flatMap(state => {
    const those = recipients.filter(recipient => recipient.state === state);
    if (those.length === 0) return [];
    const answer = latest(those)?.reply;
    const count = `${those.length} of ${recipients.length} ${recipients.length === 1 ? 'recipient' : 'recipients'} ${state}`;
    return [answer === undefined ? count : `${count}: ${answer}`];
  });
  return maskAddresses(parts.join('; '));
}

/** Names no address either. */
function reasonOfFailure(recipients: readonly Recipient[], reason: string): string {
  if (reason !== '') return maskAddresses(reason);
  const pending = recipients.filter(({ state }) => state === 'pending');
  return maskAddresses(latest(pending)?.reply ?? 'no provider could be used');
}

/** The one answered last. */
function latest(recipients: readonly Recipient[]): Recipient | undefined {
  let last: Recipient | undefined;
  for (const recipient of recipients) {
    if (last === undefined || (recipient.at ?? 0) >= (last.at ?? 0)) last = recipient;
  }
  return last;
}
