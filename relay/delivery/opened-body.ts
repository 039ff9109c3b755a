/**
 * A body of which the first chunk is at hand: that it can be read is known
 * before anything is said to a provider. Whoever opens one closes it.
 */

export class OpenedBody implements AsyncIterable<Buffer> {
  readonly #iterator: AsyncIterator<Buffer>;
  #first: IteratorResult<Buffer> | undefined;

  private constructor(iterator: AsyncIterator<Buffer>, first: IteratorResult<Buffer>) {
    this.#iterator = iterator;
    this.#first = first;
  }

  /** Rejects with what the source throws. */
  static async open(source: AsyncIterable<Buffer>): Promise<OpenedBody> {
    const iterator = source[Symbol.asyncIterator]();
    return new OpenedBody(iterator, await iterator.next());
  }

  /** Once. */
  [Symbol.asyncIterator](): AsyncIterator<Buffer> {
    return {
      next: () => {
        const first = this.#first;
        this.#first = undefined;
        return first === undefined ? this.#iterator.next() : Promise.resolve(first);
      },
      return: async () => {
        this.close();
        return { done: true, value: undefined };
      },
    };
  }

  /** Whether or not it was read: gives the file back, without waiting for it. */
  close(): void {
    this.#first = undefined;
    // Nothing was written, so nothing can go wrong that anybody would wait for.
    this.#iterator.return?.().catch(() => undefined);
  }
}
