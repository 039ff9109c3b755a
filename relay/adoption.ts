/**
 * On a shared volume: looks after the mail of relays that are gone. Every half
 * minute it opens one abandoned slot that has mail, sends what is in it, and
 * gives the slot back when it is empty. One whose store fails is given back at
 * once and left to others: it never takes its own relay out of service.
 */
import type { Adopted, Delivery } from './delivery/delivery.ts';
import type { OpenSpool } from './spool/settings.ts';
import { AbandonedSlots, hasWaitingMail, type Slot } from './spool/slots.ts';
import type { Emit } from './telemetry/events.ts';

const LOOK_MS = 30_000;

export interface AdoptionDeps {
  /** The directory with the slots. */
  readonly root: string;
  /** The slot of this relay. */
  readonly own: string;
  readonly open: (directory: string, emit: Emit) => Promise<OpenSpool>;
  readonly delivery: Delivery;
  readonly emit: Emit;
  /** Milliseconds since the epoch. */
  readonly now: () => number;
}

export class Adoption {
  readonly #deps: AdoptionDeps;
  readonly #slots: AbandonedSlots;
  readonly #adopted = new Map<string, Slot & { readonly sending: Adopted }>();
  /** Those whose store failed under this process: whoever opens one anew looks through it first. */
  readonly #failed = new Set<string>();
  readonly #leaving = new Set<Promise<void>>();
  readonly #timer: NodeJS.Timeout;
  #looking: Promise<void> | undefined;

  constructor(deps: AdoptionDeps) {
    this.#deps = deps;
    const { root, open, now } = deps;
    this.#slots = new AbandonedSlots(root, (directory, name) => open(directory, this.#emitOf(name)), now);
    this.#timer = setInterval(() => void this.look(), LOOK_MS);
    this.#timer.unref();
  }

  /** The adopted stores. */
  get spools(): readonly OpenSpool[] {
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
    await Promise.all(this.#leaving);
  }

  async #look(): Promise<void> {
    try {
      for (const [name, { spool }] of this.#adopted) if (!hasWaitingMail(spool)) await this.#giveBack(name);
      const taken = [this.#deps.own, ...this.#adopted.keys(), ...this.#failed];
      const slot = await this.#slots.next(new Set(taken));
      if (slot !== undefined) await this.#take(slot);
    } catch (error) {
      this.#tell(`looking for abandoned slots: ${wordsOf(error)}`);
    }
  }

  async #take(slot: Slot): Promise<void> {
    const { name, spool } = slot;
    if (this.#failed.has(name)) return spool.close();
    const { active, failed, held } = spool.counts();
    const count = active.messages + failed.messages + held.messages;
    const sending = this.#deps.delivery.adopt(spool, reason => this.#fail(name, reason));
    this.#adopted.set(name, { ...slot, sending });
    this.#deps.emit({ event: 'spool-adopted', message: `${name}: its relay is gone`, count });
  }

  /** What a store that is not this relay's own tells: its failure is not that of the relay. */
  #emitOf(name: string): Emit {
    return event => {
      if (event.event === 'spool-failed') this.#fail(name, event.message);
      else this.#deps.emit(event);
    };
  }

  #fail(name: string, reason: string): void {
    if (this.#failed.has(name)) return;
    this.#failed.add(name);
    this.#tell(`${name}: ${reason}; it is given back, and its mail waits for another relay or a restart`);
    const leaving: Promise<void> = this.#giveBack(name)
      .catch((error: unknown) => this.#tell(`${name}: giving it back: ${wordsOf(error)}`))
      .finally(() => this.#leaving.delete(leaving));
    this.#leaving.add(leaving);
  }

  async #giveBack(name: string): Promise<void> {
    const slot = this.#adopted.get(name);
    if (slot === undefined) return;
    this.#adopted.delete(name);
    await slot.sending.stop();
    await slot.spool.close();
  }

  #tell(message: string): void {
    this.#deps.emit({ event: 'spool-trouble', message });
  }
}

function wordsOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
