/** Time as an argument: a monotonic clock and its timers, so that tests move time instead of waiting for it. */

export interface Clock {
  /** Milliseconds on a clock that never goes back; only differences mean something. */
  now(): number;
  /** Milliseconds since 1970, for what is written into objects; never used to measure. */
  wallTime(): number;
  /** Calls `run` once after `delayMs`; the returned function takes the call back. */
  after(delayMs: number, run: () => void): () => void;
}

/** Longest delay that Node's timers take; more would fire at once. */
const longestTimerMs = 2_147_483_647;

export const systemClock: Clock = {
  now: () => performance.now(),
  wallTime: () => Date.now(),
  after(delayMs, run) {
    const timer = setTimeout(run, Math.min(Math.max(0, delayMs), longestTimerMs));
    return () => clearTimeout(timer);
  },
};

/** Resolves after `delayMs`, or at once when `signal` is aborted. Never rejects. */
export function sleep(clock: Clock, delayMs: number, signal?: AbortSignal): Promise<void> {
  return new Promise(resolve => {
    if (signal?.aborted) return resolve();
    const done = () => {
      cancel();
      signal?.removeEventListener('abort', done);
      resolve();
    };
    const cancel = clock.after(delayMs, done);
    signal?.addEventListener('abort', done);
  });
}

/** A wall time as metav1.MicroTime writes it. */
export function microTime(wallTimeMs: number): string {
  return new Date(wallTimeMs).toISOString().replace('Z', '000Z');
}
