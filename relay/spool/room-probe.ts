/**
 * Asks the volume itself whether it takes anything more. SQLite knows one way
 * of being full, ENOSPC at a write: a quota (EDQUOT) looks to it like a broken
 * disk, and want of inodes like a file that cannot be opened.
 */
import { randomFillSync } from 'node:crypto';
import { closeSync, fsyncSync, openSync, rmSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { perhapsFull, type Trouble, troubleOf } from './trouble.ts';

/** More than one page: what is missing is seldom the last few bytes. */
const PROBE_BYTES = 256 * 1024;

/** What an error of the database in this directory means, the volume having been asked where SQLite cannot know. */
export function troubleIn(directory: string, error: unknown): Trouble {
  return perhapsFull(error) && takesNoMore(directory) ? 'full' : troubleOf(error);
}

function takesNoMore(directory: string): boolean {
  const path = join(directory, 'room.tmp');
  try {
    write(path);
    return false;
  } catch (error) {
    return troubleOf(error) === 'full';
  } finally {
    rmSync(path, { force: true });
  }
}

/** To the disk, since a network file system may say only then that there is no room. */
function write(path: string): void {
  const file = openSync(path, 'w', 0o600);
  try {
    // Random, for a file system that compresses would keep zeros in no room at all.
    writeSync(file, randomFillSync(Buffer.allocUnsafe(PROBE_BYTES)));
    fsyncSync(file);
  } finally {
    closeSync(file);
  }
}
