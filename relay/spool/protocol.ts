/**
 * What passes between the spool (main thread) and its store (worker thread):
 * operations one way, answers the other. Plain data that clones cheaply;
 * recipients travel as JSON because the store never looks into them.
 */
import type { RelayEvent } from '../telemetry/events.ts';
import type { MessageId, QueueState } from './message.ts';
import type { SpoolErrorKind } from './spool.ts';

/** Bytes of a full chunk of a body. */
export const CHUNK_BYTES = 256 * 1024;
/** Chunks a body may have: keys are n × this + sequence, and stay exact as doubles for 2^41 messages. */
export const CHUNKS_PER_MESSAGE = 4096;
/** The largest body the key scheme can hold: 1 GiB. */
export const MAX_BODY_BYTES = CHUNK_BYTES * CHUNKS_PER_MESSAGE;

/** QueueState as the database holds it: the position in this list. */
export const STATES = ['active', 'failed', 'held', 'dead'] as const satisfies readonly QueueState[];
export const ACTIVE = 0;
export const FAILED = 1;
export const HELD = 2;
export const DEAD = 3;

/** Where a body is: database, emails/failed, emails/dead, or nowhere (a person took the file away). */
export type Place = 0 | 1 | 2 | 3;
export const IN_DATABASE = 0;
export const IN_FAILED = 1;
export const IN_DEAD = 2;
export const NOWHERE = 3;

export const FLAG_EIGHT_BIT = 1;
export const FLAG_SMTP_UTF8 = 2;

/** The whole message when `body` is given; else its chunks went ahead. */
export interface PutOp {
  readonly op: 'put';
  readonly n: number;
  readonly id: MessageId;
  readonly state: number;
  readonly sender: string;
  readonly recipients: string;
  readonly flags: number;
  readonly size: number;
  readonly receivedAt: number;
  readonly dueAt: number;
  readonly claim: boolean;
  /** The moment of the claim (Spool.mark). Default: receivedAt. */
  readonly at?: number;
  readonly body?: Uint8Array;
  /** What became of the recipients of another message, in the same transaction. */
  readonly progress?: { readonly id: MessageId; readonly recipients: string };
}

export interface ChunkOp {
  readonly op: 'chunk';
  readonly n: number;
  readonly sequence: number;
  readonly data: Uint8Array;
}

export interface SettleOp {
  readonly op: 'settle';
  readonly kind: 'progress' | 'done' | 'failed' | 'dead' | 'revive' | 'file';
  readonly id: MessageId;
  readonly recipients: string;
  readonly dueAt: number;
  readonly reason: string;
}

export interface ClaimOp {
  readonly op: 'claim';
  /** The moment of the claim (Spool.mark). */
  readonly at: number;
  readonly state: number;
  readonly dueBefore: number;
  readonly triedBefore: number | undefined;
  readonly dueAfter: number;
  readonly limit: number;
}

/** One bounded step through the messages that a filter chooses. */
export interface Page {
  readonly ids: readonly string[] | undefined;
  readonly state: number | undefined;
  readonly sender: string | undefined;
  readonly recipient: string | undefined;
  readonly receivedBefore: number | undefined;
  readonly after: string;
  readonly limit: number;
}

export interface ChangeOp {
  readonly op: 'change';
  readonly kind: 'hold' | 'unhold' | 'remove' | 'resend';
  readonly page: Page;
}

export interface Retention {
  readonly ageMs: number;
  readonly maxMessages: number;
  readonly maxBytes: number;
}

export type Op =
  | PutOp
  | ChunkOp
  | SettleOp
  | ClaimOp
  | ChangeOp
  | { readonly op: 'drop'; readonly n: number }
  | { readonly op: 'release'; readonly id: MessageId }
  | { readonly op: 'next-due'; readonly state: number }
  | { readonly op: 'locate'; readonly id: MessageId }
  | { readonly op: 'read'; readonly n: number; readonly sequence: number }
  | { readonly op: 'select'; readonly page: Page }
  | { readonly op: 'sweep'; readonly now: number; readonly retention: Retention }
  | { readonly op: 'files' };

/** A row of the message table, in the order of ROW_COLUMNS. */
export type Row = readonly [
  n: number,
  id: MessageId,
  state: number,
  place: Place,
  sender: string,
  recipients: string,
  flags: number,
  size: number,
  receivedAt: number,
  dueAt: number,
  rounds: number,
  reason: string,
];

export const ROW_COLUMNS =
  'n, id, state, place, sender, recipients, flags, size, received_at, due_at, rounds, reason';

export interface ClaimedRow {
  readonly row: Row;
  readonly body: Uint8Array | undefined;
}

/** Rows of a page, and where the next one begins (undefined: there is none). */
export interface Selected {
  readonly rows: readonly Row[];
  readonly next: string | undefined;
}

/** What a change did; `revive` are dead messages whose resend needs a file moved first. */
export interface Changed {
  readonly chosen: number;
  readonly revive: readonly Row[];
  readonly next: string | undefined;
}

export interface Results {
  readonly put: undefined;
  readonly chunk: undefined;
  readonly settle: undefined;
  readonly drop: undefined;
  readonly release: undefined;
  readonly claim: readonly ClaimedRow[];
  readonly 'next-due': number | undefined;
  readonly locate: Row;
  readonly read: Uint8Array | undefined;
  readonly select: Selected;
  readonly change: Changed;
  readonly sweep: number;
  readonly files: undefined;
}

/** Main → worker: the operations of one tick. */
export interface Request {
  /** The time at the main thread, whose clock is the spool's. */
  readonly now: number;
  /** Number of the first operation; the others follow. */
  readonly first: number;
  readonly ops: readonly Op[];
  /** Ends the store after these operations. */
  readonly close: boolean;
}

export type Answer =
  | { readonly call: number; readonly value: unknown }
  | { readonly call: number; readonly kind: SpoolErrorKind; readonly message: string };

/** Messages, bytes and age of the oldest by state code; oldest is 0 when there is none. */
export interface Counters {
  /** Room inside the database file: pages that hold nothing any more, less those that the log may add to it. */
  readonly spareBytes: number;
  readonly messages: readonly number[];
  readonly bytes: readonly number[];
  readonly oldest: readonly number[];
}

/** Worker → main. */
export type Report =
  | {
      readonly type: 'ready';
      readonly nextN: number;
      readonly lastId: MessageId | undefined;
      /** When the last round began of all that wait in emails/failed, 0 when none does. */
      readonly lastTriedAt: number;
      readonly counters: Counters;
      readonly events: readonly RelayEvent[];
    }
  | { readonly type: 'refused'; readonly kind: SpoolErrorKind; readonly message: string }
  | {
      readonly type: 'answers';
      readonly answers: readonly Answer[];
      readonly counters: Counters;
      readonly events: readonly RelayEvent[];
      /** Why the store is no longer trusted. */
      readonly failure: string | undefined;
      readonly closed: boolean;
    };

/** What the worker is started with. */
export interface StoreOptions {
  readonly directory: string;
  readonly now: number;
  readonly volumeBytes: number;
}
