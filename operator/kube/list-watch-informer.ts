/**
 * The informer of informer.ts: one list-watch.ts for each scope, whose news go through view.ts into one store, and from
 * there to whoever has subscribed.
 */
import { type Clock, systemClock } from './clock.ts';
import type { Informer, InformerFault, InformerOptions, InformerStats } from './informer.ts';
import { selects } from './label-selector.ts';
import { ListWatch, type ListWatchOptions, type ListWatchSink } from './list-watch.ts';
import { type KubeObject, keyOf, type ObjectRef } from './object.ts';
import type { Resource } from './resource.ts';
import { Scope, type ScopeChange, type WatchedScope } from './scopes.ts';
import { Store } from './store.ts';
import { trim } from './trim.ts';
import { type ObjectEvent, View } from './view.ts';

const defaults = {
  pageSize: 500,
  watchSeconds: [300, 600],
  silenceMs: 150_000,
  backoffMs: [200, 4_000],
  refusedBackoffMs: [200, 30_000],
  refusedPatienceMs: 5_000,
} as const;

export class ListWatchInformer<T extends KubeObject> implements Informer<T> {
  readonly resource: Resource<T>;
  readonly hasSynced: Promise<void>;
  readonly #options: InformerOptions<T>;
  readonly #clock: Clock;
  readonly #store: Store<T>;
  readonly #view: View<T>;
  readonly #scopes: readonly Scope[];
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
    const onChange = (change: ScopeChange): void => options.onScope?.(change);
    const namespaces = options.namespaces ?? [undefined];
    this.#scopes = namespaces.map(namespace => new Scope(namespace, this.#clock, onChange));
    this.hasSynced = this.#synced.promise;
    // Who does not wait for it must not be ended by an unhandled rejection.
    this.hasSynced.catch(() => {});
  }

  start(): void {
    if (this.#running || this.#stopping.signal.aborted) return;
    const loops = this.#scopes.map(
      scope => new ListWatch(this.#listWatchOptions(scope.namespace), this.#sink(scope)),
    );
    this.#running = Promise.all(loops.map(loop => loop.run(this.#stopping.signal)));
  }

  get synced(): boolean {
    return this.#scopes.every(({ state }) => state === 'in-view');
  }

  get scopes(): readonly WatchedScope[] {
    return this.#scopes;
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
    // Of what is selected no more no watch would ever tell anything: neither another change nor its end.
    if (!selects(this.#options.labelSelector, object.metadata.labels)) return;
    // A copy: trimming changes what it is given, and this one belongs to the caller.
    this.#view.observe(this.#trim({ ...object, metadata: { ...object.metadata } }));
  }

  whileWriting<R>(ref: ObjectRef, write: () => Promise<R>): Promise<R> {
    return this.#view.whileWriting(keyOf(ref), write);
  }

  stats(): InformerStats {
    const disconnected = this.#scopes.flatMap(({ disconnectedMs }) => disconnectedMs ?? []);
    return {
      kind: this.resource.kind,
      synced: this.synced,
      objects: this.#store.size,
      lists: this.#lists,
      watches: this.#watches,
      faults: this.#faults,
      sinceContactMs: Math.max(0, ...this.#scopes.map(scope => scope.sinceContactMs)),
      disconnectedMs: disconnected.length === 0 ? undefined : Math.max(...disconnected),
    };
  }

  async stop(): Promise<void> {
    this.#stopping.abort();
    this.#synced.reject(new Error(`informer of ${this.resource.plural} was stopped before it had synced`));
    await this.#running;
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
      refusedBackoffMs: options.refusedBackoffMs ?? defaults.refusedBackoffMs,
      refusedPatienceMs: options.refusedPatienceMs ?? defaults.refusedPatienceMs,
      clock: this.#clock,
      random: options.random ?? Math.random,
    };
  }

  #sink(scope: Scope): ListWatchSink<T> {
    const { namespace } = scope;
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
        scope.listed();
        if (this.synced) this.#synced.resolve();
      },
      contact: () => scope.contact(),
      watching: open => {
        if (open) this.#watches++;
        if (open) this.#options.onWatchStart?.(namespace);
        scope.watching(open);
      },
      refused: (why, error) => scope.refused(why, error),
      fault: fault => {
        this.#fault({ namespace, ...fault });
        scope.failed(fault.error);
      },
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

  #trim(object: T): T {
    const trimmed = trim(object, this.resource, this.#options.applier);
    return this.#options.transform ? this.#options.transform(trimmed) : trimmed;
  }
}
