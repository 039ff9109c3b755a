/**
 * A body in order, from wherever it is: the next chunk is on its way while
 * one is used, and no more than that is in memory. A body that moves to its
 * file meanwhile is read on from there.
 */
import { constants } from 'node:fs';
import { type FileHandle, open } from 'node:fs/promises';
import { bodyPath } from './body-files.ts';
import { canonicalLines } from './canonical.ts';
import type { Channel } from './channel.ts';
import type { MessageId } from './message.ts';
import { CHUNK_BYTES, IN_DATABASE, IN_FAILED, NOWHERE, type Place, type Row } from './protocol.ts';
import { type Claim, SpoolError } from './spool.ts';

/** Half a chunk, because repairing line ends may double it. */
const FILE_BYTES = CHUNK_BYTES / 2;
const LEAST_READ_BYTES = 4096;
/** Nothing, a link, a socket or a device without a driver. */
const NO_FILE: ReadonlySet<string> = new Set(['ENOENT', 'ELOOP', 'ENXIO', 'ENODEV']);

/**
 * Throws SpoolError 'not-found' when there is no such message, or its body was
 * taken away. A claim that knows of the file spares the question to the store:
 * a resend waits for the disk alone, not for the next commit.
 */
export async function* readBody(
  directory: string,
  channel: Channel,
  { id, claim }: { readonly id: MessageId; readonly claim?: Claim | undefined },
): AsyncIterable<Buffer> {
  if (claim?.filed === true) {
    yield* readFile(directory, { id, place: IN_FAILED, size: claim.message.size });
    return;
  }
  const row = await channel.call({ op: 'locate', id });
  if (row[3] === IN_DATABASE) yield* readChunks(directory, channel, row);
  else yield* readFile(directory, fileOf(row));
}

async function* readChunks(directory: string, channel: Channel, row: Row): AsyncIterable<Buffer> {
  const [n, id, , , , , , size] = row;
  const count = Math.ceil(size / CHUNK_BYTES);
  const fetch = (sequence: number) => {
    const chunk = channel.call({ op: 'read', n, sequence });
    // It may be abandoned before it is awaited.
    chunk.catch(() => undefined);
    return chunk;
  };
  let next = count > 0 ? fetch(0) : undefined;
  for (let sequence = 0; sequence < count; sequence++) {
    const chunk = await next;
    next = sequence + 1 < count ? fetch(sequence + 1) : undefined;
    if (chunk === undefined) {
      // Moved to its file between two chunks.
      yield* readRest(directory, channel, { id, skip: sequence * CHUNK_BYTES });
      return;
    }
    yield Buffer.from(chunk.buffer, chunk.byteOffset, chunk.byteLength);
  }
}

async function* readRest(
  directory: string,
  channel: Channel,
  rest: { readonly id: MessageId; readonly skip: number },
): AsyncIterable<Buffer> {
  const row = await channel.call({ op: 'locate', id: rest.id });
  if (row[3] === IN_DATABASE) throw new SpoolError('io', `the body of ${rest.id} is not whole`);
  let skip = rest.skip;
  for await (const chunk of readFile(directory, fileOf(row))) {
    const skipped = Math.min(skip, chunk.length);
    skip -= skipped;
    if (skipped < chunk.length) yield chunk.subarray(skipped);
  }
}

interface BodyFile {
  readonly id: MessageId;
  readonly place: Place;
  readonly size: number;
}

function fileOf([, id, , place, , , , size]: Row): BodyFile {
  return { id, place, size };
}

async function* readFile(directory: string, { id, place, size }: BodyFile): AsyncIterable<Buffer> {
  if (place === NOWHERE) throw new SpoolError('not-found', `the body of ${id} is missing`);
  const path = bodyPath(directory, place, id);
  const handle = await openBody(path, id);
  yield* canonicalLines(bytesOf(handle, size));
}

/** What is no file (a pipe, a device, a link) is as good as not there; opening it waits for nobody. */
async function openBody(path: string, id: MessageId): Promise<FileHandle> {
  const flags = constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK;
  const handle = await open(path, flags).catch((error: unknown) => {
    const code = (error as NodeJS.ErrnoException).code ?? '';
    const kind = NO_FILE.has(code) ? 'not-found' : 'io';
    throw new SpoolError(kind, `the body of ${id} cannot be read from ${path}: ${code}`, error);
  });
  if ((await handle.stat()).isFile()) return handle;
  await handle.close();
  throw new SpoolError('not-found', `the body of ${id} cannot be read from ${path}: it is no file`);
}

/**
 * In buffers no larger than the file needs: a stream would take a full one for
 * each small message. `size` is what was written; people may have changed it.
 */
async function* bytesOf(handle: FileHandle, size: number): AsyncIterable<Buffer> {
  try {
    for (let total = 0; ; ) {
      // One byte more than there should be: a read that does not fill it met the end.
      const buffer = Buffer.allocUnsafeSlow(Math.min(FILE_BYTES, Math.max(LEAST_READ_BYTES, size + 1)));
      const { bytesRead } = await handle.read(buffer, 0, buffer.length);
      if (bytesRead === 0) return;
      total += bytesRead;
      yield buffer.subarray(0, bytesRead);
      if (bytesRead < buffer.length && total === size) return;
    }
  } finally {
    // Nothing was written, so nothing can go wrong that anybody would wait for.
    handle.close().catch(() => undefined);
  }
}
