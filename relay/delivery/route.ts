/**
 * One message's way through the providers within a round: each is visited once
 * in order; one that was left for lack of patience is visited again at the
 * end, because nothing was risked there yet. A value with a cursor, no effects.
 */
export class Route {
  readonly #ahead: string[];
  readonly #postponed: string[] = [];
  #at: string | undefined;
  #left: { name: string; reason: string } | undefined;

  constructor(names: readonly string[]) {
    this.#ahead = [...names];
  }

  /** The provider to visit now; undefined when all have been. */
  next(): string | undefined {
    return this.#ahead.shift() ?? this.#postponed.shift();
  }

  /** Providers not visited yet: where a message may go instead of waiting. */
  get ahead(): readonly string[] {
    return this.#ahead;
  }

  /** The provider left last, and why: what a failover is from. */
  get left(): { readonly name: string; readonly reason: string } | undefined {
    return this.#left;
  }

  leave(name: string, reason: string): void {
    this.#left = { name, reason };
  }

  /** A transaction begins at `name`: what it is a failover from, told once per provider. */
  arrive(name: string): { readonly name: string; readonly reason: string } | undefined {
    if (this.#at === name) return undefined;
    this.#at = name;
    return this.#left;
  }

  /** Comes back to it when nothing else took the message. */
  postpone(name: string): void {
    this.#postponed.push(name);
    this.leave(name, 'no connection in time');
  }
}
