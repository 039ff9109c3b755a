/** The end of one call: its time-out or its caller's signal, whichever comes first, as one signal. */
import { ConnectionError } from './api-error.ts';
import type { Clock } from './clock.ts';

/** The part of a request that its deadline looks at. */
export interface Deadlined {
  method: string;
  path: string;
  signal?: AbortSignal | undefined;
}

export class Deadline {
  readonly #clock: Clock;
  readonly #request: Deadlined;
  readonly #timeoutMs: number;
  readonly #endsAt: number;
  readonly #controller = new AbortController();
  readonly #cancelTimer: () => void;
  readonly #onAbort = () => this.#controller.abort();

  constructor(clock: Clock, timeoutMs: number, request: Deadlined) {
    request.signal?.throwIfAborted();
    this.#clock = clock;
    this.#request = request;
    this.#timeoutMs = timeoutMs;
    this.#endsAt = clock.now() + timeoutMs;
    this.#cancelTimer = clock.after(timeoutMs, this.#onAbort);
    request.signal?.addEventListener('abort', this.#onAbort);
  }

  get signal(): AbortSignal {
    return this.#controller.signal;
  }

  leftMs(): number {
    return this.#endsAt - this.#clock.now();
  }

  /** Throws the caller's reason, or ConnectionError `timeout`. */
  throwIfOver(): void {
    this.#request.signal?.throwIfAborted();
    if (!this.signal.aborted) return;
    const { method, path } = this.#request;
    throw new ConnectionError(
      'timeout',
      `API server: no answer to ${method} ${path} in ${this.#timeoutMs} ms`,
    );
  }

  clear(): void {
    this.#cancelTimer();
    this.#request.signal?.removeEventListener('abort', this.#onAbort);
  }
}
