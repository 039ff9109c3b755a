/**
 * The objects that an informer knows, by key and by index. Each is kept as JSON text, which takes a quarter of the
 * memory that it takes as a value and gives the garbage collector nothing to follow; whoever asks gets a value of
 * his own. Holds what it is given; decides nothing.
 */
import { type KubeObject, keyOf } from './object.ts';

export type Indexers<T> = Record<string, (object: T) => readonly string[]>;

interface Entry {
  readonly version: string | undefined;
  readonly text: string;
  /** The values it is found under, by index in the order of the indexers: once it is text, nobody asks it again. */
  readonly under: readonly (readonly string[])[];
}

export class Store<T extends KubeObject> {
  readonly #entries = new Map<string, Entry>();
  readonly #indexers: readonly ((object: T) => readonly string[])[];
  /** value → keys, by index. */
  readonly #indexes = new Map<string, Map<string, Set<string>>>();

  constructor(indexers: Indexers<T>) {
    this.#indexers = Object.values(indexers);
    for (const name of Object.keys(indexers)) this.#indexes.set(name, new Map());
  }

  get size(): number {
    return this.#entries.size;
  }

  has(key: string): boolean {
    return this.#entries.has(key);
  }

  get(key: string): T | undefined {
    const entry = this.#entries.get(key);
    return entry && (JSON.parse(entry.text) as T);
  }

  /** The resourceVersion of what `get` would give. */
  versionOf(key: string): string | undefined {
    return this.#entries.get(key)?.version;
  }

  keys(): IterableIterator<string> {
    return this.#entries.keys();
  }

  *values(): IterableIterator<T> {
    for (const { text } of this.#entries.values()) yield JSON.parse(text) as T;
  }

  /** Throws RangeError for an index that was never declared: a typing error must not look like "none found". */
  keysByIndex(index: string, value: string): string[] {
    const values = this.#indexes.get(index);
    if (!values)
      throw new RangeError(`index "${index}" is not one of: ${[...this.#indexes.keys()].join(', ')}`);
    return [...(values.get(value) ?? [])];
  }

  /** The same as objects. */
  byIndex(index: string, value: string): T[] {
    return this.keysByIndex(index, value).map(key => this.get(key)!);
  }

  put(object: T): void {
    const key = keyOf(object.metadata);
    this.#unindex(key);
    const under = this.#indexers.map(indexer => indexer(object));
    this.#entries.set(key, {
      version: object.metadata.resourceVersion,
      text: JSON.stringify(object),
      under,
    });
    this.#eachValue(under, (values, value) => {
      const keys = values.get(value);
      if (keys) keys.add(key);
      else values.set(value, new Set([key]));
    });
  }

  delete(key: string): void {
    this.#unindex(key);
    this.#entries.delete(key);
  }

  #unindex(key: string): void {
    const entry = this.#entries.get(key);
    if (!entry) return;
    this.#eachValue(entry.under, (values, value) => {
      const keys = values.get(value);
      keys?.delete(key);
      if (keys?.size === 0) values.delete(value);
    });
  }

  #eachValue(
    under: readonly (readonly string[])[],
    visit: (values: Map<string, Set<string>>, value: string) => void,
  ): void {
    const indexes = [...this.#indexes.values()];
    for (const [at, list] of under.entries()) for (const value of list) visit(indexes[at]!, value);
  }
}
