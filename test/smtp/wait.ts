/** Waits for conditions in tests, with a deadline, so that no test sleeps for luck. */

/**
 * Resolves with the first value of `condition` that is not false, undefined or
 * null; asks every few milliseconds. Rejects after `timeoutMs`, naming `what`.
 */
export async function until<T>(
  condition: () => T | Promise<T>,
  what: string,
  timeoutMs = 10_000,
): Promise<NonNullable<T>> {
  const deadline = performance.now() + timeoutMs;
  for (;;) {
    const value = await condition();
    if (value !== false && value !== undefined && value !== null) return value;
    if (performance.now() > deadline) throw new Error(`after ${timeoutMs} ms still waiting for ${what}`);
    await new Promise(resolve => setTimeout(resolve, 5));
  }
}

/** A promise and the function that resolves it: the gate of a `wait` action. */
export function gate(): { readonly opened: Promise<void>; readonly open: () => void } {
  const { promise, resolve } = Promise.withResolvers<void>();
  return { opened: promise, open: () => resolve() };
}
