/**
 * A local copy of all objects of a kind, kept up to date by list-watch.ts, with indexes and change events. What it
 * gives out belongs to the caller: a value read anew each time.
 * Guarantees: after any fault and its end the store equals the server's truth, and every difference was told as
 * an event. Never blocks the server: one LIST at the start, then one watch a scope.
 */
import { type Clock, systemClock } from './clock.ts';
import { ListWatch, type ListWatchOptions, type ListWatchSink } from './list-watch.ts';
import { type KubeObject, keyOf, type ObjectRef } from './object.ts';
import type { KubeClient, Resource } from './resource.ts';
import { Store } from './store.ts';
import { type ObjectEvent, View } from './view.ts';

export type { ObjectEvent } from './view.ts';

export interface InformerOptions<T extends KubeObject> {
  client: KubeClient;
  resource: Resource<T>;
  /** Namespaces to watch, one watch each; default all in one watch. */
  namespaces?: readonly string[] | undefined;
  labelSelector?: string | undefined;
  fieldSelector?: string | undefined;
  /** Watch metadata only: objects have no spec, status or data. */
  metadataOnly?: boolean;
  /** Trims an object before it is kept. managedFields and the last-applied annotation are dropped before it in any case. */
  transform?: (object: T) => T;
  /** Index name → values under which an object is found with `byIndex`. */
  indexers?: Record<string, (object: T) => readonly string[]>;
  /** Objects per page of a LIST; default 500. */
  pageSize?: number;
  /** Range of a watch's life asked of the server; default 300–600 s. */
  watchSeconds?: readonly [number, number];
  /** Silence after which a watch that had bookmarks is given up; default 150 s. */
  silenceMs?: number;
  /** First and longest pause after a fault; default 200 ms and 4 s, jittered. */
  backoffMs?: readonly [number, number];
  onFault?: (fault: InformerFault) => void;
  onWatchStart?: () => void;
  clock?: Clock;
  random?: () => number;
}

export interface InformerFault {
  /** `handler`: a subscriber threw; the informer goes on. */
  during: 'list' | 'watch' | 'handler';
  error: Error;
  /** Pause before the next try; 0 for a handler. */
  retryInMs: number;
}

export interface InformerStats {
  kind: string;
  synced: boolean;
  objects: number;
  /** LISTs completed since the start, and watches opened. */
  lists: number;
  watches: number;
  faults: number;
  /** Time since every watched scope last had a sign of life (LIST page, event, bookmark, watch opened). */
  sinceContactMs: number;
  /** Time for which at least one scope has had no open watch; 0 when all are open. */
  disconnectedMs: number;
}

export interface Informer<T extends KubeObject> {
  readonly resource: Resource<T>;
  /** Begins to list and watch; once. */
  start(): void;
  /** Resolves once the first full LIST of every scope is in the store; rejects when stopped before. */
  readonly hasSynced: Promise<void>;
  readonly synced: boolean;
  get(ref: ObjectRef): T | undefined;
  /** By `keyOf(ref)`. */
  getByKey(key: string): T | undefined;
  list(): IterableIterator<T>;
  has(key: string): boolean;
  keys(): IterableIterator<string>;
  readonly size: number;
  /** Objects that the named indexer put under `value`. */
  byIndex(index: string, value: string): T[];
  /** Their keys. */
  keysByIndex(index: string, value: string): string[];
  /** Called for every change from now on, after the store has it. The returned function unsubscribes. */
  subscribe(handler: (event: ObjectEvent<T>) => void): () => void;
  /**
   * Puts the answer to our own write into the store, so that the next read sees it although the watch has not
   * brought it yet. No event, but for what others did just before it, when the watch brings that. Ignored when the
   * store knows something newer.
   */
  observe(object: T): void;
  /**
   * Runs a write of ours to that object, which is to `observe` its answer. The watch may bring what was written
   * before the answer comes: until the write is over such news waits, so that it is not told as somebody else's.
   */
  whileWriting<R>(ref: ObjectRef, write: () => Promise<R>): Promise<R>;
  stats(): InformerStats;
  /** Ends the watch; resolves when nothing of it runs any more. The store stays readable. */
  stop(): Promise<void>;
}

const defaults = {
  pageSize: 500,
  watchSeconds: [300, 600],
  silenceMs: 150_000,
  backoffMs: [200, 4_000],
} as const;

/** kubectl's copy of the whole object inside the object. */
const lastApplied = 'kubectl.kubernetes.io/last-applied-configuration';

export function createInformer<T extends KubeObject>(options: InformerOptions<T>): Informer<T> {
  return new ListWatchInformer(options);
}

/** What is known of one watched scope. */
interface Scope {
  synced: boolean;
  contactAt: number;
  /** Undefined while a watch is open. */
  downSince: number | undefined;
}

class ListWatchInformer<T extends KubeObject> implements Informer<T> {
  readonly resource: Resource<T>;
  readonly hasSynced: Promise<void>;
  readonly #options: InformerOptions<T>;
  readonly #clock: Clock;
  readonly #store: Store<T>;
  readonly #view: View<T>;
  readonly #scopes: Scope[] = [];
  readonly #handlers = new Set<(event: ObjectEvent<T>) => void>();
  readonly #stopping = new AbortController();
  readonly #synced = Promise.withResolvers<void>();
  #running: Promise<unknown> | undefined;
  #lists = 0;
  #watches = 0;
  #faults = 0;

  constructor(options: InformerOptions<T>) {
    this.resource = options.resource;
    this.#options = options;
    this.#clock = options.clock ?? systemClock;
    this.#store = new Store(options.indexers ?? {});
    this.#view = new View(this.#store, this.#clock, event => this.#tell(event));
    this.hasSynced = this.#synced.promise;
    // Who does not wait for it must not be ended by an unhandled rejection.
    this.hasSynced.catch(() => {});
  }

  start(): void {
    if (this.#running || this.#stopping.signal.aborted) return;
    const namespaces = this.#options.namespaces ?? [undefined];
    const loops = namespaces.map(namespace => this.#listWatch(namespace));
    this.#running = Promise.all(loops.map(loop => loop.run(this.#stopping.signal)));
  }

  get synced(): boolean {
    return this.#scopes.length > 0 && this.#scopes.every(scope => scope.synced);
  }

  get size(): number {
    return this.#store.size;
  }

  get(ref: ObjectRef): T | undefined {
    return this.#store.get(keyOf(ref));
  }

  getByKey(key: string): T | undefined {
    return this.#store.get(key);
  }

  list(): IterableIterator<T> {
    return this.#store.values();
  }

  has(key: string): boolean {
    return this.#store.has(key);
  }

  keys(): IterableIterator<string> {
    return this.#store.keys();
  }

  byIndex(index: string, value: string): T[] {
    return this.#store.byIndex(index, value);
  }

  keysByIndex(index: string, value: string): string[] {
    return this.#store.keysByIndex(index, value);
  }

  subscribe(handler: (event: ObjectEvent<T>) => void): () => void {
    this.#handlers.add(handler);
    return () => this.#handlers.delete(handler);
  }

  observe(object: T): void {
    // A copy: trimming changes what it is given, and this one belongs to the caller.
    this.#view.observe(this.#trim({ ...object, metadata: { ...object.metadata } }));
  }

  whileWriting<R>(ref: ObjectRef, write: () => Promise<R>): Promise<R> {
    return this.#view.whileWriting(keyOf(ref), write);
  }

  stats(): InformerStats {
    const now = this.#clock.now();
    const downSince = this.#scopes.map(scope => scope.downSince ?? now);
    return {
      kind: this.resource.kind,
      synced: this.synced,
      objects: this.#store.size,
      lists: this.#lists,
      watches: this.#watches,
      faults: this.#faults,
      sinceContactMs: Math.max(0, ...this.#scopes.map(scope => now - scope.contactAt)),
      disconnectedMs: Math.max(0, ...downSince.map(since => now - since)),
    };
  }

  async stop(): Promise<void> {
    this.#stopping.abort();
    this.#synced.reject(new Error(`informer of ${this.resource.plural} was stopped before it had synced`));
    await this.#running;
  }

  #listWatch(namespace: string | undefined): ListWatch<T> {
    const now = this.#clock.now();
    const scope: Scope = { synced: false, contactAt: now, downSince: now };
    this.#scopes.push(scope);
    return new ListWatch(this.#listWatchOptions(namespace), this.#sink(scope, namespace));
  }

  #listWatchOptions(namespace: string | undefined): ListWatchOptions<T> {
    const options = this.#options;
    return {
      client: options.client,
      resource: options.resource,
      namespace,
      labelSelector: options.labelSelector,
      fieldSelector: options.fieldSelector,
      metadataOnly: options.metadataOnly ?? false,
      pageSize: options.pageSize ?? defaults.pageSize,
      watchSeconds: options.watchSeconds ?? defaults.watchSeconds,
      silenceMs: options.silenceMs ?? defaults.silenceMs,
      backoffMs: options.backoffMs ?? defaults.backoffMs,
      clock: this.#clock,
      random: options.random ?? Math.random,
    };
  }

  #sink(scope: Scope, namespace: string | undefined): ListWatchSink<T> {
    const prefix = namespace === undefined ? '' : `${namespace}/`;
    return {
      upsert: object => this.#view.upsert(this.#trim(object)),
      remove: object => {
        const { resourceVersion } = object.metadata;
        this.#view.remove(keyOf(object.metadata), resourceVersion ?? '', this.#trim(object));
      },
      listed: (seen, resourceVersion) => {
        this.#lists++;
        this.#view.removeUnseen(seen, key => key.startsWith(prefix), resourceVersion);
        scope.synced = true;
        if (this.synced) this.#synced.resolve();
      },
      contact: () => {
        scope.contactAt = this.#clock.now();
      },
      watching: open => {
        if (open) this.#watches++;
        if (open) this.#options.onWatchStart?.();
        scope.downSince = open ? undefined : (scope.downSince ?? this.#clock.now());
      },
      fault: fault => this.#fault(fault),
    };
  }

  #fault(fault: InformerFault): void {
    this.#faults++;
    this.#options.onFault?.(fault);
  }

  #tell(event: ObjectEvent<T>): void {
    for (const handler of this.#handlers) {
      try {
        handler(event);
      } catch (error) {
        this.#fault({ during: 'handler', error: error as Error, retryInMs: 0 });
      }
    }
  }

  /** Objects in a LIST come without apiVersion and kind, metadata-only ones with the wrong kind: both are set. */
  #trim(object: T): T {
    object.apiVersion = this.resource.apiVersion;
    object.kind = this.resource.kind;
    delete object.metadata.managedFields;
    const annotations = object.metadata.annotations;
    if (annotations?.[lastApplied] !== undefined) {
      const { [lastApplied]: _dropped, ...rest } = annotations;
      object.metadata.annotations = rest;
    }
    return this.#options.transform ? this.#options.transform(object) : object;
  }
}
