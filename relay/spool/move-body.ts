/**
 * Gives a body its place in a directory that somebody may have removed while
 * the store is open (rm -r, a restored backup): the directory is made again.
 * A body is called missing only when there is none under its old name.
 */
import { lstat, rename } from 'node:fs/promises';
import { dirname } from 'node:path';
import { makeDurable } from './make-directory.ts';

/** Thrown when the body that was to be moved is not there: somebody took it away. */
export class MissingBody extends Error {
  constructor(path: string, cause: unknown) {
    super(`there is no ${path}`, { cause });
    this.name = 'MissingBody';
  }
}

/** Renames a body. Syncing both directories is left to the caller, once for many. Throws MissingBody. */
export async function moveBody(from: string, to: string): Promise<void> {
  try {
    await intoDirectory(dirname(to), () => rename(from, to));
  } catch (error) {
    throw isAbsent(error) && (await isGone(from)) ? new MissingBody(from, error) : error;
  }
}

/** Does what makes a file in `directory`; where that is not there, makes it, durably, and does it once more. */
export async function intoDirectory(directory: string, work: () => Promise<void>): Promise<void> {
  try {
    await work();
  } catch (error) {
    if (!isAbsent(error)) throw error;
    await makeDurable(directory);
    await work();
  }
}

function isAbsent(error: unknown): boolean {
  return (error as NodeJS.ErrnoException).code === 'ENOENT';
}

function isGone(path: string): Promise<boolean> {
  return lstat(path).then(() => false, isAbsent);
}
