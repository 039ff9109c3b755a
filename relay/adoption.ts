/**
 * On a shared volume: looks after the mail of relays that are gone. Every half
 * minute it opens one abandoned slot that has mail, sends what is in it, and
 * gives the slot back when it is empty.
 */
import type { Adopted, Delivery } from './delivery/delivery.ts';
import { type AbandonedSlots, hasWaitingMail, type Slot } from './spool/slots.ts';
import type { Emit } from './telemetry/events.ts';

const LOOK_MS = 30_000;

export interface AdoptionDeps {
  readonly slots: AbandonedSlots;
  /** The slot of this relay. */
  readonly own: string;
  readonly delivery: Delivery;
  readonly emit: Emit;
}

export class Adoption {
  readonly #deps: AdoptionDeps;
  readonly #adopted = new Map<string, Slot & { readonly sending: Adopted }>();
  readonly #timer: NodeJS.Timeout;
  #looking: Promise<void> | undefined;

  constructor(deps: AdoptionDeps) {
    this.#deps = deps;
    this.#timer = setInterval(() => void this.look(), LOOK_MS);
    this.#timer.unref();
  }

  /** The adopted stores. */
  get spools(): readonly Slot['spool'][] {
    return [...this.#adopted.values()].map(({ spool }) => spool);
  }

  /** Gives back what is empty, takes one more. One look at a time. */
  look(): Promise<void> {
    this.#looking ??= this.#look().finally(() => {
      this.#looking = undefined;
    });
    return this.#looking;
  }

  /** Stops sending from them and gives them all back, mail on board included. */
  async close(): Promise<void> {
    clearInterval(this.#timer);
    await this.#looking;
    await Promise.all([...this.#adopted.keys()].map(name => this.#giveBack(name)));
  }

  async #look(): Promise<void> {
    try {
      for (const [name, { spool }] of this.#adopted) if (!hasWaitingMail(spool)) await this.#giveBack(name);
      const slot = await this.#deps.slots.next(new Set([this.#deps.own, ...this.#adopted.keys()]));
      if (slot === undefined) return;
      const { active, failed, held } = slot.spool.counts();
      const count = active.messages + failed.messages + held.messages;
      this.#adopted.set(slot.name, { ...slot, sending: this.#deps.delivery.adopt(slot.spool) });
      this.#deps.emit({ event: 'spool-adopted', message: `${slot.name}: its relay is gone`, count });
    } catch (error) {
      const message = error instanceof Error ? error.message : String(error);
      this.#deps.emit({ event: 'spool-trouble', message: `looking for abandoned slots: ${message}` });
    }
  }

  async #giveBack(name: string): Promise<void> {
    const slot = this.#adopted.get(name);
    if (slot === undefined) return;
    this.#adopted.delete(name);
    await slot.sending.stop();
    await slot.spool.close();
  }
}
