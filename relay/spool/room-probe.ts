/**
 * Asks the volume itself whether it takes anything more. SQLite knows one way
 * of being full, ENOSPC at a write: a quota (EDQUOT) looks to it like a broken
 * disk, and want of inodes like a file that cannot be opened.
 */
import { randomFillSync } from 'node:crypto';
import { closeSync, fsyncSync, openSync, rmSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { explains, perhapsFull, type Trouble, troubleOf } from './trouble.ts';

const NAME = 'room.tmp';
const BLOCK_BYTES = 64 * 1024;

/**
 * What an error of the database in this directory means, the volume having been asked where SQLite cannot know.
 * `bytes`: as much as what failed may have wanted.
 */
export function troubleIn(directory: string, bytes: number, error: unknown): Trouble {
  return perhapsFull(error) && explains(refusalOf(directory, bytes), error) ? 'full' : troubleOf(error);
}

/** Removes what a process left that was killed while it asked. */
export function forgetProbe(directory: string): void {
  rmSync(join(directory, NAME), { force: true });
}

/** Why the volume does not take so much more; undefined = it does. */
function refusalOf(directory: string, bytes: number): unknown {
  const path = join(directory, NAME);
  try {
    write(path, bytes);
    return undefined;
  } catch (error) {
    return error;
  } finally {
    rmSync(path, { force: true });
  }
}

/** To the disk, since a network file system may say only then that there is no room. */
function write(path: string, bytes: number): void {
  const file = openSync(path, 'w', 0o600);
  try {
    // Random, for a file system that compresses would keep zeros in no room at all.
    const block = randomFillSync(Buffer.allocUnsafe(BLOCK_BYTES));
    // A block is taken in part where that is all there is room for; the next one is refused.
    for (let written = 0; written < bytes; ) written += writeSync(file, block);
    fsyncSync(file);
  } finally {
    closeSync(file);
  }
}
