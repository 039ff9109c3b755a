/**
 * The durable store, as its users see it. Every promise here resolves only
 * when what it says is on disk; every method may reject with SpoolError.
 * inbound fills it, delivery empties it, neither knows the other.
 */
import type { DiskState } from './disk.ts';
import type { Envelope, MessageId, QueueCounts, QueueState, Recipient, StoredMessage } from './message.ts';

/** What is known of a message when its last byte has arrived. */
export interface Arrival {
  readonly envelope: Envelope;
  readonly receivedAt: number;
}

/**
 * A message that is still arriving. Bytes written are not yet promised to
 * anyone; nothing is, until commit() resolves. A process that dies before
 * leaves nothing behind that survives the next start.
 */
export interface Draft {
  readonly id: MessageId;
  /** Resolves when more may be written (back-pressure); the buffer then belongs to the spool. */
  write(chunk: Buffer): Promise<void>;
  /**
   * Resolves when message and envelope are on disk (fsynced): only now may 250 be said. `progress` of another
   * message is on disk with it; where this rejects, neither is.
   */
  commit(arrival: Arrival, progress?: Progress): Promise<void>;
  /** Forgets it. Never throws; harmless after commit. */
  abort(): void;
}

/** What became of the recipients of a message that is claimed. */
export interface Progress {
  readonly id: MessageId;
  readonly recipients: readonly Recipient[];
}

/** What a round, or part of one, did to a message. */
export type Settlement =
  /** Results so far; the round goes on, the claim stays. */
  | { readonly kind: 'progress'; readonly recipients: readonly Recipient[] }
  /** Every recipient delivered: row and body go. */
  | { readonly kind: 'done'; readonly recipients: readonly Recipient[] }
  /** Not settled: body to emails/failed, next round at dueAt, one more round counted. */
  | {
      readonly kind: 'failed';
      readonly recipients: readonly Recipient[];
      readonly dueAt: number;
      readonly reason: string;
    }
  /** Settled, but not well: body to emails/dead. */
  | { readonly kind: 'dead'; readonly recipients: readonly Recipient[]; readonly reason: string };

/** Which messages delivery wants next. */
export interface ClaimQuery {
  readonly state: 'active' | 'failed';
  /** Only those due by then (ms since the epoch). */
  readonly dueBefore: number;
  /**
   * Only those whose last round began before that mark(), due or not: how a
   * drain reaches every waiting message exactly once without rewriting rows.
   * Messages that may have arrived (a recipient with `ambiguous`) are left out
   * until they are due by `dueBefore`.
   */
  readonly triedBefore?: number;
  /** Only those due later than that: what a clock that was ahead has put off for too long. */
  readonly dueAfter?: number;
  readonly limit: number;
}

/**
 * Positions of the recipients of a message in a transaction that runs: whom a
 * provider may have taken it for, its answer to the final dot not being known,
 * and whom it surely has, by its answer.
 */
export interface InFlight {
  /** '' = not known any more. */
  readonly provider: string;
  readonly uncertain: readonly number[];
  readonly accepted: readonly number[];
}

/** A message taken for a round. */
export interface Claim {
  readonly message: StoredMessage;
  /** The whole body when it is small and at hand, to spare a read. */
  readonly body?: Buffer;
  /** The body is in emails/failed, and stays there while the claim lasts. */
  readonly filed?: boolean;
  /** The process that owned the store before died in the middle of this message: what its last note says. */
  readonly interrupted?: InFlight;
}

/** Chooses messages for the operations of people. Absent fields choose all. */
export interface QueueFilter {
  readonly ids?: readonly string[];
  readonly state?: QueueState;
  /** Contained in the sender, case-insensitive. */
  readonly sender?: string;
  /** Contained in a recipient, case-insensitive. */
  readonly recipient?: string;
  readonly olderThanMs?: number;
  readonly limit?: number;
  /** Continue after this id (results are in id order). */
  readonly after?: string;
}

/** The store. One process owns a directory at a time. */
export interface Spool {
  /**
   * Starts a message. Throws SpoolError 'disk-full' when the reserve is reached. One that is owed for mail that
   * was accepted (a bounce) may use half of the reserve: what waits for its end needs room to end.
   */
  begin(options?: { readonly owed?: boolean }): Draft;
  /**
   * Takes up to `limit` messages, oldest due first; they stay this
   * process's until settled or released. A crash releases all.
   */
  claim(query: ClaimQuery): Promise<readonly Claim[]>;
  /** For `triedBefore`: every round so far began before it, none after it does, whatever the clock does. */
  mark(): number;
  /**
   * Called with each message the moment it is committed while it returns
   * true from `wanted`: spares the read back. The message counts as claimed.
   */
  onArrival(taker: ArrivalTaker): void;
  settle(id: MessageId, settlement: Settlement): Promise<void>;
  /**
   * Notes what runs with a claimed message, in place of what was noted before,
   * until a settlement other than 'progress' is on disk. At once, without an
   * fsync: it outlives this process, not a loss of power. Never throws.
   */
  note(id: MessageId, inFlight: InFlight): void;
  /** Ends a claim and changes nothing else. */
  release(id: MessageId): Promise<void>;
  /**
   * The body in order, in chunks of at most 256 KiB, canonical CRLF; a chunk is
   * the reader's own. `claim`: whoever holds one need not wait for a look-up.
   */
  read(id: MessageId, claim?: Claim): AsyncIterable<Buffer>;
  /** Earliest dueAt among unclaimed messages of that state, or undefined. */
  nextDue(state: 'active' | 'failed'): Promise<number | undefined>;

  /** Kept up to date without reading the database. */
  counts(): QueueCounts;
  /** How many things lie in emails/quarantine, from memory; undefined: it cannot be read, so that there may be some. */
  quarantined(): number | undefined;
  /** Room on the volume and the reserve below which begin() refuses. */
  disk(): DiskState;
  /** undefined, or why the store can no longer be trusted (an fsync or write failed): readiness off. */
  failure(): string | undefined;

  list(filter: QueueFilter): Promise<readonly StoredMessage[]>;
  /** Makes chosen messages due now (dead ones alive again). Resolves with how many. */
  resend(filter: QueueFilter): Promise<number>;
  hold(filter: QueueFilter): Promise<number>;
  /** Ends a hold. */
  unhold(filter: QueueFilter): Promise<number>;
  /** Removes chosen messages for good, bodies included. */
  remove(filter: QueueFilter): Promise<number>;
  /** Removes dead messages beyond retention. Resolves with how many. */
  sweep(now: number): Promise<number>;
  /** Takes in a message from elsewhere (queue import), as failed and due at once. */
  adopt(arrival: Arrival, body: AsyncIterable<Buffer>, recipients: readonly Recipient[]): Promise<MessageId>;
  /** Commits what waits, closes the database, gives up ownership. */
  close(): Promise<void>;
}

export interface ArrivalTaker {
  wanted(size: number): boolean;
  take(claim: Claim): void;
}

/**
 * Thrown when the store refuses or fails.
 * disk-full: the reserve is reached or ENOSPC: 452 4.3.1, sending goes on.
 * io:        a write or fsync failed: 451, the store is no longer trusted.
 * owned:     another process holds the directory.
 * corrupt:   the database failed its check or has a newer schema version.
 * not-found: no such message.
 * closed:    the spool is shutting down.
 */
export type SpoolErrorKind = 'disk-full' | 'io' | 'owned' | 'corrupt' | 'not-found' | 'closed';

export class SpoolError extends Error {
  readonly kind: SpoolErrorKind;
  constructor(kind: SpoolErrorKind, message: string, cause?: unknown) {
    super(message, { cause });
    this.name = 'SpoolError';
    this.kind = kind;
  }
}
