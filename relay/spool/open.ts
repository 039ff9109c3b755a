/** Opens the spool: the store's thread, the watch over the volume, and what users see of both. */
import { resolve } from 'node:path';
import { Channel } from './channel.ts';
import { Disk, type Volume, volumeOf, withSpare } from './disk.ts';
import { openInFlight } from './in-flight.ts';
import { makeDurable } from './make-directory.ts';
import type { MessageId } from './message.ts';
import { type Counters, DEAD } from './protocol.ts';
import { Quarantine } from './quarantine.ts';
import { checkSettings, type OpenSpool, type SpoolOptions } from './settings.ts';
import { SpoolError } from './spool.ts';
import { SqliteSpool } from './sqlite-spool.ts';
import { describe, refusalKind } from './trouble.ts';

export type { OpenSpool, SpoolOptions, SpoolSettings } from './settings.ts';

/** A bundle has the thread's program beside it under this name. */
function workerUrl(): URL {
  const source = import.meta.url.endsWith('.ts');
  return new URL(source ? './worker.ts' : './spool-worker.js', import.meta.url);
}

/**
 * Opens or creates the store in a directory and puts it in order. Rejects
 * with SpoolError: owned (another process has it), corrupt (or written by a
 * newer program), disk-full, io.
 */
export async function openSpool(options: SpoolOptions): Promise<OpenSpool> {
  checkSettings(options);
  const volume = await volumeBelow(options.directory);
  let spareBytes = 0;
  const disk = new Disk({
    look: async () => withSpare(await volumeOf(options.directory), spareBytes),
    maxMessageBytes: options.maxMessageBytes,
    reserveBytes: options.reserveBytes,
    emit: options.emit,
    now: () => performance.now(),
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
      ({ spareBytes } = counters);
      for (const event of events) options.emit(event);
    },
  });
  const notes = await openInFlight({
    directory: options.directory,
    waits: id => waits(channel, id),
    failed: message => options.emit({ event: 'spool-trouble', message }),
  });
  const quarantine = new Quarantine(options.directory);
  const spool = new SqliteSpool({ options, channel, disk, quarantine, notes, ready });
  reports.take = counters => spool.counted(counters);
  ({ spareBytes } = ready.counters);
  for (const event of ready.events) options.emit(event);
  await Promise.all([disk.start(), quarantine.start()]);
  return spool;
}

/** Makes the directory and asks how large its volume is. */
async function volumeBelow(directory: string): Promise<Volume> {
  try {
    await makeDurable(resolve(directory));
    return await volumeOf(directory);
  } catch (error) {
    throw new SpoolError(refusalKind(error), describe(error), error);
  }
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
