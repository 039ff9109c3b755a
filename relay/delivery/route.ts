/**
 * One message's way through the providers within a round: each is visited once
 * in order; one that was left for lack of patience is visited again at the
 * end, because nothing was risked there yet, and one that was out of use is
 * visited before it when it has come back meanwhile. A value with a cursor, no
 * effects.
 */
export class Route {
  #ahead: readonly string[];
  /** Out of use when their turn came. */
  #skipped: readonly string[] = [];
  readonly #postponed: string[] = [];
  #at: string | undefined;
  #left: { name: string; reason: string } | undefined;

  constructor(names: readonly string[]) {
    this.#ahead = [...names];
  }

  /** The provider to visit now; undefined when all have been. */
  next(): string | undefined {
    const [name, ...ahead] = this.#ahead;
    this.#ahead = ahead;
    return name ?? this.#postponed.shift();
  }

  /** Providers that nothing was tried at yet: where a message may go instead of waiting. */
  get untried(): readonly string[] {
    return [...this.#skipped, ...this.#ahead];
  }

  /** It was out of use; nothing was tried there. */
  skip(name: string): void {
    this.#skipped = [...this.#skipped, name];
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

  /** Comes back to it when nothing else took the message. Those skipped that `invites` names come first of all. */
  postpone(name: string, invites: (name: string) => boolean): void {
    this.#postponed.push(name);
    this.#ahead = [...this.#skipped.filter(invites), ...this.#ahead];
    this.#skipped = this.#skipped.filter(skipped => !invites(skipped));
    this.leave(name, 'no connection in time');
  }
}
