/**
 * Those who wait for a provider's connection, and how they leave: served, told
 * that the provider is out of use, or out of patience when it keeps them
 * waiting and they have somewhere else to go. Knows no connection.
 */
import type { Grant } from './provider.ts';
import { type InUse, type Lane, WaitingLine } from './waiting-line.ts';

export interface Waiter {
  readonly lane: Lane;
  /** Could another provider be used for it right now? */
  readonly elsewhere: () => boolean;
  readonly answer: (grant: Grant) => void;
}

export interface PatienceDeps {
  readonly patienceMs: () => number;
  /** Mail has waited as long as it must. */
  readonly late: () => boolean;
  /** For how long nothing has moved that mail waits for, ms. */
  readonly stillMs: () => number;
  /** Who could not leave waits on: what was not worth a try before may be now. */
  readonly again: () => void;
}

/** Between two looks whether who waits may leave. */
const SHORTEST_LOOK_MS = 100;

export class PatientLine {
  readonly #deps: PatienceDeps;
  readonly #line = new WaitingLine<Waiter>();
  #timer: NodeJS.Timeout | undefined;

  constructor(deps: PatienceDeps) {
    this.#deps = deps;
  }

  get size(): number {
    return this.#line.size;
  }

  join(waiter: Waiter): void {
    this.#line.join(waiter);
  }

  /** Takes out the one to be served next. */
  next(inUse: InUse): Waiter | undefined {
    return this.#line.next(inUse);
  }

  /** Tells everyone. */
  dismiss(grant: Grant): void {
    for (const waiter of this.#line.everyone()) {
      this.#line.leave(waiter);
      waiter.answer(grant);
    }
  }

  /** Lets those go who may go elsewhere, when they have waited long enough. */
  dismissImpatient(): void {
    if (!this.#deps.late()) return;
    for (const waiter of this.#line.everyone()) {
      if (!waiter.elsewhere()) continue;
      this.#line.leave(waiter);
      waiter.answer({ kind: 'impatient' });
    }
  }

  /**
   * Looks from time to time, until nobody waits: what moves now may stand still
   * later, and who had nowhere to go may have then.
   */
  keepLooking(): void {
    if (this.#timer !== undefined || this.size === 0) return;
    const patienceMs = this.#deps.patienceMs();
    const left = patienceMs - this.#deps.stillMs();
    const look = (): void => {
      this.#timer = undefined;
      this.dismissImpatient();
      this.#deps.again();
      this.keepLooking();
    };
    this.#timer = setTimeout(look, left > 0 ? left : Math.max(patienceMs, SHORTEST_LOOK_MS));
  }

  stopLooking(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
  }
}
