/**
 * Bodies as files: emails/failed/<id>.eml and emails/dead/<id>.eml. A file
 * appears under its name only when its bytes are on disk; whoever relies on
 * the name must sync the directory first. Links are never followed, names
 * come from checked ids alone, and nothing is overwritten but our own copy.
 */
import { constants } from 'node:fs';
import { type FileHandle, open, rename, unlink } from 'node:fs/promises';
import { join } from 'node:path';
import type { MessageId } from './message.ts';
import { isMessageId } from './message-id.ts';
import { IN_DEAD, IN_FAILED, type Place } from './protocol.ts';

/** Called at each named step of a commit order; tests stop the process there. Absent in production. */
export type StepHook = (step: string) => void;

const { O_CREAT, O_EXCL, O_NOFOLLOW, O_RDONLY, O_WRONLY, O_DIRECTORY } = constants;
export const TEMPORARY = '.tmp';

/** Thrown when an fsync failed: what the disk holds is unknown, whatever errno said. */
export class SyncError extends Error {
  constructor(path: string, cause: unknown) {
    super(`fsync of ${path} failed: ${cause instanceof Error ? cause.message : String(cause)}`, { cause });
    this.name = 'SyncError';
  }
}

export function bodyDirectory(directory: string, place: Place): string {
  if (place === IN_FAILED) return join(directory, 'failed');
  if (place === IN_DEAD) return join(directory, 'dead');
  throw new Error(`place ${place} is not a directory`);
}

export function bodyPath(directory: string, place: Place, id: MessageId): string {
  if (!isMessageId(id)) throw new Error('not a message id');
  return join(bodyDirectory(directory, place), `${id}.eml`);
}

async function sync(handle: FileHandle, path: string): Promise<void> {
  try {
    await handle.sync();
  } catch (error) {
    throw new SyncError(path, error);
  }
}

/** Makes entries of a directory durable; one that somebody removed has none. Throws SyncError. */
export async function syncDirectory(path: string): Promise<void> {
  const handle = await open(path, O_RDONLY | O_DIRECTORY).catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return undefined;
    throw error;
  });
  if (handle === undefined) return;
  try {
    await sync(handle, path);
  } finally {
    await handle.close();
  }
}

async function createTemporary(path: string): Promise<FileHandle> {
  const flags = O_CREAT | O_EXCL | O_WRONLY | O_NOFOLLOW;
  try {
    return await open(path, flags, 0o640);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
    // Left by a write of this process that failed: nobody else writes here.
    await unlink(path);
    return await open(path, flags, 0o640);
  }
}

/**
 * Writes a body and gives it its name; the directory is left to the caller
 * to sync, once for many. On failure nothing is left behind.
 */
export async function writeBody(path: string, chunks: Iterable<Uint8Array>, step?: StepHook): Promise<void> {
  const temporary = path + TEMPORARY;
  const handle = await createTemporary(temporary);
  step?.('file-created');
  try {
    try {
      for (const chunk of chunks) await writeAll(handle, chunk);
      step?.('file-written');
      await sync(handle, temporary);
      step?.('file-synced');
    } finally {
      await handle.close();
    }
    await rename(temporary, path);
  } catch (error) {
    await unlink(temporary).catch(() => undefined);
    throw error;
  }
  step?.('file-renamed');
}

async function writeAll(handle: FileHandle, chunk: Uint8Array): Promise<void> {
  let rest = chunk;
  while (rest.length > 0) {
    const { bytesWritten } = await handle.write(rest);
    rest = rest.subarray(bytesWritten);
  }
}

/** Removes a body; one that is not there is no error. */
export async function removeBody(path: string): Promise<void> {
  try {
    await unlink(path);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
  }
}
