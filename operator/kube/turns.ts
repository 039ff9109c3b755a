/**
 * Lets a bounded number work at the same time; the others wait in the order in which they came, and who is told to
 * give up waits no longer. Not left to undici's own queue: there a call that was given up stays until a connection
 * comes free for it, and then takes that connection down with it.
 */
export class Turns {
  #free: number;
  /** Each is told that its turn has come. */
  readonly #waiting = new Set<() => void>();

  constructor(atOnce: number) {
    this.#free = atOnce;
  }

  /** Runs `work` when its turn has come. Undefined when `signal` was aborted before: it was not run. */
  async run<T>(work: () => Promise<T>, signal: AbortSignal): Promise<T | undefined> {
    if (!(await this.#take(signal))) return undefined;
    try {
      return await work();
    } finally {
      this.#pass();
    }
  }

  #take(signal: AbortSignal): Promise<boolean> {
    if (signal.aborted) return Promise.resolve(false);
    if (this.#free > 0) {
      this.#free--;
      return Promise.resolve(true);
    }
    return new Promise(resolve => {
      const taken = (): void => {
        signal.removeEventListener('abort', givenUp);
        resolve(true);
      };
      const givenUp = (): void => {
        this.#waiting.delete(taken);
        resolve(false);
      };
      this.#waiting.add(taken);
      signal.addEventListener('abort', givenUp, { once: true });
    });
  }

  #pass(): void {
    for (const taken of this.#waiting) {
      this.#waiting.delete(taken);
      taken();
      return;
    }
    this.#free++;
  }
}
