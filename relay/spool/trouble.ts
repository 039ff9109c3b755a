/**
 * What an error of SQLite or of a file means for the store: out of room
 * (goes by itself), no longer to be trusted (never retried on the same file),
 * or the affair of one operation. Source: sqlite.org/rescode.html, errno(3).
 */
import type { SpoolErrorKind } from './spool.ts';

/**
 * full    no room: undone, may work later
 * io      a read, write or fsync failed: what is on disk is unknown
 * corrupt the database is not what was written
 * busy    another process holds the lock
 * other   this operation alone
 */
export type Trouble = 'full' | 'io' | 'corrupt' | 'busy' | 'other';

// Primary result codes: extended codes carry them in their low byte.
const SQLITE: ReadonlyMap<number, Trouble> = new Map([
  [5, 'busy'],
  [6, 'busy'],
  [8, 'io'], // READONLY: the volume was remounted, or the file moved away
  [10, 'io'],
  [11, 'corrupt'],
  [13, 'full'],
  [14, 'io'], // CANTOPEN
  [26, 'corrupt'],
]);

const SYSTEM: ReadonlyMap<string, Trouble> = new Map([
  ['ENOSPC', 'full'],
  ['EDQUOT', 'full'],
  ['EIO', 'io'],
  ['EROFS', 'io'],
  ['ENXIO', 'io'],
  ['ESTALE', 'io'],
]);

export function troubleOf(error: unknown): Trouble {
  if (typeof error !== 'object' || error === null) return 'other';
  const { code, errcode } = error as { code?: unknown; errcode?: unknown };
  if (code === 'ERR_SQLITE_ERROR' && typeof errcode === 'number')
    return SQLITE.get(errcode & 0xff) ?? 'other';
  return typeof code === 'string' ? (SYSTEM.get(code) ?? 'other') : 'other';
}

/** Thrown by an operation that refuses before it has written anything: its neighbours in the batch go on. */
export class Refusal extends Error {
  readonly kind: SpoolErrorKind;
  constructor(kind: SpoolErrorKind, message: string) {
    super(message);
    this.name = 'Refusal';
    this.kind = kind;
  }
}

/** As what an error keeps a store from being opened. */
export function refusalKind(error: unknown): SpoolErrorKind {
  switch (troubleOf(error)) {
    case 'full':
      return 'disk-full';
    case 'corrupt':
      return 'corrupt';
    default:
      return 'io';
  }
}

/** The error in one line, for people. */
export function describe(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
