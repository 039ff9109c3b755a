/**
 * Notes of the transactions that run right now, in a small file of fixed
 * slots: which recipients of a message a provider may have taken already, and
 * which it surely has. A note outlives the process (SIGKILL, out of memory)
 * because the system holds it, and costs no fsync; it does not outlive a loss
 * of power. A note is never wrong about what was taken, and may only be too
 * cautious about what may have been: losing one, or reading an old one, can
 * repeat or delay mail but never lose it.
 */
import { closeSync, constants, fstatSync, openSync, readSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import type { MessageId } from './message.ts';
import { isMessageId } from './message-id.ts';
import type { InFlight } from './spool.ts';
import { describe } from './trouble.ts';

export const IN_FLIGHT_FILE = 'in-flight';

/** Divides a page, so that a note is never written by halves when the process dies. */
const SLOT_BYTES = 256;
/** Slots laid out at once: what has its blocks can be written on a full volume. */
const LAID_OUT = 64;
/** More than any envelope has: what a broken line asks for is not believed. */
const MOST_RECIPIENTS = 100_000;

export interface InFlightOptions {
  readonly directory: string;
  /** Is that message still to be sent? Notes of others are dropped. */
  readonly waits: (id: MessageId) => Promise<boolean>;
  /** Called once when notes cannot be written. */
  readonly failed: (message: string) => void;
}

/** Reads what the process before left, and keeps notes from then on. */
export async function openInFlight(options: InFlightOptions): Promise<InFlightNotes> {
  const notes = new InFlightNotes(options);
  await notes.sift();
  return notes;
}

interface Slot {
  readonly at: number;
  /** As it was written; '' = by the process before. */
  readonly line: string;
  /** It says of somebody that it is not known. */
  readonly uncertain: boolean;
}

export class InFlightNotes {
  readonly #options: InFlightOptions;
  readonly #left = new Map<MessageId, InFlight>();
  readonly #slots = new Map<MessageId, Slot>();
  readonly #free: number[] = [];
  readonly #buffer = Buffer.alloc(SLOT_BYTES);
  #file: number | undefined;
  #laidOut = 0;
  #told = false;

  constructor(options: InFlightOptions) {
    this.#options = options;
    this.#attempt(() => {
      const flags = constants.O_RDWR | constants.O_CREAT | constants.O_NOFOLLOW;
      this.#file = openSync(join(options.directory, IN_FLIGHT_FILE), flags, 0o600);
      this.#read(this.#file);
      if (this.#laidOut === 0) this.#layOut();
    });
  }

  /** What was under way with this message when the process before ended. */
  left(id: MessageId): InFlight | undefined {
    return this.#left.get(id);
  }

  /** Takes the place of the message's note before. Never throws. */
  put(id: MessageId, note: InFlight): void {
    const uncertain = note.uncertain.length > 0;
    if (!uncertain && note.accepted.length === 0) {
      this.#blank(this.#release(id));
      return;
    }
    const known = this.#slots.get(id);
    const line = lineOf(id, note);
    if (line === undefined || line === known?.line) return;
    const at = known?.at ?? this.#freeSlot();
    this.#slots.set(id, { at, line, uncertain });
    this.#write(at, line);
  }

  /** What it says is in the database, and the message may run again: what is noted then must be all there is of it. */
  forget(id: MessageId): void {
    this.#left.delete(id);
    this.#blank(this.#release(id));
  }

  /** The message is over. Who surely has it stays true, and is dropped by the id: not worth a write. */
  drop(id: MessageId): void {
    this.#left.delete(id);
    const slot = this.#release(id);
    if (slot?.uncertain === true) this.#blank(slot);
  }

  /** Its slot, which is free from now on. */
  #release(id: MessageId): Slot | undefined {
    const slot = this.#slots.get(id);
    if (slot === undefined) return undefined;
    this.#slots.delete(id);
    this.#free.push(slot.at);
    return slot;
  }

  #blank(slot: Slot | undefined): void {
    if (slot !== undefined) this.#write(slot.at, '');
  }

  /** Drops notes of messages that are over. */
  async sift(): Promise<void> {
    for (const id of [...this.#left.keys()]) if (!(await this.#options.waits(id))) this.forget(id);
  }

  close(): void {
    const file = this.#file;
    this.#file = undefined;
    if (file !== undefined) this.#attempt(() => closeSync(file));
  }

  #read(file: number): void {
    this.#laidOut = Math.ceil(fstatSync(file).size / SLOT_BYTES);
    for (let at = 0; at < this.#laidOut; at++) {
      const length = readSync(file, this.#buffer, 0, SLOT_BYTES, at * SLOT_BYTES);
      const found = parse(this.#buffer.toString('utf8', 0, length).trimEnd());
      if (found === undefined || this.#left.has(found.id)) {
        this.#free.push(at);
        continue;
      }
      this.#left.set(found.id, found.note);
      this.#slots.set(found.id, { at, line: '', uncertain: true });
    }
  }

  #freeSlot(): number {
    if (this.#free.length === 0) this.#layOut();
    return this.#free.pop() ?? this.#laidOut++;
  }

  #layOut(): void {
    const from = this.#laidOut;
    this.#laidOut += LAID_OUT;
    for (let at = this.#laidOut - 1; at >= from; at--) this.#free.push(at);
    this.#save(from, Buffer.alloc(LAID_OUT * SLOT_BYTES, ' '));
  }

  #write(at: number, line: string): void {
    this.#buffer.fill(' ');
    this.#buffer.write(line);
    this.#buffer[SLOT_BYTES - 1] = 0x0a;
    this.#save(at, this.#buffer);
  }

  #save(at: number, bytes: Buffer): void {
    const file = this.#file;
    if (file !== undefined) this.#attempt(() => writeSync(file, bytes, 0, bytes.length, at * SLOT_BYTES));
  }

  /** Sending goes on when it fails: a kill may repeat mail then, but stopping for it would send none at all. */
  #attempt(work: () => void): void {
    try {
      work();
    } catch (error) {
      if (this.#told) return;
      this.#told = true;
      this.#options.failed(`what is under way cannot be noted, a kill may repeat it: ${describe(error)}`);
    }
  }
}

/**
 * What fits in a slot, with as much as has room: the provider's name is for
 * people, and more may be called uncertain than is. undefined when even that
 * has no room: the note before, without what was accepted, is cautious enough.
 */
function lineOf(id: MessageId, { provider, uncertain, accepted }: InFlight): string | undefined {
  const has = ranges(accepted);
  const lines = [ranges(uncertain), hull(uncertain)].flatMap(may => [
    [id, may, has, provider],
    [id, may, has],
  ]);
  return lines.map(line => JSON.stringify(line)).find(line => Buffer.byteLength(line) < SLOT_BYTES);
}

function parse(line: string): { readonly id: MessageId; readonly note: InFlight } | undefined {
  if (!line.startsWith('[')) return undefined;
  try {
    const [id, may, has, provider = ''] = JSON.parse(line) as readonly (string | undefined)[];
    if (id === undefined || !isMessageId(id) || may === undefined || has === undefined) return undefined;
    return { id, note: { provider, uncertain: positions(may), accepted: positions(has) } };
  } catch {
    // Half of it, after a loss of power.
    return undefined;
  }
}

/** `0-3,7`: positions in ascending order, runs shortened. */
function ranges(indexes: readonly number[]): string {
  const runs: [from: number, to: number][] = [];
  for (const index of [...indexes].sort((a, b) => a - b)) {
    const run = runs.at(-1);
    if (run !== undefined && index <= run[1] + 1) run[1] = index;
    else runs.push([index, index]);
  }
  return runs.map(([from, to]) => (from === to ? `${from}` : `${from}-${to}`)).join(',');
}

/** One run over all of them. */
function hull(indexes: readonly number[]): string {
  return indexes.length === 0 ? '' : `${Math.min(...indexes)}-${Math.max(...indexes)}`;
}

function positions(text: string): readonly number[] {
  if (text === '') return [];
  return text.split(',').flatMap(run => {
    const [from = 0, to = from] = run.split('-').map(Number);
    return Array.from({ length: Math.min(to - from + 1, MOST_RECIPIENTS) }, (_, step) => from + step);
  });
}
