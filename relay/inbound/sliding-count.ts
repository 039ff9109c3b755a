/**
 * Counts events per key over a window that slides, in slots: an event counts
 * for at least the whole window and at most one slot longer, so that never
 * more than the limit happens within any window. Memory is bounded: the key
 * unused for longest is forgotten when there are too many.
 */

interface Slots {
  readonly counts: Uint32Array;
  /** Number of the newest slot, since the epoch. */
  newest: number;
  total: number;
}

export class SlidingCount {
  readonly #slotMs: number;
  readonly #slots: number;
  readonly #maxKeys: number;
  /** In order of last use. */
  readonly #keys = new Map<string, Slots>();

  /** `slots` is how finely the window of `windowMs` slides. */
  constructor(windowMs: number, slots: number, maxKeys: number) {
    this.#slotMs = windowMs / slots;
    this.#slots = slots + 1;
    this.#maxKeys = maxKeys;
  }

  /** Events counted for the key in the window that ends now (ms since the epoch). */
  count(key: string, now: number): number {
    const entry = this.#keys.get(key);
    if (entry === undefined) return 0;
    this.#advance(entry, now);
    return entry.total;
  }

  add(key: string, now: number): void {
    let entry = this.#keys.get(key);
    if (entry === undefined) {
      entry = { counts: new Uint32Array(this.#slots), newest: Math.floor(now / this.#slotMs), total: 0 };
      this.#forgetOldest();
    } else {
      this.#keys.delete(key);
      this.#advance(entry, now);
    }
    this.#keys.set(key, entry);
    entry.counts[entry.newest % this.#slots]! += 1;
    entry.total++;
  }

  /** Takes back an event that was counted at `at`; nothing when its slot is over. */
  remove(key: string, at: number): void {
    const entry = this.#keys.get(key);
    const slot = Math.floor(at / this.#slotMs);
    if (entry === undefined || slot > entry.newest || slot <= entry.newest - this.#slots) return;
    const index = slot % this.#slots;
    if (entry.counts[index] === 0) return;
    entry.counts[index]! -= 1;
    entry.total--;
  }

  /** Milliseconds until at least one counted event leaves the window; 0 when there is none. */
  nextRelease(key: string, now: number): number {
    const entry = this.#keys.get(key);
    if (entry === undefined || entry.total === 0) return 0;
    for (let age = this.#slots - 1; age >= 0; age--) {
      const slot = entry.newest - age;
      if (slot >= 0 && entry.counts[slot % this.#slots] !== 0)
        return (slot + this.#slots) * this.#slotMs - now;
    }
    return 0;
  }

  /** Empties the slots that lie between the newest and now. A clock that steps back counts into the newest. */
  #advance(entry: Slots, now: number): void {
    const current = Math.floor(now / this.#slotMs);
    const steps = Math.min(current - entry.newest, this.#slots);
    for (let step = 1; step <= steps; step++) {
      const index = (entry.newest + step) % this.#slots;
      entry.total -= entry.counts[index] as number;
      entry.counts[index] = 0;
    }
    if (current > entry.newest) entry.newest = current;
  }

  #forgetOldest(): void {
    if (this.#keys.size < this.#maxKeys) return;
    const oldest = this.#keys.keys().next();
    if (!oldest.done) this.#keys.delete(oldest.value);
  }
}
