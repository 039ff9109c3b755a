/**
 * Which of the mail in emails/failed goes on a round next: what is due, in a
 * drain everything once, after a step back of the clock what that put off; no
 * more at a time than the ramp allows. Puts nothing on a round itself.
 */
import type { ClaimQuery, Spool } from '../spool/spool.ts';
import type { Emit } from '../telemetry/events.ts';
import type { RoundSettings } from './journal.ts';
import type { Provider } from './provider.ts';
import { Ramp } from './ramp.ts';

export interface ResendsDeps {
  readonly spool: Pick<Spool, 'counts' | 'mark' | 'nextDue'>;
  readonly emit: Emit;
  readonly now: () => number;
  readonly settings: () => RoundSettings;
  readonly providers: () => readonly Provider[];
  /** More may be claimed now. */
  readonly again: () => void;
  /** Something is due then. */
  readonly dueAt: (at: number) => void;
}

/** Resends at once per usable connection. */
const RESENDS_PER_CONNECTION = 4;
const RESEND_WINDOW = 1000;
/** Part of the window that must be free before more is claimed. */
const RESENDS_PER_CLAIM = 1 / 4;
/** What is due no later than this after the longest delay was not put off by a clock, ms. */
const SLACK_MS = 30_000;

export class Resends {
  readonly #deps: ResendsDeps;
  readonly #ramp = new Ramp();
  #drain: { readonly since: number; left: number } | undefined;
  /** The clock was set back: messages are due later than any delay can make them. */
  #putOff = false;

  constructor(deps: ResendsDeps) {
    this.#deps = deps;
  }

  /** Everything that waits is wanted once, now. */
  drain(reason: string): void {
    const { messages } = this.#deps.spool.counts().failed;
    if (messages === 0) return;
    this.#drain = { since: this.#deps.spool.mark(), left: messages };
    this.#deps.emit({ event: 'drain-started', reason, messages });
    this.#deps.again();
  }

  /** What to claim while so many are on a round. */
  query(running: number): ClaimQuery {
    const now = this.#deps.now();
    const size = this.#ramp.size(this.#ceiling);
    const free = size - running;
    const waiting = this.#deps.spool.counts().failed.messages > running;
    // A few at a time: each claim reads past all that are under way.
    const limit = waiting && free >= size * RESENDS_PER_CLAIM ? free : 0;
    const query = { state: 'failed', dueBefore: now, limit } as const;
    if (this.#drain !== undefined) return { ...query, triedBefore: this.#drain.since };
    if (!this.#putOff) return query;
    return { ...query, dueBefore: Number.MAX_SAFE_INTEGER, dueAfter: this.#latestDue(now) };
  }

  /** So many were found by that query. */
  async claimed(count: number, query: ClaimQuery): Promise<void> {
    if (this.#drain !== undefined && query.triedBefore === this.#drain.since) {
      this.#drain.left -= count;
      // Each message once, whatever the clock does meanwhile.
      if (count === 0 || this.#drain.left <= 0 || this.#ceiling === 0) this.#drain = undefined;
    }
    if (count === query.limit || this.#drain !== undefined) return;
    if (query.dueAfter !== undefined) this.#putOff = false;
    await this.#lookForNextDue();
  }

  /** A resend was taken, by whomever. */
  succeeded(): void {
    this.#ramp.succeeded(this.#ceiling);
  }

  failed(): void {
    this.#ramp.failed();
  }

  async #lookForNextDue(): Promise<void> {
    const due = await this.#deps.spool.nextDue('failed');
    if (due === undefined) return;
    if (due <= this.#latestDue(this.#deps.now())) return this.#deps.dueAt(due);
    const { messages } = this.#deps.spool.counts().failed;
    this.#deps.emit({ event: 'drain-started', reason: 'the clock was set back', messages });
    this.#putOff = true;
    this.#deps.again();
  }

  /** Nothing that failed by now can be due later. */
  #latestDue(now: number): number {
    const { maxDelayMs, jitter } = this.#deps.settings().resend;
    return now + maxDelayMs * (1 + jitter) + SLACK_MS;
  }

  get #ceiling(): number {
    const connections = this.#deps
      .providers()
      .filter(({ usable }) => usable)
      .reduce((sum, { config }) => sum + config.limits.maxConnections, 0);
    return Math.min(RESEND_WINDOW, connections * RESENDS_PER_CONNECTION);
  }
}
