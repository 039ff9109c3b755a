/**
 * The log: one line per event, as JSON for machines or as short text for a
 * terminal; what a client repeats is summed up (repeats.ts). Writing is buffered and never waits for the reader; close() loses
 * nothing, a crash at most the last 4 KiB or 100 ms. Never contains message
 * content (events have none) nor any secret it was told of.
 */
import { type DestinationStream, pino } from 'pino';
import { type Level, levelOf } from './catalogue.ts';
import type { Emit } from './events.ts';
import { printable, redacted, secretPattern } from './printable.ts';
import { type LogLine, Repeats } from './repeats.ts';
import { openStandardOutput } from './standard-output.ts';
import { textLine } from './text-line.ts';

export type LogFormat = 'json' | 'text';

export interface LogOptions {
  /** Events below this level are dropped. */
  readonly level: Level;
  /** Default json. */
  readonly format?: LogFormat;
  /** Values that must never be written, whoever echoes them (passwords). */
  readonly secrets?: readonly string[];
  /** Where lines go instead of standard output; written to synchronously, for tests and demonstrations. */
  readonly stream?: { write(line: string): unknown };
  /** Default Date.now. Milliseconds since the epoch. */
  readonly now?: () => number;
  /** Default performance.now: steps of the wall clock must not lengthen what is summed up. */
  readonly monotonic?: () => number;
}

export interface Log {
  readonly emit: Emit;
  /** A reload changed the level or the secrets. */
  configure(change: { readonly level?: Level; readonly secrets?: readonly string[] }): void;
  /** Resolves when every line is with the operating system, at the latest after 2 s (a reader that stopped reading). */
  close(): Promise<void>;
}

/** Longest reply written; see Reply in delivery. */
const replyLimit = 512;
/** Longest other text written. */
const textLimit = 2048;

const rank: Record<Level, number> = { debug: 20, info: 30, warn: 40, error: 50 };

/** Opens the log. `emit` never throws and never blocks. */
export function createLog(options: LogOptions): Log {
  const now = options.now ?? Date.now;
  const target = options.stream === undefined ? openStandardOutput() : undefined;
  const stream: DestinationStream = (target?.stream ?? options.stream) as DestinationStream;
  const write = options.format === 'text' ? textWriter(stream, now) : jsonWriter(stream, now);
  let threshold = rank[options.level];
  let pattern = secretPattern(options.secrets ?? []);
  let closed = false;
  const summing = summingUp(options.monotonic ?? (() => performance.now()), line => {
    const level = levelOf(line);
    if (rank[level] >= threshold) write(level, safe(line, pattern));
  });
  return {
    emit(event) {
      if (!closed && rank[levelOf(event)] >= threshold) summing.take(event);
    },
    configure(change) {
      if (change.level !== undefined) threshold = rank[change.level];
      if (change.secrets !== undefined) pattern = secretPattern(change.secrets);
    },
    async close() {
      if (closed) return;
      closed = true;
      summing.close();
      await target?.close();
    },
  };
}

/** Hands on what is news, and the sum of the rest whenever a window ends. */
function summingUp(now: () => number, put: (line: LogLine) => void): { readonly take: Emit; close(): void } {
  const repeats = new Repeats();
  let timer: NodeJS.Timeout | undefined;
  const arm = (): void => {
    const end = repeats.nextEnd;
    if (timer !== undefined || end === undefined) return;
    const ended = (): void => {
      timer = undefined;
      // The timer decides, not a clock beside it: by that it may be a little early.
      for (const line of repeats.ended(Math.max(end, now()))) put(line);
      arm();
    };
    timer = setTimeout(ended, Math.max(0, end - now()));
    timer.unref();
  };
  return {
    take(event) {
      if (repeats.isNews(event, now())) put(event);
      arm();
    },
    close() {
      clearTimeout(timer);
      for (const line of repeats.rest()) put(line);
    },
  };
}

type Write = (level: Level, line: LogLine) => void;

function jsonWriter(stream: DestinationStream, now: () => number): Write {
  const logger = pino(
    {
      level: 'debug',
      base: null,
      timestamp: isoTime(now),
      formatters: { level: label => ({ level: label }) },
    },
    stream,
  );
  return (level, line) => logger[level](line);
}

/** Formatting a time costs as much as the rest of a line; busy milliseconds share it. */
function isoTime(now: () => number): () => string {
  let at = Number.NaN;
  let text = '';
  return () => {
    const ms = now();
    if (ms !== at) text = `,"time":"${new Date(ms).toISOString()}"`;
    at = ms;
    return text;
  };
}

function textWriter(stream: DestinationStream, now: () => number): Write {
  return (level, line) => stream.write(`${textLine(line, level, new Date(now()))}\n`);
}

/** The line with every text made safe to print. */
function safe(line: LogLine, pattern: RegExp | undefined): LogLine {
  const result: Record<string, unknown> = { ...line };
  for (const key of Object.keys(result)) {
    const value = result[key];
    const limit = key === 'reply' ? replyLimit : textLimit;
    if (typeof value === 'string') result[key] = printable(redacted(value, pattern), limit);
    else if (Array.isArray(value)) {
      result[key] = value.map(item => printable(redacted(String(item), pattern), limit));
    }
  }
  return result as unknown as LogLine;
}
