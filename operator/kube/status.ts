import type { Clock } from './clock.ts';
import type { KubeObject } from './object.ts';
import type { KubeClient, Resource } from './resource.ts';

export interface StatusWriterOptions {
  client: KubeClient;
  fieldManager: string;
  /** Least time between two writes to one object that are not urgent; default 10 s. */
  minIntervalMs?: number;
  mayWrite?: () => boolean;
  clock?: Clock;
}

export type StatusOutcome<T> =
  | { outcome: 'unchanged' }
  | { outcome: 'written'; object: T }
  /** Too early for a change that is not urgent: come again after `afterMs`. */
  | { outcome: 'deferred'; afterMs: number }
  | { outcome: 'gone' };

export interface StatusWriter {
  /** Makes `live.status` equal to `status`; `urgent` = at once, else at most once per interval. */
  write<T extends KubeObject>(
    resource: Resource<T>,
    live: T,
    status: object,
    options?: { urgent?: boolean; signal?: AbortSignal },
  ): Promise<StatusOutcome<T>>;
  /** Drops what is remembered of an object (by uid). */
  forget(uid: string): void;
}

export declare function createStatusWriter(options: StatusWriterOptions): StatusWriter;
