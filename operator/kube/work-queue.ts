/**
 * Which objects want to be looked at, each at most once in the queue and never by two workers at a time. A failing
 * key waits longer each time and keeps nobody else waiting; edits go before resyncs; a stop lets running work end.
 */
import { ApiError } from './api-error.ts';
import { backoffDelay } from './backoff.ts';
import { type Clock, systemClock } from './clock.ts';

/** `high`: somebody waits for it (an edit, drift). `low`: a resync, a periodic look. */
export type Priority = 'high' | 'low';

/** Nothing = done. `requeueAfterMs` = done for now, look again then (no backoff). */
export type HandlerResult = undefined | { requeueAfterMs: number };

/** As controller-runtime counts them. */
export type Outcome = 'success' | 'requeue_after' | 'error';

export interface WorkQueueHooks {
  onAdd?: () => void;
  onDepth?: (depth: number) => void;
  /** From added to taken. */
  onTaken?: (waitedMs: number) => void;
  onDone?: (key: string, tookMs: number, outcome: Outcome) => void;
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
  failures(key: string): number;
  readonly depth: number;
  readonly working: number;
  start(): void;
  /** Takes no more; resolves when the running handlers are done, after `timeoutMs` their signal is aborted. */
  stop(timeoutMs?: number): Promise<void>;
}

const defaultWorkers = 4;
const defaultBackoffMs = [200, 300_000] as const;
const defaultDrainMs = 30_000;
/** One key in so many is taken from the low lane first, so that a resync ends also under constant edits. */
const lowLaneShare = 8;

export function createWorkQueue(options: WorkQueueOptions): WorkQueue {
  return new KeyedQueue(options);
}

interface Delay {
  dueAt: number;
  priority: Priority;
  cancel: () => void;
}

class KeyedQueue implements WorkQueue {
  readonly #options: WorkQueueOptions;
  readonly #clock: Clock;
  readonly #random: () => number;
  readonly #hooks: WorkQueueHooks;
  /** Waiting keys in order of arrival, with the time of it. */
  readonly #lanes: Record<Priority, Map<string, number>> = { high: new Map(), low: new Map() };
  readonly #processing = new Set<string>();
  /** Wanted again while being worked on. */
  readonly #dirty = new Map<string, Priority>();
  readonly #delays = new Map<string, Delay>();
  readonly #failures = new Map<string, number>();
  readonly #patience = new AbortController();
  #taken = 0;
  #state: 'idle' | 'running' | 'stopped' = 'idle';
  #drained: (() => void) | undefined;

  constructor(options: WorkQueueOptions) {
    this.#options = options;
    this.#clock = options.clock ?? systemClock;
    this.#random = options.random ?? Math.random;
    this.#hooks = options.hooks ?? {};
  }

  get depth(): number {
    return this.#lanes.high.size + this.#lanes.low.size;
  }

  get working(): number {
    return this.#processing.size;
  }

  failures(key: string): number {
    return this.#failures.get(key) ?? 0;
  }

  add(key: string, priority: Priority = 'high'): void {
    if (this.#state === 'stopped') return;
    if (this.#processing.has(key)) {
      this.#dirty.set(key, this.#dirty.get(key) === 'high' ? 'high' : priority);
      return;
    }
    if (this.#lanes.high.has(key)) return;
    const waitingSince = this.#lanes.low.get(key);
    if (waitingSince !== undefined && priority === 'low') return;
    this.#lanes.low.delete(key);
    this.#lanes[priority].set(key, waitingSince ?? this.#clock.now());
    if (waitingSince === undefined) this.#hooks.onAdd?.();
    this.#hooks.onDepth?.(this.depth);
    this.#fill();
  }

  addAfter(key: string, delayMs: number, priority: Priority = 'low'): void {
    if (this.#state === 'stopped') return;
    if (delayMs <= 0) {
      this.add(key, priority);
      return;
    }
    const dueAt = this.#clock.now() + delayMs;
    const before = this.#delays.get(key);
    if (before && before.dueAt <= dueAt) return;
    before?.cancel();
    const urgent = before?.priority === 'high' ? 'high' : priority;
    const cancel = this.#clock.after(delayMs, () => {
      this.#delays.delete(key);
      this.add(key, urgent);
    });
    this.#delays.set(key, { dueAt, priority: urgent, cancel });
  }

  start(): void {
    if (this.#state !== 'idle') return;
    this.#state = 'running';
    this.#fill();
  }

  async stop(timeoutMs = defaultDrainMs): Promise<void> {
    if (this.#state !== 'stopped') {
      this.#state = 'stopped';
      for (const key of [...this.#delays.keys()]) this.#dropDelay(key);
      this.#lanes.high.clear();
      this.#lanes.low.clear();
      this.#dirty.clear();
      this.#hooks.onDepth?.(0);
    }
    if (this.#processing.size === 0) return;
    const cancel = this.#clock.after(timeoutMs, () => this.#patience.abort());
    const before = this.#drained;
    await new Promise<void>(resolve => {
      this.#drained = () => {
        before?.();
        resolve();
      };
    });
    cancel();
  }

  #dropDelay(key: string): void {
    this.#delays.get(key)?.cancel();
    this.#delays.delete(key);
  }

  #fill(): void {
    const workers = this.#options.workers ?? defaultWorkers;
    while (this.#state === 'running' && this.#processing.size < workers) {
      const next = this.#take();
      if (!next) return;
      // Rejects never: every failure of the handler is an outcome.
      this.#work(next.key, next.addedAt).catch(() => {});
    }
  }

  #take(): { key: string; addedAt: number } | undefined {
    const { high, low } = this.#lanes;
    const lowFirst = this.#taken % lowLaneShare === lowLaneShare - 1;
    const lanes = lowFirst ? [low, high] : [high, low];
    const lane = lanes.find(candidate => candidate.size > 0);
    if (!lane) return undefined;
    this.#taken++;
    for (const [key, addedAt] of lane) {
      lane.delete(key);
      return { key, addedAt };
    }
    return undefined;
  }

  async #work(key: string, addedAt: number): Promise<void> {
    this.#processing.add(key);
    this.#hooks.onDepth?.(this.depth);
    const startedAt = this.#clock.now();
    this.#hooks.onTaken?.(startedAt - addedAt);
    const outcome = await this.#handle(key);
    this.#hooks.onDone?.(key, this.#clock.now() - startedAt, outcome);
    this.#processing.delete(key);
    const again = this.#dirty.get(key);
    this.#dirty.delete(key);
    if (again) this.add(key, again);
    this.#fill();
    if (this.#processing.size === 0) this.#drained?.();
  }

  async #handle(key: string): Promise<Outcome> {
    try {
      const result = await this.#options.handler(key, this.#patience.signal);
      this.#failures.delete(key);
      if (!result) return 'success';
      this.addAfter(key, result.requeueAfterMs);
      return 'requeue_after';
    } catch (error) {
      this.#retry(key, error);
      return 'error';
    }
  }

  /** The longer of the key's own backoff and what the server asked for, but no longer than the longest backoff. */
  #retry(key: string, error: unknown): void {
    if (this.#state === 'stopped') return;
    const failures = this.failures(key) + 1;
    this.#failures.set(key, failures);
    const pauses = this.#options.backoffMs ?? defaultBackoffMs;
    const backoff = backoffDelay(failures, pauses, this.#random);
    const asked = error instanceof ApiError ? (error.retryAfterSeconds ?? 0) * 1000 : 0;
    const retryInMs = Math.max(backoff, Math.min(asked, pauses[1]));
    this.#hooks.onError?.(key, error, failures, retryInMs);
    this.#hooks.onRetry?.();
    this.addAfter(key, retryInMs);
  }
}
