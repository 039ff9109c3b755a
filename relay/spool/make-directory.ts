/** `mkdir -p` that ends on every file system, and a directory whose name is on disk. */
import { mkdir, stat } from 'node:fs/promises';
import { dirname } from 'node:path';
import { syncDirectory } from './body-files.ts';

/**
 * Makes the directory, and sees to it that a loss of power does not take away
 * its name with everything below. Its own name is synced even where it was
 * there already: whoever made it may have died before. `path` is absolute.
 */
export async function makeDurable(path: string): Promise<void> {
  const first = await makeDirectory(path);
  const highest = dirname(first ?? path);
  for (let parent = dirname(path); ; parent = dirname(parent)) {
    await syncDirectory(parent);
    if (parent.length <= highest.length) return;
  }
}

/**
 * As `mkdir -p`; resolves with the highest directory that was missing.
 * `recursive` of Node.js never ends where a directory that is there answers
 * ENOENT to whatever is to be made in it, as /proc does.
 */
export async function makeDirectory(path: string, mode?: number): Promise<string | undefined> {
  try {
    await mkdir(path, { mode });
    return path;
  } catch (error) {
    if (await isDirectory(path)) return undefined;
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
    const parent = dirname(path);
    if (await isDirectory(parent)) throw barren(parent, error as Error);
    const first = await makeDirectory(parent, mode);
    const made = await makeDirectory(path, mode);
    return first ?? made;
  }
}

/** ENOENT says that the parent is missing, which is not so here. */
function barren(parent: string, cause: Error): Error {
  return new Error(`${cause.message}; ${parent} is there, and takes no directory`, { cause });
}

async function isDirectory(path: string): Promise<boolean> {
  return stat(path).then(
    found => found.isDirectory(),
    () => false,
  );
}
