/**
 * What people do to the queue: list, resend, hold, release, remove, sweep. Each
 * goes through the store in steps of a bounded size, so that accepting and
 * sending mail go on in between; messages being sent are passed over.
 */
import type { Channel } from './channel.ts';
import type { StoredMessage } from './message.ts';
import type { ChangeOp, Retention } from './protocol.ts';
import { messageOf, pageOf, revived } from './queue-rows.ts';
import type { QueueFilter, SpoolError } from './spool.ts';

/** Messages listed or changed in one step. */
const PAGE = 500;

export class ByHand {
  readonly #channel: Channel;
  readonly #now: () => number;

  constructor(channel: Channel, now: () => number) {
    this.#channel = channel;
    this.#now = now;
  }

  async list(filter: QueueFilter): Promise<readonly StoredMessage[]> {
    const found: StoredMessage[] = [];
    const limit = filter.limit ?? Number.POSITIVE_INFINITY;
    let page = pageOf(filter, this.#now(), PAGE);
    while (found.length < limit) {
      const { rows, next } = await this.#channel.call({ op: 'select', page });
      for (const row of rows.slice(0, limit - found.length)) found.push(messageOf(row));
      if (next === undefined) break;
      page = { ...page, after: next };
    }
    return found;
  }

  /** Resolves with how many were changed. */
  async change(kind: ChangeOp['kind'], filter: QueueFilter): Promise<number> {
    const limit = filter.limit ?? Number.POSITIVE_INFINITY;
    let page = pageOf(filter, this.#now(), Math.min(PAGE, limit));
    let changed = 0;
    while (changed < limit) {
      page = { ...page, limit: Math.min(PAGE, limit - changed) };
      const { chosen, revive, next } = await this.#channel.call({ op: 'change', kind, page });
      changed += chosen + (await this.#revive(revive.map(messageOf)));
      if (next === undefined) break;
      page = { ...page, after: next };
    }
    if (kind === 'remove') await this.#channel.call({ op: 'files' });
    return changed;
  }

  /** Dead messages become failed ones that are due now, their bodies moved back. */
  async #revive(messages: readonly StoredMessage[]): Promise<number> {
    const dueAt = this.#now();
    const results = await Promise.allSettled(messages.map(message => this.#settle(message, dueAt)));
    for (const result of results) {
      // Removed meanwhile: not an error of the others.
      if (result.status === 'rejected' && (result.reason as SpoolError).kind !== 'not-found')
        throw result.reason;
    }
    return results.filter(result => result.status === 'fulfilled').length;
  }

  /** Resolves with how many dead messages were beyond retention, their files gone. */
  async sweep(now: number, retention: Retention): Promise<number> {
    let removed = 0;
    for (;;) {
      const step = await this.#channel.call({ op: 'sweep', now, retention });
      removed += step;
      if (step === 0) break;
    }
    await this.#channel.call({ op: 'files' });
    return removed;
  }

  async #settle(message: StoredMessage, dueAt: number): Promise<void> {
    await this.#channel.call({
      op: 'settle',
      id: message.id,
      kind: 'revive',
      recipients: JSON.stringify(revived(message.recipients)),
      dueAt,
      reason: 'resend asked for by hand',
    });
  }
}
