/**
 * The queue as people see it: the mail of every spool that this relay has
 * open, its own and those it has adopted, as one queue in order of ids.
 * Counts, lists and changes rest on the same rule of what state is shown, so
 * they agree. It keeps nothing itself and never copies from spool to spool.
 */
import type { QueueStore } from './admin/view.ts';
import type { MessageId, QueueCounts, QueueState, StoredMessage } from './spool/message.ts';
import { type QueueFilter, type Spool, SpoolError } from './spool/spool.ts';

/** Messages looked at in one step when a change has a limit. */
const PAGE = 500;

export interface WholeQueueDeps {
  /** Open now: the relay's own first, then those adopted. */
  readonly spools: () => readonly Spool[];
  /** forwardSMTP. false: what would be sent is shown as held, whatever its row says. */
  readonly forwarding: () => boolean;
}

/** One question to one spool. */
interface Part {
  readonly spool: Spool;
  readonly filter: QueueFilter;
}

export class WholeQueue implements QueueStore {
  readonly #deps: WholeQueueDeps;

  constructor(deps: WholeQueueDeps) {
    this.#deps = deps;
  }

  /** In order of ids, at most `filter.limit`; `filter.after` goes on where an earlier list ended. */
  async list(filter: QueueFilter): Promise<readonly StoredMessage[]> {
    const lists = await Promise.all(
      this.#parts(filter).map(({ spool, filter: part }) => this.#ask(spool, () => spool.list(part), [])),
    );
    const [only] = lists;
    const found = lists.length === 1 && only !== undefined ? only : merged(lists);
    return found.slice(0, filter.limit).map(message => this.#shown(message));
  }

  resend(filter: QueueFilter): Promise<number> {
    return this.#change(filter, ({ spool, filter: part }) => spool.resend(part));
  }

  hold(filter: QueueFilter): Promise<number> {
    return this.#change(filter, ({ spool, filter: part }) => spool.hold(part));
  }

  unhold(filter: QueueFilter): Promise<number> {
    return this.#change(filter, ({ spool, filter: part }) => spool.unhold(part));
  }

  remove(filter: QueueFilter): Promise<number> {
    return this.#change(filter, ({ spool, filter: part }) => spool.remove(part));
  }

  async *read(id: MessageId): AsyncGenerator<Buffer> {
    for (const spool of this.#deps.spools()) {
      const found = await this.#ask(spool, () => spool.list({ ids: [id], limit: 1 }), []);
      if (found.length === 0) continue;
      yield* spool.read(id);
      return;
    }
    throw new SpoolError('not-found', `there is no message ${id}`);
  }

  /** Removes dead mail beyond retention from each. `now`: milliseconds since the epoch. */
  async sweep(now: number): Promise<void> {
    await Promise.all(this.#deps.spools().map(spool => this.#ask(spool, () => spool.sweep(now), 0)));
  }

  /** Into the relay's own spool. */
  adopt(...[arrival, body, recipients]: Parameters<Spool['adopt']>): Promise<MessageId> {
    return this.#own.adopt(arrival, body, recipients);
  }

  /** Of all spools together, from memory. */
  counts(): QueueCounts {
    const all = this.#deps.spools().map(spool => spool.counts());
    const sum = (shown: QueueState): QueueCount =>
      this.#rowStates(shown)
        .flatMap(state => all.map(counts => counts[state]))
        .reduce(add, nothing);
    return { active: sum('active'), failed: sum('failed'), held: sum('held'), dead: sum('dead') };
  }

  /** Things in the quarantine of all spools together, from memory; undefined: not known of all. */
  quarantined(): number | undefined {
    const all = this.#deps.spools().map(spool => spool.quarantined());
    return all.reduce(
      (total, count) => (total === undefined || count === undefined ? undefined : total + count),
      0,
    );
  }

  get #own(): Spool {
    return this.#deps.spools()[0]!;
  }

  #parts(filter: QueueFilter): readonly Part[] {
    const { state, ...rest } = filter;
    const filters =
      state === undefined ? [rest] : this.#rowStates(state).map(row => ({ ...rest, state: row }));
    return this.#deps.spools().flatMap(spool => filters.map(part => ({ spool, filter: part })));
  }

  /** Which states of rows are shown as that one. */
  #rowStates(shown: QueueState): readonly QueueState[] {
    if (this.#deps.forwarding()) return [shown];
    if (shown === 'active') return [];
    return shown === 'held' ? ['active', 'held'] : [shown];
  }

  #shown(message: StoredMessage): StoredMessage {
    if (message.state !== 'active' || this.#deps.forwarding()) return message;
    return { ...message, state: 'held', reason: message.reason || 'forwardSMTP is false' };
  }

  /** Resolves with how many were changed. */
  async #change(filter: QueueFilter, apply: (part: Part) => Promise<number>): Promise<number> {
    const parts = this.#parts(filter);
    if (filter.limit !== undefined && parts.length > 1) return this.#changeSome(filter, filter.limit, apply);
    let changed = 0;
    for (const part of parts) changed += await this.#ask(part.spool, () => apply(part), 0);
    return changed;
  }

  /** With a limit the oldest of all spools come first, so each step changes what one page lists. */
  async #changeSome(
    filter: QueueFilter,
    limit: number,
    apply: (part: Part) => Promise<number>,
  ): Promise<number> {
    const { limit: _limit, ...unlimited } = filter;
    let changed = 0;
    let page: QueueFilter = filter;
    while (changed < limit) {
      const asked = Math.min(PAGE, limit - changed);
      const listed = await this.list({ ...page, limit: asked });
      const last = listed.at(-1);
      if (last === undefined) break;
      changed += await this.#change({ ...unlimited, ids: listed.map(({ id }) => id) }, apply);
      if (listed.length < asked) break;
      page = { ...filter, after: last.id };
    }
    return changed;
  }

  /** An adopted spool may be given back while it is asked: then it has nothing more to say. */
  async #ask<T>(spool: Spool, ask: () => Promise<T>, nothingThere: T): Promise<T> {
    try {
      return await ask();
    } catch (error) {
      if (spool !== this.#own && error instanceof SpoolError && error.kind === 'closed') return nothingThere;
      throw error;
    }
  }
}

/** One list in order of ids. A message that changed state between two questions is in it once. */
function merged(lists: readonly (readonly StoredMessage[])[]): readonly StoredMessage[] {
  const byId = new Map(lists.flat().map(message => [message.id, message]));
  return [...byId.values()].sort((a, b) => (a.id < b.id ? -1 : 1));
}

type QueueCount = QueueCounts[QueueState];

const nothing: QueueCount = { messages: 0, bytes: 0 };

function add(a: QueueCount, b: QueueCount): QueueCount {
  const oldest = [a, b].flatMap(({ oldestReceivedAt }) => oldestReceivedAt ?? []);
  return {
    messages: a.messages + b.messages,
    bytes: a.bytes + b.bytes,
    ...(oldest.length > 0 && { oldestReceivedAt: Math.min(...oldest) }),
  };
}
