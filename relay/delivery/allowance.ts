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

export interface AllowanceDeps {
  readonly limits: () => ProviderLimits;
  /** Monotonic, ms. */
  readonly now: () => number;
  readonly onTrial: () => boolean;
  /** A message that the rate held back may go now. */
  readonly again: () => void;
}

export class Allowance {
  readonly #deps: AllowanceDeps;
  #ceiling: { readonly connections: number; readonly until: number } | undefined;
  #recipients: { readonly most: number; readonly configured: number } | undefined;
  #bucket: Bucket | undefined;
  #timer: NodeJS.Timeout | undefined;

  constructor(deps: AllowanceDeps) {
    this.#deps = deps;
  }

  /** The most connections at a time. */
  get connections(): number {
    const { limits, now, onTrial } = this.#deps;
    const ceiling = this.#ceiling;
    const refused = ceiling !== undefined && now() < ceiling.until ? [ceiling.connections] : [];
    return Math.min(limits().maxConnections, ...refused, ...(onTrial() ? [trialMessages] : []));
  }

  /** It has so many connections and refused one more. */
  refusedBeyond(connections: number): void {
    this.#ceiling = { connections, until: this.#deps.now() + CEILING_MS };
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
    return !this.#deps.onTrial() || underWay < trialMessages;
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
  }
}
