/**
 * Folds what LISTs, watches and our own writes say about the same objects into one store, and tells each change
 * once. Newer wins: an answer to our own write may come before or after the watch brings the same version.
 */
import type { Clock } from './clock.ts';
import { isOlder, type KubeObject, keyOf } from './object.ts';
import type { Store } from './store.ts';

export type ObjectEvent<T> =
  | { type: 'added'; object: T }
  | { type: 'updated'; object: T; previous: T }
  | { type: 'deleted'; object: T };

/** How long an own write is held against a LIST that does not know it; a watch brings it in milliseconds. */
const ownWriteMs = 60_000;
/** Deletions remembered so that a late answer to an own write does not bring an object back. */
const deletionsKept = 1_000;

/** Answers to writes of ours to one object, until the watch has brought the newest of them. */
interface OwnWrites<T> {
  readonly versions: ReadonlySet<string>;
  readonly newest: string;
  readonly at: number;
  /** The object as it was told last; undefined when there was none. */
  readonly told: T | undefined;
}

export class View<T extends KubeObject> {
  readonly #store: Store<T>;
  readonly #tell: (event: ObjectEvent<T>) => void;
  readonly #clock: Clock;
  readonly #ownWrites = new Map<string, OwnWrites<T>>();
  readonly #deletions = new Map<string, string>();
  /** By key, while a write of ours is under way: news that waits for its answer. */
  readonly #writing = new Map<string, (() => void)[]>();

  constructor(store: Store<T>, clock: Clock, tell: (event: ObjectEvent<T>) => void) {
    this.#store = store;
    this.#clock = clock;
    this.#tell = tell;
  }

  /** An object as a LIST or a watch shows it. */
  upsert(object: T): void {
    const key = keyOf(object.metadata);
    const version = object.metadata.resourceVersion;
    if (this.#waits(key, () => this.upsert(object))) return;
    if (this.#isBehindOwnWrite(key, version)) {
      this.#tellBetween(key, version);
      return;
    }
    this.#ownWrites.delete(key);
    if (this.#store.has(key) && this.#store.versionOf(key) === version) return;
    const previous = this.#store.get(key);
    const replaced = previous !== undefined && previous.metadata.uid !== object.metadata.uid;
    if (replaced) this.#tell({ type: 'deleted', object: previous });
    this.#store.put(object);
    this.#tell(previous && !replaced ? { type: 'updated', object, previous } : { type: 'added', object });
  }

  /** An object is gone since `resourceVersion`. */
  remove(key: string, resourceVersion: string, last?: T): void {
    if (this.#waits(key, () => this.remove(key, resourceVersion, last))) return;
    if (this.#isBehindOwnWrite(key, resourceVersion)) return;
    this.#ownWrites.delete(key);
    this.#rememberDeletion(key, resourceVersion);
    const object = this.#store.get(key);
    if (!object) return;
    this.#store.delete(key);
    this.#tell({ type: 'deleted', object: last ?? object });
  }

  /** After a full LIST of a scope at `resourceVersion`: what it did not show is gone. */
  removeUnseen(seen: ReadonlySet<string>, inScope: (key: string) => boolean, resourceVersion: string): void {
    const gone = [...this.#store.keys()].filter(key => !seen.has(key) && inScope(key));
    for (const key of gone) this.remove(key, resourceVersion);
  }

  /** The answer to an own write: read at once, not told; what others did before it is told when the watch brings it. */
  observe(object: T): void {
    const key = keyOf(object.metadata);
    const version = object.metadata.resourceVersion ?? '';
    const deleted = this.#deletions.get(key);
    if (deleted !== undefined && !isOlder(deleted, version)) return;
    const known = this.#store.versionOf(key);
    if (known !== undefined && !isOlder(known, version)) return;
    const before = this.#ownWrites.get(key);
    this.#ownWrites.set(key, {
      versions: new Set([...(before?.versions ?? []), version]),
      newest: version,
      at: this.#clock.now(),
      told: before ? before.told : this.#store.get(key),
    });
    this.#store.put(object);
  }

  /**
   * Runs `write`, which hands its answer to `observe`. Until it is over news of the object waits: a watch is often
   * faster than the answer, and then our own write would be told as somebody else's.
   */
  async whileWriting<R>(key: string, write: () => Promise<R>): Promise<R> {
    const news: (() => void)[] = this.#writing.get(key) ?? [];
    this.#writing.set(key, news);
    try {
      return await write();
    } finally {
      this.#writing.delete(key);
      for (const tell of news.splice(0)) tell();
    }
  }

  #waits(key: string, tell: () => void): boolean {
    const news = this.#writing.get(key);
    news?.push(tell);
    return news !== undefined;
  }

  #isBehindOwnWrite(key: string, resourceVersion: string | undefined): boolean {
    const own = this.#ownWrites.get(key);
    if (!own || !isOlder(resourceVersion, own.newest)) return false;
    return this.#clock.now() - own.at < ownWriteMs;
  }

  /**
   * A version from before our write that is none of ours: what somebody else did is in the store with our answer, but
   * nobody has been told.
   */
  #tellBetween(key: string, version: string | undefined): void {
    const own = this.#ownWrites.get(key);
    const object = this.#store.get(key);
    if (!own?.told || !object || own.versions.has(version ?? '')) return;
    const { told: previous } = own;
    if (previous.metadata.uid !== object.metadata.uid) return;
    if (!isOlder(previous.metadata.resourceVersion, version)) return;
    this.#ownWrites.set(key, { ...own, told: object });
    this.#tell({ type: 'updated', object, previous });
  }

  #rememberDeletion(key: string, resourceVersion: string): void {
    this.#deletions.delete(key);
    this.#deletions.set(key, resourceVersion);
    if (this.#deletions.size <= deletionsKept) return;
    for (const oldest of this.#deletions.keys()) {
      this.#deletions.delete(oldest);
      return;
    }
  }
}
