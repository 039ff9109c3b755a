/**
 * A local copy of all objects of a kind, kept up to date by list-watch.ts, with indexes and change events. What it
 * gives out belongs to the caller: a value read anew each time.
 * Guarantees: after any fault and its end the store equals the server's truth, and every difference was told as
 * an event. Never blocks the server: one LIST at the start, then one watch a scope. What the server refuses to show
 * keeps the state that was seen last, says that it is out of view, and holds up no other scope.
 */
import type { Clock } from './clock.ts';
import { ListWatchInformer } from './list-watch-informer.ts';
import type { KubeObject, ObjectRef } from './object.ts';
import type { KubeClient, Resource } from './resource.ts';
import type { ScopeChange, WatchedScope } from './scopes.ts';
import type { ObjectEvent } from './view.ts';

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
  /** Of managedFields it is kept whether this manager has applied the object; default: nothing is kept. */
  applier?: string;
  /** Trims an object before it is kept. managedFields and the last-applied annotation are dropped before it. */
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
  /** The same after a refusal, or errors for half a minute, which nobody may mend for long; default 200 ms and 30 s. */
  refusedBackoffMs?: readonly [number, number];
  /** For how long a scope is to be forbidden before it is out of view; default 5 s. */
  refusedPatienceMs?: number;
  onFault?: (fault: InformerFault) => void;
  /** A scope comes into view, goes out of it, or cannot be read from the start. */
  onScope?: (change: ScopeChange) => void;
  onWatchStart?: (namespace?: string) => void;
  clock?: Clock;
  random?: () => number;
}

/** What may be over the next time. A refusal is none: see scopes.ts. */
export interface InformerFault {
  /** Undefined: all namespaces, or a handler. */
  namespace?: string | undefined;
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
  /** Time since every watched scope last had a sign of life (LIST page, event, bookmark, watch opened, refusal). */
  sinceContactMs: number;
  /** Longest time since a scope had a watch or a whole LIST; 0 when all are watched, undefined when none is to be. */
  disconnectedMs: number | undefined;
}

export interface Informer<T extends KubeObject> {
  readonly resource: Resource<T>;
  /** Begins to list and watch; once. */
  start(): void;
  /** Resolves once the first full LIST of every scope is in the store; rejects when stopped before. */
  readonly hasSynced: Promise<void>;
  /** Every scope is in view. */
  readonly synced: boolean;
  /** What each watched scope shows; known from the start. */
  readonly scopes: readonly WatchedScope[];
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
   * store knows something newer, and when the labels are not, or no longer, those that are watched.
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

export function createInformer<T extends KubeObject>(options: InformerOptions<T>): Informer<T> {
  return new ListWatchInformer(options);
}
