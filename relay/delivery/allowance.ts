/**
 * How much a provider may be given right now: connections by its limit, by what
 * it refused lately and by its trial; messages by its rate and its trial;
 * recipients of one message by its limit and by what it was found to take.
 */
import type { ProviderLimits } from '../config/config.ts';
import { trialMessages } from './breaker.ts';
import { type Bucket, full, inside, take } from './rate.ts';

/** How long a provider that refused one connection more is not asked for more, ms. */
const CEILING_MS = 60_000;

/** How it refused one connection more: in words, or in a way that may mean so. */
export type RefusedBy = 'said' | 'guessed';

interface Ceiling {
  readonly connections: number;
  readonly by: RefusedBy;
}

export interface AllowanceDeps {
  readonly limits: () => ProviderLimits;
  /** Monotonic, ms. */
  readonly now: () => number;
  /** Messages under way since before its trial began, which are no part of it; undefined = not on trial. */
  readonly beforeTrial: () => number | undefined;
  /** A message that the rate held back may go now, or one connection more be asked for. */
  readonly again: () => void;
}

export class Allowance {
  readonly #deps: AllowanceDeps;
  #ceiling: Ceiling | undefined;
  #ceilingTimer: NodeJS.Timeout | undefined;
  #recipients: { readonly most: number; readonly configured: number } | undefined;
  #bucket: Bucket | undefined;
  #timer: NodeJS.Timeout | undefined;

  constructor(deps: AllowanceDeps) {
    this.#deps = deps;
  }

  /** The most connections at a time. */
  get connections(): number {
    const { limits, beforeTrial } = this.#deps;
    const before = beforeTrial();
    const onTrial = before === undefined ? Number.POSITIVE_INFINITY : before + trialMessages;
    const refused = this.#ceiling?.connections ?? Number.POSITIVE_INFINITY;
    return Math.min(limits().maxConnections, refused, onTrial);
  }

  /** It has so many connections and refused one more. `again` will be called when it may be asked for more. */
  refusedBeyond(connections: number, by: RefusedBy): void {
    this.#ceiling = { connections, by };
    clearTimeout(this.#ceilingTimer);
    this.#ceilingTimer = setTimeout(() => {
      this.#ceiling = undefined;
      this.#deps.again();
    }, CEILING_MS);
    this.#ceilingTimer.unref();
  }

  /** Nothing works on the connections it has: that it wants no more of them holds only where it said so. */
  doubt(): void {
    if (this.#ceiling?.by === 'guessed') this.#ceiling = undefined;
  }

  /** The most recipients in one transaction. What was found out holds until another limit is configured. */
  get recipients(): number {
    const configured = this.#deps.limits().maxRecipientsPerMessage;
    const found = this.#recipients;
    return found?.configured === configured ? found.most : configured;
  }

  /** It took a message in transactions of so many at most, having refused it with more. Is that news? */
  tookOnly(most: number): boolean {
    if (most >= this.recipients) return false;
    this.#recipients = { most, configured: this.#deps.limits().maxRecipientsPerMessage };
    return true;
  }

  /** May it get one message more at the same time? */
  admits(underWay: number): boolean {
    const before = this.#deps.beforeTrial();
    return before === undefined || underWay - before < trialMessages;
  }

  /** Takes one message's share of messagesPerSecond; false = not yet, `again` will be called. */
  takeShare(): boolean {
    const rate = this.#deps.limits().messagesPerSecond;
    if (rate === undefined) return true;
    const now = this.#deps.now();
    const taken = take(this.#bucket ?? full(rate, now), now, rate);
    this.#bucket = taken.bucket;
    if (taken.waitMs === 0) return true;
    this.#askAgainIn(taken.waitMs);
    return false;
  }

  #askAgainIn(ms: number): void {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(this.#deps.again, ms);
  }

  /** How many of so many messages the rate lets go now; when it is fewer, `again` will be called. */
  shares(messages: number): number {
    const rate = this.#deps.limits().messagesPerSecond;
    if (rate === undefined) return messages;
    const now = this.#deps.now();
    const { whole, waitMs } = inside(this.#bucket ?? full(rate, now), now, rate);
    if (whole < messages) this.#askAgainIn(waitMs);
    return Math.min(messages, whole);
  }

  stop(): void {
    clearTimeout(this.#timer);
    clearTimeout(this.#ceilingTimer);
  }
}
