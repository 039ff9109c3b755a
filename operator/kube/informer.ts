import type { Clock } from './clock.ts';
import type { KubeObject, ObjectRef } from './object.ts';
import type { KubeClient, Resource } from './resource.ts';

export type ObjectEvent<T> =
  | { type: 'added'; object: T }
  | { type: 'updated'; object: T; previous: T }
  | { type: 'deleted'; object: T };

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
  during: 'list' | 'watch';
  error: Error;
  /** Pause before the next try. */
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
  readonly size: number;
  /** Objects that the named indexer put under `value`. */
  byIndex(index: string, value: string): T[];
  /** Called for every change from now on, after the store has it. The returned function unsubscribes. */
  subscribe(handler: (event: ObjectEvent<T>) => void): () => void;
  /**
   * Puts the answer to our own write into the store, so that the next read sees it although the watch has not
   * brought it yet. No event. Ignored when the store knows something newer.
   */
  observe(object: T): void;
  stats(): InformerStats;
  /** Ends the watch; resolves when nothing of it runs any more. The store stays readable. */
  stop(): Promise<void>;
}

export declare function createInformer<T extends KubeObject>(options: InformerOptions<T>): Informer<T>;
