/**
 * Who gets a provider's next free connection: fresh mail and resends each wait
 * in their own line, first come first served. Guarantees that a backlog never
 * takes more than half of the connections while fresh mail waits, and that
 * neither line starves. Holds no connection and starts none.
 */

/** fresh: on its first round. resend: every later one. */
export type Lane = 'fresh' | 'resend';

/** Connections each lane has at work. */
export type InUse = Record<Lane, number>;

export class WaitingLine<Waiter extends { readonly lane: Lane }> {
  readonly #lanes: Record<Lane, Set<Waiter>> = { fresh: new Set(), resend: new Set() };
  #lastServed: Lane = 'resend';

  get size(): number {
    return this.#lanes.fresh.size + this.#lanes.resend.size;
  }

  join(waiter: Waiter): void {
    this.#lanes[waiter.lane].add(waiter);
  }

  leave(waiter: Waiter): void {
    this.#lanes[waiter.lane].delete(waiter);
  }

  /** Takes out the waiter to be served next, or undefined when nobody waits. */
  next(inUse: InUse): Waiter | undefined {
    const lane = this.#laneToServe(inUse);
    const [waiter] = this.#lanes[lane];
    if (waiter === undefined) return undefined;
    this.#lanes[lane].delete(waiter);
    this.#lastServed = lane;
    return waiter;
  }

  /** Everyone who waits, in no promised order. */
  everyone(): Waiter[] {
    return [...this.#lanes.fresh, ...this.#lanes.resend];
  }

  #laneToServe(inUse: InUse): Lane {
    if (this.#lanes.resend.size === 0) return 'fresh';
    if (this.#lanes.fresh.size === 0) return 'resend';
    if (inUse.fresh !== inUse.resend) return inUse.fresh < inUse.resend ? 'fresh' : 'resend';
    return this.#lastServed === 'fresh' ? 'resend' : 'fresh';
  }
}
