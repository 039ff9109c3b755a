/**
 * What lies among the bodies and no message knows. It goes to
 * emails/quarantine under the bytes of its name, whatever they mean to
 * anybody, and is neither deleted nor overwritten; where it cannot be moved it
 * stays, which is told and stops nothing.
 */
import { type Dirent, opendirSync, renameSync } from 'node:fs';
import { join } from 'node:path';
import type { RelayEvent } from '../telemetry/events.ts';
import { bodyDirectory } from './body-files.ts';
import { exists } from './missing-bodies.ts';
import type { Place } from './protocol.ts';
import { Sample } from './sample.ts';
import { describe } from './trouble.ts';

/** Names told in an event; the rest is a number. */
const NAMED = 5;
/** Leaves room for a number within the 255 bytes that a name may have. */
const STEM_BYTES = 200;

/** What is in a directory, names as bytes: not every one is UTF-8. Throws errors of files. */
export function* entriesOf(path: string): Iterable<Dirent<Buffer>> {
  // Node.js takes 'buffer' here as in readdir; its types know of text alone.
  const directory = opendirSync(path, { encoding: 'buffer' as BufferEncoding, bufferSize: 256 });
  const next = () => directory.readSync() as Dirent<string | Buffer> | null as Dirent<Buffer> | null;
  try {
    for (let entry = next(); entry !== null; entry = next()) yield entry;
  } finally {
    directory.closeSync();
  }
}

export class Strays {
  readonly #directory: string;
  readonly #moved = new Sample<string>(NAMED);
  readonly #left = new Sample<string>(NAMED);

  /** `directory`: <dataDir>/emails. */
  constructor(directory: string) {
    this.#directory = directory;
  }

  /** Moves it out of the way, or remembers that it could not be. */
  quarantine(place: Place, name: Buffer): void {
    try {
      renameSync(within(bodyDirectory(this.#directory, place), name), this.#free(name));
      this.#moved.add(name.toString());
    } catch (error) {
      this.#left.add(`${name} (${describe(error)})`);
    }
  }

  /** What there is to tell. */
  events(): readonly RelayEvent[] {
    const events: RelayEvent[] = [];
    const { count } = this.#moved;
    if (count > 0) {
      const message = `${files(count)} that no message knows moved to emails/quarantine: ${this.#moved}`;
      events.push({ event: 'spool-quarantined', message, count });
    }
    const { count: left } = this.#left;
    if (left > 0) {
      const stays = left === 1 ? 'stays' : 'stay';
      const message = `${files(left)} that no message knows cannot be moved to emails/quarantine and ${stays} where found: ${this.#left}`;
      events.push({ event: 'spool-trouble', message });
    }
    return events;
  }

  /** A name in quarantine that nothing has yet. */
  #free(name: Buffer): Buffer {
    const quarantine = join(this.#directory, 'quarantine');
    let target = within(quarantine, name);
    for (let copy = 1; exists(target); copy++) {
      target = within(quarantine, Buffer.concat([name.subarray(0, STEM_BYTES), Buffer.from(`.${copy}`)]));
    }
    return target;
  }
}

function within(directory: string, name: Buffer): Buffer {
  return Buffer.concat([Buffer.from(`${directory}/`), name]);
}

function files(count: number): string {
  return count === 1 ? '1 file' : `${count} files`;
}
