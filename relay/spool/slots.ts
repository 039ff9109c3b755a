/**
 * A volume shared by several relays: each takes one directory of its own below
 * it, slot-0, slot-1 …, the first that nobody owns. A slot whose relay is gone
 * is free for the next one, mail on board included. Ownership itself is the
 * spool's (owner.ts).
 */
import { readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import type { OpenSpool } from './settings.ts';
import { SpoolError, type SpoolErrorKind } from './spool.ts';

/** More relays than this on one volume are a mistake. */
const MAX_SLOTS = 1000;
const SLOT = /^slot-\d{1,3}$/;

/** Opens the spool in the given directory; rejects with SpoolError 'owned' when another process has it. */
export type OpenIn = (directory: string) => Promise<OpenSpool>;

/** The same, of the slot with that name. */
export type OpenSlot = (directory: string, name: string) => Promise<OpenSpool>;

export interface Slot {
  readonly name: string;
  readonly spool: OpenSpool;
}

/**
 * Takes the first free slot below `root`. One that is not sound, or of a newer program, is left as it is: a
 * relay that could not start for it would take no mail, and the look for abandoned slots tells of it. Rejects
 * with what else open() says: what ails the volume itself ails every slot.
 */
export async function takeSlot(root: string, open: OpenIn): Promise<Slot> {
  for (let n = 0; n < MAX_SLOTS; n += 1) {
    const name = `slot-${n}`;
    const spool = await openUnless(['owned', 'corrupt'], join(root, name, 'emails'), open);
    if (spool !== undefined) return { name, spool };
  }
  throw new SpoolError('owned', `${root}: all ${MAX_SLOTS} slots are owned by other relays or not sound`);
}

/** How often an abandoned slot without waiting mail is opened all the same, for dead mail beyond retention, ms. */
const SWEEP_MS = 24 * 3_600_000;

/** Looks for slots with mail that nobody owns any more. */
export class AbandonedSlots {
  readonly #root: string;
  readonly #open: OpenSlot;
  readonly #now: () => number;
  /** Slots without waiting mail: when the database had last changed, and until when that is enough to know. */
  readonly #seenEmpty = new Map<string, { readonly changedAt: number; readonly until: number }>();

  /** `now`: milliseconds since the epoch. */
  constructor(root: string, open: OpenSlot, now: () => number) {
    this.#root = root;
    this.#open = open;
    this.#now = now;
  }

  /**
   * Opens one abandoned slot that has mail waiting, or none. `taken`: names not
   * to look at. Rejects where one cannot be opened and no other is to be had.
   */
  async next(taken: ReadonlySet<string>): Promise<Slot | undefined> {
    const names = (await readdir(this.#root)).filter(name => SLOT.test(name) && !taken.has(name)).sort();
    const problems: unknown[] = [];
    for (const name of names) {
      try {
        const slot = await this.#look(name);
        if (slot !== undefined) return slot;
      } catch (error) {
        // A database that is broken must not keep the mail of the others waiting.
        problems.push(error);
      }
    }
    if (problems.length > 0) throw problems[0];
    return undefined;
  }

  async #look(name: string): Promise<Slot | undefined> {
    const directory = join(this.#root, name, 'emails');
    const changedAt = await lastChange(join(directory, 'queue.db'));
    if (changedAt === undefined || this.#isKnownEmpty(name, changedAt)) return undefined;
    const spool = await openUnless(['owned'], directory, where => this.#open(where, name));
    if (spool === undefined) return undefined;
    if (hasWaitingMail(spool)) return { name, spool };
    try {
      await spool.sweep(this.#now());
    } finally {
      await spool.close();
    }
    this.#seenEmpty.set(name, {
      changedAt: (await lastChange(join(directory, 'queue.db'))) ?? 0,
      until: performance.now() + SWEEP_MS,
    });
    return undefined;
  }

  #isKnownEmpty(name: string, changedAt: number): boolean {
    const seen = this.#seenEmpty.get(name);
    return seen?.changedAt === changedAt && performance.now() < seen.until;
  }
}

/**
 * Something in it is still to be sent, at once or when people release it: they reach held mail through the relay
 * that has its slot open. Dead mail is over and stays behind.
 */
export function hasWaitingMail(spool: OpenSpool): boolean {
  const { active, failed, held } = spool.counts();
  return active.messages + failed.messages + held.messages > 0;
}

async function openUnless(
  passedOver: readonly SpoolErrorKind[],
  directory: string,
  open: OpenIn,
): Promise<OpenSpool | undefined> {
  try {
    return await open(directory);
  } catch (error) {
    if (error instanceof SpoolError && passedOver.includes(error.kind)) return undefined;
    throw error;
  }
}

/** Until a checkpoint what is new is in the write-ahead log alone; after a crash it stays there. */
async function lastChange(path: string): Promise<number | undefined> {
  const times = await Promise.all([modifiedAt(path), modifiedAt(`${path}-wal`)]);
  const known = times.filter(time => time !== undefined);
  return known.length === 0 ? undefined : Math.max(...known);
}

async function modifiedAt(path: string): Promise<number | undefined> {
  return stat(path).then(
    ({ mtimeMs }) => mtimeMs,
    () => undefined,
  );
}
