/**
 * How much room the volume has, and whether new mail may still come in. Looks
 * once a second and whenever much has been written; says once when room gets
 * low and once when it is back, with some room, and where only the volume
 * itself says that it is full some time, between the two.
 */
import { statfs } from 'node:fs/promises';
import type { Emit } from '../telemetry/events.ts';

const LOOK_EVERY_MS = 1000;
/** Written bytes after which to look, at most; on a small volume an eighth of the reserve, since a mail is written up to three times (log, database, file). */
const LOOK_AFTER_BYTES = 64 * 1024 * 1024;
const LOOK_AFTER_SHARE = 1 / 8;
const LOOK_AFTER_LEAST = 256 * 1024;
/** What is written grows the log and then the database by as much. */
const GROWTH = 2;
/** Of the reserve, what may be gone by writing alone before the volume is heard. */
const UNHEARD_SHARE = 1 / 2;
/** How long new mail is refused by a volume that says again and again that it is full while room is shown. */
const HOLD_MS = 30_000;
/** What comes within that time of the last is again and again. */
const AGAIN_MS = 2 * HOLD_MS;
/** Free room above the reserve at which new mail is taken again. */
const HYSTERESIS = 1.1;
const MEGABYTE = 1024 * 1024;
/** Five per cent of a disk of many terabytes is more than any queue needs to be emptied. */
const MOST_OF_SHARE = 2 * 1024 * MEGABYTE;

/**
 * Bytes to keep free: what was asked for, else 5 % of the disk (at most 2 GiB)
 * or two of the largest messages; never more than a quarter of the disk, so
 * that a small volume is of use.
 */
export function reserveBytes(diskBytes: number, maxMessageBytes: number, asked: number | undefined): number {
  if (asked !== undefined) return asked;
  const share = Math.min(diskBytes / 20, MOST_OF_SHARE);
  return Math.floor(Math.min(Math.max(share, 2 * maxMessageBytes), diskBytes / 4));
}

/** Room on a volume, in bytes. */
export interface Volume {
  readonly freeBytes: number;
  readonly totalBytes: number;
}

/** Of the room that counts, seven eighths at most may lie inside the database. */
const SPARE_PER_FREE = 7;

/**
 * The database never gets smaller: what is free inside it is room for new mail
 * like any other, and all there may be once a backlog has been sent. The log
 * and bodies as files need some on the volume itself. `spareBytes` is negative
 * while the log may add more pages than are free; whether it does, and whether
 * they are new ones, is known when it is written back: until then it takes
 * nothing away, for a volume at its reserve would be said to be full and not
 * full by turns.
 */
export function withSpare({ freeBytes, totalBytes }: Volume, spareBytes: number): Volume {
  return { freeBytes: freeBytes + Math.max(0, Math.min(spareBytes, SPARE_PER_FREE * freeBytes)), totalBytes };
}

/** How full the volume is that the spool lies on. `freeBytes` has the room inside the database (withSpare). */
export interface DiskState extends Volume {
  /** Below this new mail is refused. */
  readonly reserveBytes: number;
  /** New mail is refused. */
  readonly low: boolean;
}

/** As df has it: blocks that only root may use are neither free nor part of the whole. */
export async function volumeOf(directory: string): Promise<Volume> {
  const { bavail, bfree, blocks, bsize } = await statfs(directory);
  return { freeBytes: bavail * bsize, totalBytes: (blocks - bfree + bavail) * bsize };
}

export interface DiskOptions {
  readonly look: () => Promise<Volume>;
  readonly maxMessageBytes: number;
  readonly reserveBytes: number | undefined;
  readonly emit: Emit;
  /** Monotonic clock, ms. */
  readonly now: () => number;
}

export class Disk {
  readonly #options: DiskOptions;
  #maxMessageBytes: number;
  #asked: number | undefined;
  #volume: Volume = { freeBytes: 0, totalBytes: 0 };
  #low = false;
  /** When the volume last said that it is full while new mail was taken. */
  #fullAt = Number.NEGATIVE_INFINITY;
  #lowUntil = Number.NEGATIVE_INFINITY;
  /** Bytes written since the last look began. */
  #written = 0;
  /** Bytes written since that look began of which the answer is known: it does not count them. */
  #unheard = 0;
  #timer: NodeJS.Timeout | undefined;
  #looking = false;

  constructor(options: DiskOptions) {
    this.#options = options;
    this.#maxMessageBytes = options.maxMessageBytes;
    this.#asked = options.reserveBytes;
  }

  async start(): Promise<void> {
    await this.look();
    this.#timer = setInterval(() => void this.look(), LOOK_EVERY_MS);
    this.#timer.unref();
  }

  stop(): void {
    clearInterval(this.#timer);
  }

  configure(maxMessageBytes: number, asked: number | undefined): void {
    this.#maxMessageBytes = maxMessageBytes;
    this.#asked = asked;
    this.#judge();
  }

  state(): DiskState {
    return { ...this.#volume, reserveBytes: this.#reserve(), low: this.#low };
  }

  /**
   * Much can be written between two looks by time. On a busy machine it can be
   * more than there is room for until one is answered, and a volume that was
   * filled to its last byte has no room to record what is sent: no new mail
   * comes in before it has been heard.
   */
  wrote(bytes: number): void {
    this.#written += bytes;
    this.#unheard += bytes;
    const unsure = this.#mayBeFull();
    if (unsure) {
      const written = Math.round(this.#unheard / MEGABYTE);
      this.#setLow(true, `${written} MB written since the volume was asked and said `);
    }
    const share = Math.max(this.#reserve() * LOOK_AFTER_SHARE, LOOK_AFTER_LEAST);
    if (unsure || this.#written >= Math.min(share, LOOK_AFTER_BYTES)) void this.look();
  }

  /**
   * The disk said that it is full, whatever statfs says (quota, inodes):
   * refuse until the next look, or for longer when that let mail in for nothing.
   */
  full(): void {
    if (this.#low) return;
    const now = this.#options.now();
    if (now - this.#fullAt < AGAIN_MS) this.#lowUntil = now + HOLD_MS;
    this.#fullAt = now;
    this.#setLow(true, 'the volume took no more, ');
  }

  /** Never rejects: a volume that cannot be asked shows at the next commit. */
  async look(): Promise<void> {
    if (this.#looking) return;
    this.#looking = true;
    this.#written = 0;
    const before = this.#unheard;
    // Without a new answer the last one is kept.
    const volume = await this.#options.look().catch(() => undefined);
    this.#unheard -= before;
    if (volume !== undefined) {
      this.#volume = volume;
      this.#judge();
    }
    this.#looking = false;
  }

  #mayBeFull(): boolean {
    // Some file systems do not say how large they are.
    if (this.#volume.totalBytes === 0) return false;
    return this.#volume.freeBytes - GROWTH * this.#unheard < this.#reserve() * UNHEARD_SHARE;
  }

  #reserve(): number {
    return reserveBytes(this.#volume.totalBytes, this.#maxMessageBytes, this.#asked);
  }

  #judge(): void {
    const { freeBytes } = this.#volume;
    const reserve = this.#reserve();
    const enough = freeBytes >= reserve * HYSTERESIS && !this.#mayBeFull();
    if (freeBytes < reserve) this.#setLow(true);
    else if (enough && this.#options.now() >= this.#lowUntil) this.#setLow(false);
  }

  #setLow(low: boolean, why = ''): void {
    if (low === this.#low) return;
    this.#low = low;
    const free = `${Math.round(this.#volume.freeBytes / MEGABYTE)} MB free`;
    const reserve = `reserve ${Math.round(this.#reserve() / MEGABYTE)} MB`;
    if (low)
      this.#options.emit({ event: 'disk-low', message: `${why}${free}, ${reserve}: new mail is refused` });
    else
      this.#options.emit({
        event: 'disk-recovered',
        message: `${free}, ${reserve}: new mail is taken again`,
      });
  }
}
