/**
 * The established connections of one provider: which are idle, which are at
 * work, when one has served long enough. Opens none itself.
 */
import type { ProviderLimits } from '../config/config.ts';
import type { Session } from './session.ts';
import type { InUse, Lane } from './waiting-line.ts';

export class ProviderPool {
  readonly inUse: InUse = { fresh: 0, resend: 0 };
  readonly #limits: () => ProviderLimits;
  readonly #now: () => number;
  readonly #idle: { session: Session; timer: NodeJS.Timeout }[] = [];
  /** Those at work, and since when. */
  readonly #busy = new Map<Session, number>();
  /** When each was taken in, by this pool's own clock. */
  readonly #since = new WeakMap<Session, number>();
  #retired = false;

  constructor(limits: () => ProviderLimits, now: () => number) {
    this.#limits = limits;
    this.#now = now;
  }

  get idle(): number {
    return this.#idle.length;
  }

  get busy(): number {
    return this.#busy.size;
  }

  /** Those at work since before that moment. */
  busyBefore(moment: number): number {
    return [...this.#busy.values()].filter(since => since < moment).length;
  }

  get established(): number {
    return this.#idle.length + this.#busy.size;
  }

  /**
   * For how long none of those at work has said or been sent anything, ms;
   * infinite when none is at work. What one was idle before says nothing.
   */
  get quietMs(): number {
    const now = this.#now();
    const quiet = [...this.#busy].map(([{ quietMs }, since]) => Math.min(quietMs, now - since));
    return Math.min(...quiet);
  }

  /** Whether one of those at work has said or been sent something within the last `ms`: asked for every message, so it looks no further than it must. */
  movedWithin(ms: number): boolean {
    const now = this.#now();
    for (const [session, since] of this.#busy) if (Math.min(session.quietMs, now - since) < ms) return true;
    return false;
  }

  /** Takes in a connection that is ready. `onClosed` hears when it ends while idle. */
  add(session: Session, onClosed: () => void): void {
    this.#since.set(session, this.#now());
    session.onClose(() => {
      if (this.#forget(session)) onClosed();
    });
    this.#rest(session);
  }

  /** The idle connection used last (the likeliest to be still open), now at work for that lane. */
  take(lane: Lane): Session | undefined {
    const entry = this.#idle.pop();
    if (entry === undefined) return undefined;
    clearTimeout(entry.timer);
    this.#busy.set(entry.session, this.#now());
    this.inUse[lane] += 1;
    return entry.session;
  }

  /** A connection comes back from work: kept when it is good for more, else closed. */
  giveBack(session: Session, lane: Lane): void {
    this.inUse[lane] -= 1;
    this.#busy.delete(session);
    if (this.#goodForMore(session)) this.#rest(session);
    else if (session.usable) void session.quit();
    else session.destroy();
  }

  /** Closes what is idle, politely. */
  closeIdle(): void {
    for (const { session, timer } of this.#idle.splice(0)) {
      clearTimeout(timer);
      void session.quit();
    }
  }

  /** No connection is kept from now on; those at work finish what they do. */
  retire(): void {
    this.#retired = true;
    this.closeIdle();
  }

  /** Closes everything at once. */
  destroy(): void {
    this.closeIdle();
    for (const session of this.#busy.keys()) session.destroy();
  }

  #goodForMore(session: Session): boolean {
    const { maxConnections, messagesPerConnection, connectionLifetimeMs } = this.#limits();
    return (
      !this.#retired &&
      session.usable &&
      // There may be more than a new configuration allows.
      this.established < maxConnections &&
      session.transactions < messagesPerConnection &&
      this.#now() - (this.#since.get(session) ?? 0) < connectionLifetimeMs
    );
  }

  #rest(session: Session): void {
    const timer = setTimeout(() => {
      if (this.#forget(session)) void session.quit();
    }, this.#limits().idleTimeoutMs);
    timer.unref();
    this.#idle.push({ session, timer });
  }

  #forget(session: Session): boolean {
    const at = this.#idle.findIndex(entry => entry.session === session);
    if (at === -1) return false;
    clearTimeout(this.#idle[at]?.timer);
    this.#idle.splice(at, 1);
    return true;
  }
}
