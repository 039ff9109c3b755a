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

export class View<T extends KubeObject> {
  readonly #store: Store<T>;
  readonly #tell: (event: ObjectEvent<T>) => void;
  readonly #clock: Clock;
  readonly #ownWrites = new Map<string, { resourceVersion: string; at: number }>();
  readonly #deletions = new Map<string, string>();

  constructor(store: Store<T>, clock: Clock, tell: (event: ObjectEvent<T>) => void) {
    this.#store = store;
    this.#clock = clock;
    this.#tell = tell;
  }

  /** An object as a LIST or a watch shows it. */
  upsert(object: T): void {
    const key = keyOf(object.metadata);
    const version = object.metadata.resourceVersion;
    if (this.#isBehindOwnWrite(key, version)) return;
    this.#ownWrites.delete(key);
    const previous = this.#store.get(key);
    if (previous?.metadata.resourceVersion === version && previous !== undefined) return;
    const replaced = previous !== undefined && previous.metadata.uid !== object.metadata.uid;
    if (replaced) this.#tell({ type: 'deleted', object: previous });
    this.#store.put(object);
    this.#tell(previous && !replaced ? { type: 'updated', object, previous } : { type: 'added', object });
  }

  /** An object is gone since `resourceVersion`. */
  remove(key: string, resourceVersion: string, last?: T): void {
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

  /** The answer to an own write: read at once, told when the watch brings something newer. */
  observe(object: T): void {
    const key = keyOf(object.metadata);
    const version = object.metadata.resourceVersion ?? '';
    const deleted = this.#deletions.get(key);
    if (deleted !== undefined && !isOlder(deleted, version)) return;
    const known = this.#store.get(key)?.metadata.resourceVersion;
    if (known !== undefined && !isOlder(known, version)) return;
    this.#store.put(object);
    this.#ownWrites.set(key, { resourceVersion: version, at: this.#clock.now() });
  }

  #isBehindOwnWrite(key: string, resourceVersion: string | undefined): boolean {
    const own = this.#ownWrites.get(key);
    if (!own || !isOlder(resourceVersion, own.resourceVersion)) return false;
    return this.#clock.now() - own.at < ownWriteMs;
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
