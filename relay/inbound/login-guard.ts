/**
 * Slows the guessing of passwords: a client address with too many wrong ones
 * lately is not answered yes or no any more for a while, on any connection.
 */
import { SlidingCount } from './sliding-count.ts';

const WINDOW_MS = 10 * 60_000;
export const MAX_FAILURES = 20;
const MAX_ADDRESSES = 10_000;

export class LoginGuard {
  readonly #failures = new SlidingCount(WINDOW_MS, 20, MAX_ADDRESSES);

  /** Milliseconds until this address may try again; 0 = now. */
  blockedForMs(address: string, now: number): number {
    if (this.#failures.count(address, now) < MAX_FAILURES) return 0;
    return Math.max(1, this.#failures.nextRelease(address, now));
  }

  failed(address: string, now: number): void {
    this.#failures.add(address, now);
  }
}
