/** The objects that an informer knows, by key and by index. Holds what it is given; decides nothing. */
import { type KubeObject, keyOf } from './object.ts';

export type Indexers<T> = Record<string, (object: T) => readonly string[]>;

export class Store<T extends KubeObject> {
  readonly #objects = new Map<string, T>();
  readonly #indexers: Indexers<T>;
  /** index name → value → keys */
  readonly #indexes = new Map<string, Map<string, Set<string>>>();

  constructor(indexers: Indexers<T>) {
    this.#indexers = indexers;
    for (const name of Object.keys(indexers)) this.#indexes.set(name, new Map());
  }

  get size(): number {
    return this.#objects.size;
  }

  get(key: string): T | undefined {
    return this.#objects.get(key);
  }

  keys(): IterableIterator<string> {
    return this.#objects.keys();
  }

  values(): IterableIterator<T> {
    return this.#objects.values();
  }

  /** Throws RangeError for an index that was never declared: a typing error must not look like "none found". */
  byIndex(index: string, value: string): T[] {
    const values = this.#indexes.get(index);
    if (!values)
      throw new RangeError(`index "${index}" is not one of: ${[...this.#indexes.keys()].join(', ')}`);
    return [...(values.get(value) ?? [])].map(key => this.#objects.get(key)!);
  }

  put(object: T): void {
    const key = keyOf(object.metadata);
    this.#unindex(key);
    this.#objects.set(key, object);
    for (const [name, indexer] of Object.entries(this.#indexers)) {
      const values = this.#indexes.get(name)!;
      for (const value of indexer(object)) {
        const keys = values.get(value);
        if (keys) keys.add(key);
        else values.set(value, new Set([key]));
      }
    }
  }

  delete(key: string): void {
    this.#unindex(key);
    this.#objects.delete(key);
  }

  #unindex(key: string): void {
    const object = this.#objects.get(key);
    if (!object) return;
    for (const [name, indexer] of Object.entries(this.#indexers)) {
      const values = this.#indexes.get(name)!;
      for (const value of indexer(object)) {
        const keys = values.get(value);
        keys?.delete(key);
        if (keys?.size === 0) values.delete(value);
      }
    }
  }
}
