/**
 * What an error of SQLite or of a file means for the store: out of room
 * (goes by itself), no longer to be trusted (never retried on the same file),
 * or the affair of one operation. Source: sqlite.org/rescode.html, errno(3).
 */
import { constants } from 'node:os';
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
  ['EIO', 'io'],
  ['EROFS', 'io'],
  ['ENXIO', 'io'],
  ['ESTALE', 'io'],
]);

/** SQLITE_IOERR_WRITE: the write itself failed and was undone, whatever errno said. */
const WRITE_FAILED = 778;
const CANNOT_OPEN = 14;

/** A volume without room (quota, inodes) may look to SQLite like this. Only the volume knows: troubleIn (room-probe.ts). */
export function perhapsFull(error: unknown): boolean {
  const errcode = sqliteCode(error);
  return errcode !== undefined && (errcode === WRITE_FAILED || (errcode & 0xff) === CANNOT_OPEN);
}

/** Whether what the volume answers to another file, written there and then, is the reason of such an error. */
export function explains(refusal: unknown, error: unknown): boolean {
  // A write that failed with ENOSPC SQLite would have named so.
  return sqliteCode(error) === WRITE_FAILED ? isQuota(refusal) : troubleOf(refusal) === 'full';
}

/** EDQUOT: libuv has no name for it, so that such an error has its number alone. */
function isQuota(error: unknown): boolean {
  return (error as NodeJS.ErrnoException | undefined)?.errno === -constants.errno.EDQUOT;
}

function sqliteCode(error: unknown): number | undefined {
  if (typeof error !== 'object' || error === null) return undefined;
  const { code, errcode } = error as { code?: unknown; errcode?: unknown };
  return code === 'ERR_SQLITE_ERROR' && typeof errcode === 'number' ? errcode : undefined;
}

export function troubleOf(error: unknown): Trouble {
  const errcode = sqliteCode(error);
  if (errcode !== undefined) return SQLITE.get(errcode & 0xff) ?? 'other';
  if (error instanceof Refusal) return error.kind === 'disk-full' ? 'full' : 'other';
  if (isQuota(error)) return 'full';
  if (typeof error !== 'object' || error === null) return 'other';
  const { code } = error as { code?: unknown };
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
  if (isQuota(error)) return `EDQUOT: disk quota exceeded, ${(error as NodeJS.ErrnoException).syscall}`;
  return error instanceof Error ? error.message : String(error);
}
