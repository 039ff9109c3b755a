/**
 * Standard output as the log's target: buffered, written beside mail, and
 * never what keeps the process from ending. Where nobody reads any more, lines
 * are given up 2 s after the end was asked for.
 */
import { type DestinationStream, pino } from 'pino';

/** Flushed when that many bytes wait: a few dozen lines a system call. */
const bufferBytes = 4096;
/** … or at the latest after this long. */
const flushMs = 100;
/** A reader that stopped reading costs this much memory, then lines are dropped. */
const backlogBytes = 16 * 1024 * 1024;
const closeMs = 2000;

const nothing = (): void => undefined;

export interface StandardOutput {
  readonly stream: DestinationStream;
  /** Resolves when every line is with the operating system, at the latest after 2 s. */
  close(): Promise<void>;
}

export function openStandardOutput(): StandardOutput {
  // To look at it makes a pipe one that does not block: when it is full a write says so at once, instead of
  // holding a thread for ever, which no process.exit() gets past.
  const { fd } = process.stdout;
  let giveUpAt = Number.POSITIVE_INFINITY;
  const destination = pino.destination({
    dest: fd,
    sync: false,
    minLength: bufferBytes,
    maxLength: backlogBytes,
    periodicFlush: flushMs,
    retryEAGAIN: () => performance.now() < giveUpAt,
  });
  // A log that cannot be written (its reader is gone, its disk is full) must not stop mail.
  destination.on('error', nothing);
  // What is not written by then stays unwritten: pino would go on, at the exit for ever.
  const giveUp = (): void => {
    giveUpAt = 0;
    Object.assign(destination, { flush: nothing, flushSync: nothing, end: nothing });
  };
  const atExit = (): void => {
    giveUpAt = Math.min(giveUpAt, performance.now() + closeMs);
    try {
      destination.flushSync();
    } catch {
      // Full to the last, or its reader is gone.
    }
    giveUp();
  };
  // Before pino's own.
  process.prependListener('exit', atExit);
  return {
    stream: destination,
    close: async () => {
      const { promise, resolve } = Promise.withResolvers<void>();
      const late = setTimeout(() => {
        giveUp();
        resolve();
      }, closeMs);
      destination.flush(() => resolve());
      await promise;
      clearTimeout(late);
    },
  };
}
