/**
 * Holds each sender to its messages per hour and per day (`rateLimits`). A
 * message is counted when its MAIL is accepted, so that parallel transactions
 * cannot pass the limit together, and given back when it is not stored.
 */
import type { SenderRates } from '../config/config.ts';
import { SlidingCount } from './sliding-count.ts';

const HOUR_MS = 3_600_000;
const DAY_MS = 24 * HOUR_MS;
/** About 0.5 KB each: 5 MB at most. */
const MAX_SENDERS = 10_000;

/** One counted message. */
export interface RateTicket {
  readonly sender: string;
  readonly at: number;
}

/** Why not now: `limit` messages per `window`, and the next is welcome in `retryInMs`. */
export interface RateRefusal {
  readonly limit: number;
  readonly window: 'hour' | 'day';
  readonly retryInMs: number;
}

export class SenderRateLimit {
  readonly #hours = new SlidingCount(HOUR_MS, 60, MAX_SENDERS);
  readonly #days = new SlidingCount(DAY_MS, 48, MAX_SENDERS);

  /** Counts a message of this sender unless that would exceed a rate. `now` in ms since the epoch. */
  take(address: string, rates: SenderRates, now: number): RateTicket | RateRefusal {
    const sender = address.toLowerCase();
    if (this.#hours.count(sender, now) >= rates.maxPerHour) {
      return { limit: rates.maxPerHour, window: 'hour', retryInMs: this.#hours.nextRelease(sender, now) };
    }
    if (this.#days.count(sender, now) >= rates.maxPerDay) {
      return { limit: rates.maxPerDay, window: 'day', retryInMs: this.#days.nextRelease(sender, now) };
    }
    this.#hours.add(sender, now);
    this.#days.add(sender, now);
    return { sender, at: now };
  }

  giveBack(ticket: RateTicket): void {
    this.#hours.remove(ticket.sender, ticket.at);
    this.#days.remove(ticket.sender, ticket.at);
  }
}
