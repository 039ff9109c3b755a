/**
 * Slows the guessing of passwords: a user name with too many wrong ones lately
 * from one client address is not answered yes or no any more from there for a
 * while, on any connection. Others at that address go on, since it may be
 * that of a whole node; it is blocked as such only when that many failed that
 * names themselves are being guessed. Whether a name exists makes no
 * difference.
 */
import { createHash } from 'node:crypto';
import { SlidingCount } from './sliding-count.ts';

const WINDOW_MS = 10 * 60_000;
const MAX_FAILURES_PER_USER = 20;
/** Ten programs with a password that was changed. */
const MAX_FAILURES_PER_ADDRESS = 200;
const MAX_USERS = 10_000;
const MAX_ADDRESSES = 10_000;

export interface LoginAttempt {
  readonly address: string;
  readonly username: string;
}

export interface LoginBlock {
  /** What had too many failures: this name from this address, or the address with whatever name. */
  readonly scope: 'user' | 'address';
  readonly retryInMs: number;
}

export class LoginGuard {
  readonly #users = new SlidingCount(WINDOW_MS, 20, MAX_USERS);
  readonly #addresses = new SlidingCount(WINDOW_MS, 20, MAX_ADDRESSES);

  /** Why this attempt is not looked at now (ms since the epoch); undefined = it is. */
  blocked(attempt: LoginAttempt, now: number): LoginBlock | undefined {
    const { address } = attempt;
    if (this.#addresses.count(address, now) >= MAX_FAILURES_PER_ADDRESS)
      return { scope: 'address', retryInMs: Math.max(1, this.#addresses.nextRelease(address, now)) };
    const user = keyOf(attempt);
    if (this.#users.count(user, now) >= MAX_FAILURES_PER_USER)
      return { scope: 'user', retryInMs: Math.max(1, this.#users.nextRelease(user, now)) };
    return undefined;
  }

  failed(attempt: LoginAttempt, now: number): void {
    this.#users.add(keyOf(attempt), now);
    this.#addresses.add(attempt.address, now);
  }
}

/** Short, however long a name a client gives. */
function keyOf({ address, username }: LoginAttempt): string {
  return createHash('sha256').update(`${address}\0${username}`).digest('base64');
}
