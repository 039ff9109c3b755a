/** Rows of the store as messages, and filters of people as pages of the store. */
import type { QueueCounts, QueueState, Recipient, StoredMessage } from './message.ts';
import { type Counters, FLAG_EIGHT_BIT, FLAG_SMTP_UTF8, type Page, type Row, STATES } from './protocol.ts';
import type { QueueFilter } from './spool.ts';

export function messageOf(row: Row): StoredMessage {
  const [, id, state, , sender, recipients, flags, size, receivedAt, dueAt, rounds, reason] = row;
  return {
    id,
    state: STATES[state] ?? 'dead',
    sender,
    recipients: JSON.parse(recipients) as Recipient[],
    eightBit: (flags & FLAG_EIGHT_BIT) !== 0,
    smtpUtf8: (flags & FLAG_SMTP_UTF8) !== 0,
    size,
    receivedAt,
    dueAt,
    rounds,
    reason,
  };
}

/** The first page of a filter; `now` is what its age is measured from. */
export function pageOf(filter: QueueFilter, now: number, limit: number): Page {
  return {
    ids: filter.ids,
    state: filter.state === undefined ? undefined : STATES.indexOf(filter.state),
    sender: filter.sender,
    recipient: filter.recipient,
    receivedBefore: filter.olderThanMs === undefined ? undefined : now - filter.olderThanMs,
    after: filter.after ?? '',
    limit,
  };
}

/** Recipients of a message that is to be sent once more: who was given up is pending again. */
export function revived(recipients: readonly Recipient[]): readonly Recipient[] {
  return recipients.map(one => {
    if (one.state === 'delivered') return one;
    const { bounced: _, ...again } = one;
    return { ...again, state: 'pending' };
  });
}

export function countsOf(counters: Counters): QueueCounts {
  const of = (state: QueueState) => {
    const code = STATES.indexOf(state);
    const messages = counters.messages[code] ?? 0;
    const oldestReceivedAt = counters.oldest[code] ?? 0;
    return {
      messages,
      bytes: counters.bytes[code] ?? 0,
      ...(oldestReceivedAt > 0 && messages > 0 ? { oldestReceivedAt } : {}),
    };
  };
  return { active: of('active'), failed: of('failed'), held: of('held'), dead: of('dead') };
}
