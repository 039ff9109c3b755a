/** Opens the spool: the store's thread, the watch over the volume, and what users see of both. */
import { mkdir, stat } from 'node:fs/promises';
import { dirname, resolve } from 'node:path';
import { syncDirectory } from './body-files.ts';
import { Channel } from './channel.ts';
import { Disk, volumeOf } from './disk.ts';
import { openInFlight } from './in-flight.ts';
import type { MessageId } from './message.ts';
import { type Counters, DEAD } from './protocol.ts';
import { checkSettings, type OpenSpool, type SpoolOptions } from './settings.ts';
import { SpoolError } from './spool.ts';
import { SqliteSpool } from './sqlite-spool.ts';

export type { OpenSpool, SpoolOptions, SpoolSettings } from './settings.ts';

/** A bundle has the thread's program beside it under this name. */
function workerUrl(): URL {
  const source = import.meta.url.endsWith('.ts');
  return new URL(source ? './worker.ts' : './spool-worker.js', import.meta.url);
}

/**
 * Makes the directory, and sees to it that a loss of power does not take away
 * its name with everything below. Its own name is synced even where it was
 * there already: whoever made it may have died before.
 */
async function makeDirectory(path: string): Promise<void> {
  const first = await makeAll(path);
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
async function makeAll(path: string): Promise<string | undefined> {
  try {
    await mkdir(path);
    return path;
  } catch (error) {
    if (await isDirectory(path)) return undefined;
    const parent = dirname(path);
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT' || (await isDirectory(parent))) throw error;
    const first = await makeAll(parent);
    const made = await makeAll(path);
    return first ?? made;
  }
}

async function isDirectory(path: string): Promise<boolean> {
  return stat(path).then(
    found => found.isDirectory(),
    () => false,
  );
}

/**
 * Opens or creates the store in a directory and puts it in order. Rejects
 * with SpoolError: owned (another process has it), corrupt (or written by a
 * newer program), disk-full, io.
 */
export async function openSpool(options: SpoolOptions): Promise<OpenSpool> {
  checkSettings(options);
  await makeDirectory(resolve(options.directory));
  const volume = await volumeOf(options.directory);
  const disk = new Disk({
    look: () => volumeOf(options.directory),
    maxMessageBytes: options.maxMessageBytes,
    reserveBytes: options.reserveBytes,
    emit: options.emit,
  });
  const reports: { take?: (counters: Counters) => void } = {};
  const { channel, ready } = await Channel.start({
    worker: options.worker ?? workerUrl(),
    store: {
      directory: options.directory,
      now: options.now(),
      volumeBytes: volume.totalBytes,
    },
    now: options.now,
    onReport: ({ counters, events }) => {
      reports.take?.(counters);
      for (const event of events) options.emit(event);
    },
  });
  const notes = await openInFlight({
    directory: options.directory,
    waits: id => waits(channel, id),
    failed: message => options.emit({ event: 'spool-failed', message }),
  });
  const spool = new SqliteSpool({ options, channel, disk, notes, ready });
  reports.take = counters => spool.counted(counters);
  for (const event of ready.events) options.emit(event);
  await disk.start();
  return spool;
}

/** Whether that message is still to be sent; while the store cannot say, it may be. */
async function waits(channel: Channel, id: MessageId): Promise<boolean> {
  try {
    const row = await channel.call({ op: 'locate', id });
    return row[2] !== DEAD;
  } catch (error) {
    return !(error instanceof SpoolError && error.kind === 'not-found');
  }
}
