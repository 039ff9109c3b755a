/**
 * A disk that may lose what was not synced, to the letter of POSIX: bytes of a
 * file survive from its fsync on, names in a directory from the fsync of the
 * directory on. What was done after that may have survived or not, each write
 * by itself and in pieces of 512 bytes; names in order, as journals keep them.
 */
import { mkdir, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import type { FileCall } from './system-calls.ts';

const SECTOR = 512;

interface Change {
  readonly at: number;
  /** Absent: the file ends at `at`. */
  readonly data?: Buffer;
}

/** A file, whatever its names are; a directory has no bytes. */
class Inode {
  readonly isDirectory: boolean;
  /** The bytes that are safe. */
  durable: Buffer = Buffer.alloc(0);
  readonly pending: Change[] = [];
  /** Bytes of the file now. */
  length = 0;

  constructor(isDirectory: boolean) {
    this.isDirectory = isDirectory;
  }

  change(change: Change): void {
    this.pending.push(change);
    const end = change.at + (change.data?.length ?? 0);
    this.length = change.data === undefined ? end : Math.max(this.length, end);
  }

  /** The first so many pending changes are safe. */
  keep(count: number): void {
    for (const change of this.pending.splice(0, count)) this.durable = applied(this.durable, change);
  }

  /** The bytes after the power failed. */
  after(luck: Luck): Buffer {
    let bytes: Buffer = Buffer.from(this.durable);
    for (const change of this.pending) {
      for (const piece of sectors(change)) if (luck() < 0.7) bytes = applied(bytes, piece);
    }
    return bytes;
  }
}

function* sectors({ at, data }: Change): Iterable<Change> {
  if (data === undefined) yield { at };
  else
    for (let from = 0; from < data.length; from += SECTOR)
      yield { at: at + from, data: data.subarray(from, from + SECTOR) };
}

function applied(bytes: Buffer, { at, data }: Change): Buffer {
  const length = data === undefined ? at : Math.max(bytes.length, at + data.length);
  const result = length === bytes.length ? bytes : Buffer.alloc(length);
  if (result !== bytes) bytes.copy(result);
  data?.copy(result, at);
  return result;
}

type Names = Map<string, Inode>;

interface NameChange {
  readonly directories: readonly string[];
  apply(names: Names): void;
}

/** `random()` is uniform in [0, 1): what survives of that which need not. */
export type Luck = () => number;

/** Nothing survives that need not. */
export const none: Luck = () => 1;

export class VolatileDisk {
  readonly #root: string;
  /** Names as the process sees them, and as they would be after the power failed. */
  readonly #names: Names;
  readonly #durable: Names;
  readonly #pending: NameChange[] = [];
  readonly #open = new Map<number, { readonly path: string; readonly inode: Inode; position: number }>();
  /** Of each thread that waits for a sync: what was there to be made durable when it began. */
  readonly #covered = new Map<string, () => void>();

  /** `root` is there, and empty. What lies elsewhere is of no interest. */
  constructor(root: string) {
    this.#root = root;
    this.#names = new Map([[root, new Inode(true)]]);
    this.#durable = new Map(this.#names);
  }

  /** Takes in the next thing that the process did. */
  see(call: FileCall): void {
    switch (call.do) {
      case 'open':
        this.#opened(call);
        break;
      case 'write':
        this.#write(call.fd, call.data, call.at);
        break;
      case 'truncate':
        this.#open.get(call.fd)?.inode.change({ at: call.length });
        break;
      case 'mkdir':
        this.#create(call.path, true);
        break;
      case 'unlink':
        this.#rename([call.path], names => names.delete(call.path));
        break;
      case 'rename':
        this.#move(call.from, call.to);
        break;
      default:
        this.#sync(call);
    }
  }

  #create(path: string, isDirectory: boolean): void {
    const inode = new Inode(isDirectory);
    this.#rename([path], names => names.set(path, inode));
  }

  #move(from: string, to: string): void {
    const inode = this.#names.get(from);
    if (inode === undefined) return;
    this.#rename([from, to], names => names.delete(from) && names.set(to, inode));
  }

  #rename(paths: readonly string[], apply: (names: Names) => unknown): void {
    // The ballast is twenty megabytes of nothing.
    if (!paths.every(path => path.startsWith(`${this.#root}/`) && !path.includes('ballast'))) return;
    apply(this.#names);
    this.#pending.push({ directories: paths.map(path => dirname(path)), apply });
  }

  #opened({ fd, path, create, truncate }: Extract<FileCall, { do: 'open' }>): void {
    if (create && !this.#names.has(path)) this.#create(path, false);
    const inode = this.#names.get(path);
    this.#open.delete(fd);
    if (inode === undefined) return;
    this.#open.set(fd, { path, inode, position: 0 });
    if (truncate && inode.length > 0) inode.change({ at: 0 });
  }

  #write(fd: number, data: Buffer, at: number | undefined): void {
    const file = this.#open.get(fd);
    if (file === undefined) return;
    file.inode.change({ at: at ?? file.position, data });
    if (at === undefined) file.position += data.length;
  }

  #sync(call: Extract<FileCall, { do: 'sync-begun' | 'sync-done' }>): void {
    const file = this.#open.get(call.fd);
    if (call.do === 'sync-begun' && file !== undefined) {
      const { inode, path } = file;
      const changes = inode.pending.length;
      const names = this.#pending.filter(({ directories }) => directories.includes(path));
      this.#covered.set(call.by, () => (inode.isDirectory ? this.#keep(names) : inode.keep(changes)));
    } else if (call.do === 'sync-done') {
      this.#covered.get(call.by)?.();
      this.#covered.delete(call.by);
    }
  }

  #keep(names: readonly NameChange[]): void {
    for (const change of names) {
      const index = this.#pending.indexOf(change);
      if (index < 0) continue;
      this.#pending.splice(index, 1);
      change.apply(this.#durable);
    }
  }

  #namesLeft(luck: Luck): Names {
    const left: Names = new Map(this.#durable);
    for (const change of this.#pending) {
      if (luck() > 0.7) break;
      change.apply(left);
    }
    return left;
  }

  /** Writes what is left after the power failed now, below `target` instead of root, which must be there. */
  async fail(target: string, luck: Luck): Promise<void> {
    const left = this.#namesLeft(luck);
    // Parents first; below a directory that is gone nothing is found.
    for (const path of [...left.keys()].sort()) {
      const inode = left.get(path) as Inode;
      const place = join(target, path.slice(this.#root.length));
      if (path === this.#root) continue;
      if (!left.has(dirname(path))) left.delete(path);
      else if (inode.isDirectory) await mkdir(place);
      else await writeFile(place, inode.after(luck));
    }
  }
}
