/**
 * What one visit to a provider has to carry, cut into transactions: so many
 * recipients each as the provider is known to take, and fewer once it has
 * refused this message for having too many. Halved each time, so a message is
 * sent in vain as often as its recipients can be halved, and no oftener. A
 * value with a cursor, no effects.
 */
export class Batches {
  #waiting: readonly number[];
  #refused: { readonly most: number; readonly reply: string } | undefined;

  /** Positions in the envelope. */
  constructor(positions: readonly number[]) {
    this.#waiting = positions;
  }

  /** The positions of the next transaction, at most `limit`; undefined when all were given out. */
  next(limit: number): readonly number[] | undefined {
    if (this.#waiting.length === 0) return undefined;
    const size = Math.min(limit, this.#refused?.most ?? limit);
    const batch = this.#waiting.slice(0, size);
    this.#waiting = this.#waiting.slice(size);
    return batch;
  }

  /** These found no place in their transaction: they come last. */
  add(positions: readonly number[]): void {
    this.#waiting = [...this.#waiting, ...positions];
  }

  /** The message was refused, in these words, for having `recipients`, of which there were several. */
  halve(recipients: number, reply: string): void {
    this.#refused = { most: Math.max(1, Math.floor(recipients / 2)), reply };
  }

  /** How many recipients a transaction has since it was refused for more, and how that was said. */
  get found(): { readonly most: number; readonly reply: string } | undefined {
    return this.#refused;
  }
}
