/**
 * How many resends may be under way at once: few at first, twice as many with
 * every round trip that succeeds, few again when they fail. A provider that
 * just came back is not met by the whole backlog, and reaches full speed in
 * under ten round trips all the same.
 */
const START = 4;

export class Ramp {
  #size = START;

  /** Resends allowed at once, at most `ceiling`. */
  size(ceiling: number): number {
    return Math.max(1, Math.min(this.#size, ceiling));
  }

  succeeded(ceiling: number): void {
    this.#size = Math.min(this.#size + 1, Math.max(START, ceiling));
  }

  failed(): void {
    this.#size = Math.max(START, Math.floor(this.#size / 2));
  }
}
