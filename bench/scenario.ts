/** What every scenario is given and gives back, and what several of them need. */
import type { Timing } from './arena.ts';
import type { SinkOrder } from './messages.ts';
import { type Load, type Sink, startSink } from './processes.ts';

export const KB = 1024;
export const MB = 1024 * KB;
/** No first mail after this long: it never comes. */
export const PATIENCE_MS = 60_000;

/** One line of the published table. */
export interface Row {
  readonly what: string;
  readonly value: number;
  readonly unit: string;
  /** Of the same thing done by the baseline in the same run. */
  readonly baseline?: number;
  readonly target?: Target;
}

/** `ratio`: what `value` is to the baseline on the machine for which it was set; holds where that one is not met. */
export interface Target {
  readonly at: 'most' | 'least';
  readonly value: number;
  readonly ratio?: number;
}

export interface Bench {
  readonly load: Load;
  readonly timing: Timing;
  /** Measurements per shape; the median counts. */
  readonly rounds: number;
  readonly queued: number;
  /** Messages in the queue when the relay starts; 0 = not measured. */
  readonly longQueue: number;
  readonly say: (text: string) => void;
}

export const least = (value: number, ratio?: number): Target => ({
  at: 'least',
  value,
  ...(ratio && { ratio }),
});
export const most = (value: number, ratio?: number): Target => ({
  at: 'most',
  value,
  ...(ratio && { ratio }),
});

export const mebibytes = (bytes: number): number => bytes / MB;

/** A provider for as long as `use` takes. */
export async function withSink<T>(order: SinkOrder, use: (sink: Sink) => Promise<T>): Promise<T> {
  const sink = await startSink(order);
  try {
    return await use(sink);
  } finally {
    await sink.close();
  }
}
