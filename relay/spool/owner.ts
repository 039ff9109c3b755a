/**
 * Who owns the directory: a small file beside the database says it to people
 * and to a second process. The lock itself is SQLite's, kept by the kernel and
 * gone with the process; on a network file system, where a lock may be known
 * to one machine only, an owner elsewhere must also have stopped its heartbeat.
 */
import {
  closeSync,
  fsyncSync,
  openSync,
  readFileSync,
  renameSync,
  rmSync,
  statfsSync,
  statSync,
  writeSync,
} from 'node:fs';
import { hostname } from 'node:os';
import { join } from 'node:path';
import { Refusal, troubleOf } from './trouble.ts';

export interface Owner {
  readonly pid: number;
  readonly host: string;
  /** ISO 8601. */
  readonly since: string;
  /** Grows while the owner lives. */
  readonly beat: number;
}

/** File systems whose locks may not reach other machines (statfs(2) magic numbers). */
const NETWORK: ReadonlyMap<number, string> = new Map([
  [0x6969, 'NFS'],
  [0xff534d42, 'CIFS'],
  [0xfe534d42, 'SMB'],
  [0x65735546, 'FUSE'],
  [0x00c36400, 'Ceph'],
  [0x01021997, '9P'],
]);
const BEAT_MS = 3000;
/** Three beats and a little: what an owner elsewhere has to show that it lives. */
const WATCH_MS = 10_000;

export interface OwnershipOptions {
  readonly directory: string;
  readonly now: () => number;
  readonly host?: string;
  /** Absent: found out by statfs. */
  readonly network?: boolean;
  readonly watchMs?: number;
  readonly beatMs?: number;
}

export class Ownership {
  readonly #path: string;
  readonly #network: boolean;
  readonly #host: string;
  readonly #options: OwnershipOptions;
  #timer: NodeJS.Timeout | undefined;
  #mine: Owner | undefined;

  constructor(options: OwnershipOptions) {
    this.#options = options;
    this.#path = join(options.directory, 'owner.json');
    this.#network = options.network ?? NETWORK.has(statfsSync(options.directory).type >>> 0);
    this.#host = options.host ?? hostname();
  }

  /** The refusal for a second process, naming directory and owner. */
  refusal(): Refusal {
    const owner = this.#read();
    const who =
      owner === undefined ? 'another process' : `process ${owner.pid} on ${owner.host} since ${owner.since}`;
    return new Refusal('owned', `the spool directory ${this.#options.directory} is in use by ${who}`);
  }

  /**
   * Call with the database locked. Resolves with whether the last owner left
   * without saying so. Throws Refusal 'owned' when an owner elsewhere still lives. `unwritten`: where there is
   * no room for the file and the lock reaches everybody who could want it, it is done without.
   */
  async take({ unwritten = false } = {}): Promise<boolean> {
    const last = this.#read();
    if (last !== undefined && this.#network && last.host !== this.#host) await this.#watch(last);
    this.#mine = {
      pid: process.pid,
      host: this.#host,
      since: new Date(this.#options.now()).toISOString(),
      beat: (last?.beat ?? 0) + 1,
    };
    try {
      this.#write(this.#mine);
    } catch (error) {
      if (!unwritten || this.#network || troubleOf(error) !== 'full') throw error;
    }
    if (this.#network) this.#startBeating();
    return last !== undefined;
  }

  /** Never throws: the lock goes with the database whatever becomes of the file. */
  release(): void {
    clearInterval(this.#timer);
    if (this.#mine === undefined) return;
    this.#mine = undefined;
    try {
      rmSync(this.#path, { force: true });
    } catch {
      // It stays as after a crash, and the next start checks the database.
    }
  }

  async #watch(last: Owner): Promise<void> {
    const { watchMs = WATCH_MS, beatMs = BEAT_MS } = this.#options;
    for (let waited = 0; waited < watchMs; waited += beatMs / 2) {
      await new Promise(resolve => setTimeout(resolve, beatMs / 2));
      const seen = this.#read();
      if (seen === undefined) return;
      if (seen.beat !== last.beat || seen.host !== last.host) throw this.refusal();
    }
  }

  #startBeating(): void {
    this.#timer = setInterval(() => this.#beat(), this.#options.beatMs ?? BEAT_MS);
    this.#timer.unref();
  }

  #beat(): void {
    if (this.#mine === undefined) return;
    this.#mine = { ...this.#mine, beat: this.#mine.beat + 1 };
    try {
      this.#write(this.#mine);
    } catch {
      // A missed beat is not worth a stop; a volume that is gone shows at the next commit.
    }
  }

  #read(): Owner | undefined {
    try {
      return JSON.parse(readFileSync(this.#path, 'utf8')) as Owner;
    } catch {
      return undefined;
    }
  }

  #write(owner: Owner): void {
    const temporary = `${this.#path}.tmp`;
    const line = `${JSON.stringify(owner)}\n`;
    try {
      writeNow(temporary, line, 'w');
    } catch (error) {
      rmSync(temporary, { force: true });
      const last = statSync(this.#path, { throwIfNoEntry: false });
      if (last === undefined || troubleOf(error) !== 'full') throw error;
      // Without room for a second file: over what the last owner left, in one write.
      writeNow(this.#path, line.padEnd(last.size), 'r+');
      return;
    }
    renameSync(temporary, this.#path);
  }
}

function writeNow(path: string, text: string, flags: 'w' | 'r+'): void {
  const file = openSync(path, flags, 0o640);
  try {
    writeSync(file, text);
    fsyncSync(file);
  } finally {
    closeSync(file);
  }
}
