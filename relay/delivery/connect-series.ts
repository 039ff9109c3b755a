/**
 * One series of tries to get a first connection to a provider, shared by every
 * message that waits for it: up to retry.attempts tries with growing delays,
 * and the moment from which waiting messages may lose patience. Keeps time
 * only; opens nothing.
 */

import type { RetryConfig } from '../config/config.ts';
import { tryDelay } from './backoff.ts';

export interface ConnectSeriesDeps {
  readonly retry: () => RetryConfig;
  /** The delay after a failed try is over. */
  readonly again: () => void;
  /** retry.patienceMs have passed since the series began. */
  readonly outOfPatience: () => void;
}

export class ConnectSeries {
  readonly #deps: ConnectSeriesDeps;
  #running = false;
  #tries = 0;
  #outOfPatience = false;
  #retryTimer: NodeJS.Timeout | undefined;
  #patienceTimer: NodeJS.Timeout | undefined;

  constructor(deps: ConnectSeriesDeps) {
    this.#deps = deps;
  }

  /** A series is under way: no connection yet, tries to come. */
  get running(): boolean {
    return this.#running;
  }

  /** Between two tries. */
  get pausing(): boolean {
    return this.#retryTimer !== undefined;
  }

  /** The number of the try that comes next or runs now, from 1. */
  get try(): number {
    return this.#tries + 1;
  }

  /** Messages have waited longer than they must. */
  get late(): boolean {
    return this.#outOfPatience;
  }

  /** A try begins; the first one starts the clock of patience. */
  begin(): void {
    if (this.#running) return;
    this.#running = true;
    // The timer decides, not a clock beside it: by that it may fire a fraction of a millisecond early.
    this.#patienceTimer = setTimeout(() => {
      this.#outOfPatience = true;
      this.#deps.outOfPatience();
    }, this.#deps.retry().patienceMs);
  }

  /** A try failed. Returns the delay before the next one (ms), or undefined when there is none. */
  failed(again: boolean): number | undefined {
    this.#tries += 1;
    const retry = this.#deps.retry();
    if (!again || this.#tries >= retry.attempts) return undefined;
    const delay = tryDelay(this.#tries, retry);
    this.#retryTimer = setTimeout(() => {
      this.#retryTimer = undefined;
      this.#deps.again();
    }, delay);
    return delay;
  }

  /** The series is over: connected, given up, or no longer wanted. */
  end(): void {
    clearTimeout(this.#retryTimer);
    clearTimeout(this.#patienceTimer);
    this.#retryTimer = undefined;
    this.#running = false;
    this.#outOfPatience = false;
    this.#tries = 0;
  }
}
