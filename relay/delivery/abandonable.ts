/**
 * A body that is read until its reader is told to give up: a disk that does
 * not answer then holds nobody up any more. What it answers later is dropped.
 */

/** Thrown by the iteration when it was given up. */
export class GivenUp extends Error {
  constructor() {
    super('the disk did not answer in the time that a stop has');
    this.name = 'GivenUp';
  }
}

/** The same chunks; throws GivenUp as soon as `signal` is aborted while one is waited for, and asks for none after that. */
export async function* abandonable<T>(source: AsyncIterable<T>, signal: AbortSignal): AsyncIterable<T> {
  const iterator = source[Symbol.asyncIterator]();
  try {
    for (;;) {
      const { value, done } = await orGivenUp(() => iterator.next(), signal);
      if (done === true) return;
      yield value;
    }
  } finally {
    const closed = iterator.return?.().catch(() => undefined);
    if (!signal.aborted) await closed;
  }
}

/**
 * A listener of its own each time: what waits for a signal that lives long would pile up on it.
 * `next` is asked only when somebody will hear its answer: a failure that nobody hears ends the process.
 */
async function orGivenUp<T>(next: () => Promise<T>, signal: AbortSignal): Promise<T> {
  if (signal.aborted) throw new GivenUp();
  const { promise, reject } = Promise.withResolvers<never>();
  const giveUp = (): void => reject(new GivenUp());
  signal.addEventListener('abort', giveUp);
  try {
    return await Promise.race([next(), promise]);
  } finally {
    signal.removeEventListener('abort', giveUp);
  }
}
