/** What is told of many names: how many there are and the first few, for there may be a million. */
export class Sample<T extends string> {
  readonly first: T[] = [];
  readonly #most: number;
  count = 0;

  constructor(most: number) {
    this.#most = most;
  }

  add(name: T): void {
    this.count++;
    if (this.first.length < this.#most) this.first.push(name);
  }

  toString(): string {
    const more = this.count - this.first.length;
    return this.first.join(', ') + (more > 0 ? ` and ${more} more` : '');
  }
}
