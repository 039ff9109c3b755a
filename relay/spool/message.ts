/**
 * What the spool keeps of a message, as values: its envelope, what became of
 * each recipient, and where in its life it is. No behaviour lives here.
 */

/** Sorts by time of acceptance; safe as a file name: [0-9a-z]{17}. */
export type MessageId = string & { readonly __brand: 'MessageId' };

/** RFC 5321 section 2.3.1, with what the client declared about the content. */
export interface Envelope {
  /** '' is the null sender. */
  readonly sender: string;
  readonly recipients: readonly string[];
  /** The client declared BODY=8BITMIME (RFC 6152). */
  readonly eightBit: boolean;
  /** The client declared SMTPUTF8 (RFC 6531). */
  readonly smtpUtf8: boolean;
}

/**
 * pending   still to be sent
 * delivered a provider answered 2xx to the dot of a transaction that carried it
 * rejected  refused for good; `reply` says why
 * expired   given up after `resend.expireAfterMs`; `reply` is the last answer
 */
export type RecipientState = 'pending' | 'delivered' | 'rejected' | 'expired';

/** One recipient and what it got, the last answer included while pending. */
export interface Recipient {
  readonly address: string;
  readonly state: RecipientState;
  /** Provider that gave the last answer. */
  readonly provider?: string;
  /** That answer, for people: `550 5.1.1 No such user`. */
  readonly reply?: string;
  /** Milliseconds since the epoch of that answer. */
  readonly at?: number;
  /** How many times the final dot was left unanswered with this recipient on board. */
  readonly ambiguous?: number;
  /** The bounce that tells the sender of this end is in the spool. */
  readonly bounced?: true;
}

/**
 * active  on its first round, or about to be; body in the database
 * failed  a round over all providers did not settle it, or its bounce found no room; body in emails/failed
 * held    kept back by hand until released; body stays where it was
 * dead    over: rejected or expired; body in emails/dead until retention ends
 */
export type QueueState = 'active' | 'failed' | 'held' | 'dead';

/** A message as the spool knows it. */
export interface StoredMessage {
  readonly id: MessageId;
  readonly state: QueueState;
  readonly sender: string;
  readonly recipients: readonly Recipient[];
  readonly eightBit: boolean;
  readonly smtpUtf8: boolean;
  /** Bytes of the message as it will be sent, before dot-stuffing. */
  readonly size: number;
  /** Milliseconds since the epoch when its 250 was earned. */
  readonly receivedAt: number;
  /** Milliseconds since the epoch of its next round. */
  readonly dueAt: number;
  /** Rounds completed without settling it. */
  readonly rounds: number;
  /** Why it is where it is, for people; '' when active. */
  readonly reason: string;
}

/** Messages and bytes by state, and the age of the oldest, for metrics and status. */
export type QueueCounts = Readonly<
  Record<
    QueueState,
    { readonly messages: number; readonly bytes: number; readonly oldestReceivedAt?: number }
  >
>;
