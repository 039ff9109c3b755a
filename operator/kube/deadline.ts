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
  readonly #over = Promise.withResolvers<never>();
  readonly #cancelTimer: () => void;
  readonly #onAbort = () => {
    this.#over.reject(this.#reason());
    this.#controller.abort();
  };

  constructor(clock: Clock, timeoutMs: number, request: Deadlined) {
    request.signal?.throwIfAborted();
    this.#clock = clock;
    this.#request = request;
    this.#timeoutMs = timeoutMs;
    this.#endsAt = clock.now() + timeoutMs;
    this.#cancelTimer = clock.after(timeoutMs, this.#onAbort);
    request.signal?.addEventListener('abort', this.#onAbort);
    // It may come when nothing is raced with it, between two tries.
    this.#over.promise.catch(() => {});
  }

  get signal(): AbortSignal {
    return this.#controller.signal;
  }

  leftMs(): number {
    return this.#endsAt - this.#clock.now();
  }

  /**
   * What `work` comes to, or the end of the call if that is sooner, which `work` is told by the signal but may be
   * slow to notice: undici notices nothing while it shakes hands. Throws the caller's reason, or ConnectionError
   * `timeout`.
   */
  race<T>(work: Promise<T>): Promise<T> {
    return Promise.race([work, this.#over.promise]);
  }

  /** Throws the caller's reason, or ConnectionError `timeout`. */
  throwIfOver(): void {
    if (this.signal.aborted) throw this.#reason();
  }

  #reason(): unknown {
    const { method, path, signal } = this.#request;
    if (signal?.aborted) return signal.reason;
    return new ConnectionError(
      'timeout',
      `API server: no answer to ${method} ${path} in ${this.#timeoutMs} ms`,
    );
  }

  clear(): void {
    this.#cancelTimer();
    this.#request.signal?.removeEventListener('abort', this.#onAbort);
  }
}
