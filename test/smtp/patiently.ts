/**
 * For tests whose time limits are short so that many cases take seconds: what a
 * busy machine explains is tried again with twice the time, and has failed only
 * when much time does not help. What time cannot explain fails at once.
 */

/** Something had not happened in time, and nothing else was wrong. */
export class Late extends Error {}

/** Runs it with `firstMs`, and while it throws Late with twice as much, up to `mostMs`. Rejects with what it threw last. */
export async function patiently<T>(
  patience: { readonly firstMs: number; readonly mostMs: number },
  run: (ms: number) => Promise<T>,
): Promise<T> {
  for (let ms = patience.firstMs; ; ms *= 2) {
    try {
      return await run(ms);
    } catch (error) {
      if (!(error instanceof Late) || 2 * ms > patience.mostMs) throw error;
    }
  }
}
