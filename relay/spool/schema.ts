/**
 * The queue database: how it is opened, its schema by version, and its check.
 * A version newer than this program knows is refused, never guessed at.
 */
import { dirname } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { troubleIn } from './room-probe.ts';
import { describe, Refusal } from './trouble.ts';

/**
 * message  one row per message; the authority on where its body is
 * chunk    bodies in the database: key = n × 4096 + sequence
 * draft    large messages whose chunks went ahead of their row: swept at the next start
 * gone     messages that are over, but whose file is still to be unlinked
 *
 * message_due holds all that counting at start needs, so that a million
 * bodies are not read for it; the partial indexes cost fresh mail nothing.
 */
const VERSION_1 = `
CREATE TABLE message (
  n INTEGER PRIMARY KEY,
  id TEXT NOT NULL UNIQUE,
  state INTEGER NOT NULL,
  held_from INTEGER NOT NULL DEFAULT 0,
  place INTEGER NOT NULL DEFAULT 0,
  sender TEXT NOT NULL,
  recipients TEXT NOT NULL,
  flags INTEGER NOT NULL,
  size INTEGER NOT NULL,
  received_at INTEGER NOT NULL,
  due_at INTEGER NOT NULL,
  tried_at INTEGER NOT NULL DEFAULT 0,
  rounds INTEGER NOT NULL DEFAULT 0,
  reason TEXT NOT NULL DEFAULT ''
);
CREATE INDEX message_due ON message (state, due_at, size, place);
CREATE INDEX message_tried ON message (tried_at) WHERE state = 1;
CREATE INDEX message_received ON message (state, received_at) WHERE state > 0;
CREATE TABLE chunk (key INTEGER PRIMARY KEY, data BLOB NOT NULL);
CREATE TABLE draft (n INTEGER PRIMARY KEY);
CREATE TABLE gone (id TEXT PRIMARY KEY, place INTEGER NOT NULL) WITHOUT ROWID;
`;

/** One step per version: MIGRATIONS[v] leads from v to v + 1. */
export const MIGRATIONS: readonly string[] = [VERSION_1];

export const PAGE_BYTES = 8192;
/** More than opening writes: a few pages. */
const OPENING_BYTES = 256 * 1024;
/** Longer logs were not faster: see the measurement in docs/spool.md. */
const MOST_LOG_PAGES = 1024;
const LEAST_LOG_PAGES = 64;
/** Part of the volume that the log may take. */
const LOG_SHARE = 32;

/** Pages of the log after which it is written back, on a volume of that size: at most 8 MB. */
export function logPages(volumeBytes: number): number {
  return Math.max(
    LEAST_LOG_PAGES,
    Math.min(MOST_LOG_PAGES, Math.floor(volumeBytes / LOG_SHARE / PAGE_BYTES)),
  );
}

/** The same in bytes; also the most that one transaction adds (a single operation may add more). */
export function logBytes(volumeBytes: number): number {
  return logPages(volumeBytes) * PAGE_BYTES;
}

/**
 * Bytes kept occupied for a full volume: what writing the log back can ask
 * for at its longest, one full transaction beyond the mark, and a little for
 * indexes. The log can then begin anew and needs no more room.
 */
export function ballastBytes(volumeBytes: number): number {
  return Math.ceil(2.5 * logBytes(volumeBytes));
}

const SETTINGS = `
PRAGMA page_size = ${PAGE_BYTES};
PRAGMA locking_mode = EXCLUSIVE;
PRAGMA journal_mode = WAL;
PRAGMA synchronous = FULL;
PRAGMA temp_store = MEMORY;
PRAGMA cache_size = -8192;
PRAGMA wal_autocheckpoint = 0;
PRAGMA journal_size_limit = 67108864;
`;

/**
 * Opens and locks the database; a new or older one is brought to this
 * program's version. Throws Refusal: owned, corrupt (or too new), io, disk-full.
 */
export function openDatabase(file: string): DatabaseSync {
  let database: DatabaseSync | undefined;
  try {
    database = new DatabaseSync(file, { timeout: 0 });
    database.exec(SETTINGS);
    // For filters: SQLite's lower() knows A to Z alone, addresses may hold any letter (RFC 6531).
    database.function('folded', { deterministic: true }, text => String(text).toLowerCase());
    // The exclusive lock is taken by the first write and then kept.
    database.exec('BEGIN IMMEDIATE; COMMIT');
    migrate(database, file, MIGRATIONS);
    return database;
  } catch (error) {
    database?.close();
    if (error instanceof Refusal) throw error;
    throw refusalOf(error, file);
  }
}

function refusalOf(error: unknown, file: string): Refusal {
  const text = describe(error);
  switch (troubleIn(dirname(file), OPENING_BYTES, error)) {
    case 'busy':
      return new Refusal('owned', `${file} is locked by another process`);
    case 'corrupt':
      return new Refusal('corrupt', `${file} is not a sound database: ${text}`);
    case 'full':
      return new Refusal('disk-full', `${file} cannot be opened, the volume is full: ${text}`);
    default:
      return new Refusal('io', `${file} cannot be opened: ${text}`);
  }
}

/** Applies what is missing, each version in a transaction of its own. */
export function migrate(database: DatabaseSync, file: string, migrations: readonly string[]): void {
  const found = Number(database.prepare('PRAGMA user_version').get()?.['user_version']);
  if (found > migrations.length) {
    throw new Refusal(
      'corrupt',
      `${file} has schema version ${found}, this program knows up to ${migrations.length}: run the newer program again`,
    );
  }
  for (let version = found; version < migrations.length; version++) {
    database.exec(`BEGIN IMMEDIATE; ${migrations[version]}; PRAGMA user_version = ${version + 1}; COMMIT`);
  }
}

/** Throws Refusal 'corrupt' with what SQLite found. Reads the whole file. */
export function checkDatabase(database: DatabaseSync, file: string): void {
  const found = String(database.prepare('PRAGMA quick_check(1)').get()?.['quick_check']);
  if (found !== 'ok') throw new Refusal('corrupt', `${file} failed its check: ${found}`);
}
