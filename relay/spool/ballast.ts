/**
 * A file that only takes up room. On a full volume SQLite needs a little more
 * of it even to delete; giving the ballast up lets deliveries be recorded and
 * bodies be removed until there is room again.
 */
import { randomFillSync } from 'node:crypto';
import { closeSync, fsyncSync, openSync, renameSync, rmSync, statfsSync, statSync, writeSync } from 'node:fs';
import { join } from 'node:path';

/** The ballast is only laid in again when this many times its size is free. */
const ROOM_FACTOR = 4;

export class Ballast {
  readonly #path: string;
  readonly #temporary: string;
  readonly #directory: string;
  readonly #bytes: number;
  #present = false;

  constructor(directory: string, bytes: number) {
    this.#directory = directory;
    this.#path = join(directory, 'ballast');
    this.#temporary = `${this.#path}.tmp`;
    this.#bytes = bytes;
  }

  /** Lays it in when it is missing and there is room; never throws. */
  restore(): void {
    if (this.#present) return;
    try {
      if (statSync(this.#path, { throwIfNoEntry: false })?.size === this.#bytes) {
        this.#present = true;
        return;
      }
      const { bavail, bsize } = statfsSync(this.#directory);
      if (bavail * bsize < this.#bytes * ROOM_FACTOR) return;
      this.#write();
      this.#present = true;
    } catch {
      // Without it a full disk is met a little earlier; nothing else changes.
      remove(this.#temporary);
    }
  }

  #write(): void {
    const file = openSync(this.#temporary, 'w', 0o600);
    try {
      // Random, for a file system that compresses would keep zeros in no room at all.
      const block = randomFillSync(Buffer.allocUnsafe(64 * 1024));
      for (let written = 0; written < this.#bytes; written += block.length) {
        writeSync(file, block, 0, Math.min(block.length, this.#bytes - written));
      }
      fsyncSync(file);
    } finally {
      closeSync(file);
    }
    renameSync(this.#temporary, this.#path);
  }

  /** Gives the room up; never throws. */
  release(): void {
    this.#present = false;
    remove(this.#path);
  }
}

function remove(path: string): void {
  try {
    rmSync(path, { force: true });
  } catch {
    // Nothing more can be done for room.
  }
}
