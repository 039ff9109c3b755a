import type { Clock } from './clock.ts';

/** `high`: somebody waits for it (an edit, drift). `low`: a resync, a periodic look. */
export type Priority = 'high' | 'low';

/** Nothing = done. `requeueAfterMs` = done for now, look again then (no backoff). `retry` = as if it had failed. */
export type HandlerResult = undefined | { requeueAfterMs: number; priority?: Priority } | { retry: true };

export interface WorkQueueHooks {
  onAdd?: () => void;
  onDepth?: (depth: number) => void;
  /** From added to taken. */
  onTaken?: (waitedMs: number) => void;
  onDone?: (key: string, tookMs: number, outcome: 'success' | 'requeue_after' | 'requeue' | 'error') => void;
  onError?: (key: string, error: unknown, failures: number, retryInMs: number) => void;
  onRetry?: () => void;
}

export interface WorkQueueOptions {
  /** Works on one key; never called twice at a time for the same key. `signal` aborts when a stop runs out of patience. */
  handler: (key: string, signal: AbortSignal) => Promise<HandlerResult>;
  workers?: number;
  /** First and longest pause of a failing key; default 200 ms and 5 min, doubled each time, jittered. */
  backoffMs?: readonly [number, number];
  hooks?: WorkQueueHooks;
  clock?: Clock;
  random?: () => number;
}

export interface WorkQueue {
  /** Wants `key` worked on as soon as possible; while it is being worked on, once more afterwards. Default `high`. */
  add(key: string, priority?: Priority): void;
  /** The same after a delay; of several the earliest counts. Default `low`. */
  addAfter(key: string, delayMs: number, priority?: Priority): void;
  /** Drops a key that waits, its delays and its failure count; a running handler goes on. */
  forget(key: string): void;
  failures(key: string): number;
  readonly depth: number;
  readonly working: number;
  start(): void;
  /** Takes no more; resolves when the running handlers are done, after `timeoutMs` their signal is aborted. */
  stop(timeoutMs?: number): Promise<void>;
}

export declare function createWorkQueue(options: WorkQueueOptions): WorkQueue;
