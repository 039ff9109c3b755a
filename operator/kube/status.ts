/**
 * Writes the status subresource: only what differs, no sooner after the last write than the change is worth, at once
 * what is urgent as long as that does not go on for ever, never over something newer (the patch carries the
 * resourceVersion it was made for; on a conflict the object is read and compared again). It keeps no timer: a change
 * that comes too early is handed back with the time to come again.
 */

import { isConflict, isNotFound } from './api-error.ts';
import { NotLeaderError } from './apply.ts';
import { type Clock, systemClock } from './clock.ts';
import { mergePatch } from './merge-patch.ts';
import { isOlder, type KubeObject } from './object.ts';
import type { KubeClient, Resource } from './resource.ts';

export interface StatusWriterOptions {
  client: KubeClient;
  fieldManager: string;
  /** Least time between two writes to one object, unless one says otherwise; default 10 s. */
  minIntervalMs?: number;
  /** Asked right before each write; false → NotLeaderError. */
  mayWrite?: () => boolean;
  clock?: Clock;
}

export type StatusOutcome<T> =
  | { outcome: 'unchanged' }
  | { outcome: 'written'; object: T }
  /** Too early: come again after `afterMs`. */
  | { outcome: 'deferred'; afterMs: number }
  /** The object was deleted, perhaps made anew. */
  | { outcome: 'gone' };

export interface StatusWriteOptions {
  /** How long after the last write this one may have to wait; 0 = at once. Default the writer's interval. */
  minIntervalMs?: number;
  signal?: AbortSignal;
}

export interface StatusWriter {
  /** Makes the status of `live` (from a cache) equal to `status`. Throws ApiError, ConnectionError, NotLeaderError. */
  write<T extends KubeObject>(
    resource: Resource<T>,
    live: T,
    status: object,
    options?: StatusWriteOptions,
  ): Promise<StatusOutcome<T>>;
}

const defaultIntervalMs = 10_000;
/** Urgent writes to one object at once, and how often one more after that: something that flaps must not write without end. */
const urgentBurst = 20;
const urgentRefillMs = 3_000;
/** Nothing waits longer, and no cache is so far behind. */
const rememberedMs = urgentBurst * urgentRefillMs;
/** Somebody else writes the same object at the same time; more than a few times in a row is no coincidence. */
const mostTries = 4;

export function createStatusWriter(options: StatusWriterOptions): StatusWriter {
  return new PatchingStatusWriter(options);
}

/** Of one object: when we last wrote and what came back, for as long as the cache lags behind. */
interface LastWrite {
  at: number;
  /** How many urgent writes were left then. */
  credit: number;
  resourceVersion: string | undefined;
  /** As JSON: there is one for each object, and it is hardly ever needed. */
  status: string;
}

/** One wish and what it takes to fulfil it. */
interface Wish<T extends KubeObject> {
  resource: Resource<T>;
  status: object;
  signal: AbortSignal | undefined;
}

class PatchingStatusWriter implements StatusWriter {
  readonly #options: StatusWriterOptions;
  readonly #clock: Clock;
  readonly #intervalMs: number;
  /** By uid, the oldest first. */
  readonly #written = new Map<string, LastWrite>();

  constructor(options: StatusWriterOptions) {
    this.#options = options;
    this.#clock = options.clock ?? systemClock;
    this.#intervalMs = options.minIntervalMs ?? defaultIntervalMs;
  }

  async write<T extends KubeObject>(
    resource: Resource<T>,
    live: T,
    status: object,
    options: StatusWriteOptions = {},
  ): Promise<StatusOutcome<T>> {
    const uid = live.metadata.uid ?? '';
    const base = this.#newest(uid, live);
    if (!mergePatch(statusOf(base), status)) return { outcome: 'unchanged' };
    const afterMs = this.#tooEarlyBy(uid, options.minIntervalMs ?? this.#intervalMs);
    if (afterMs > 0) return { outcome: 'deferred', afterMs };
    return this.#patch({ resource, status, signal: options.signal }, base, 1);
  }

  async #patch<T extends KubeObject>(wish: Wish<T>, base: T, tries: number): Promise<StatusOutcome<T>> {
    const patch = mergePatch(statusOf(base), wish.status);
    // Read after a conflict: our own write, whose answer was lost.
    if (!patch) return { outcome: 'written', object: this.#remember(base) };
    try {
      return { outcome: 'written', object: this.#remember(await this.#send(wish, base, patch)) };
    } catch (error) {
      if (isNotFound(error)) return { outcome: 'gone' };
      if (!isConflict(error) || tries >= mostTries) throw error;
    }
    const { client } = this.#options;
    const fresh = await client.find(wish.resource, base.metadata, { signal: wish.signal });
    if (!fresh || fresh.metadata.uid !== base.metadata.uid) return { outcome: 'gone' };
    return this.#patch(wish, fresh, tries + 1);
  }

  async #send<T extends KubeObject>(wish: Wish<T>, base: T, status: object): Promise<T> {
    if (this.#options.mayWrite?.() === false) throw new NotLeaderError();
    const { resourceVersion, uid = '' } = base.metadata;
    const { client, fieldManager } = this.#options;
    return client.mergePatch(
      wish.resource,
      base.metadata,
      { metadata: { resourceVersion, uid }, status },
      { subresource: 'status', fieldManager, signal: wish.signal },
    );
  }

  #remember<T extends KubeObject>(object: T): T {
    const at = this.#clock.now();
    const { uid = '' } = object.metadata;
    const credit = Math.max(0, this.#creditOf(uid) - 1);
    this.#written.delete(uid);
    this.#written.set(uid, {
      at,
      credit,
      resourceVersion: object.metadata.resourceVersion,
      status: JSON.stringify(statusOf(object)),
    });
    this.#forgetBefore(at - Math.max(rememberedMs, this.#intervalMs));
    return object;
  }

  #forgetBefore(time: number): void {
    for (const [oldest, { at }] of this.#written) {
      if (at > time) return;
      this.#written.delete(oldest);
    }
  }

  /** What the cache shows, or our own last answer while the cache is behind it. */
  #newest<T extends KubeObject>(uid: string, live: T): T {
    const last = this.#written.get(uid);
    if (!last || !isOlder(live.metadata.resourceVersion, last.resourceVersion)) return live;
    const { resourceVersion, status } = last;
    return { ...live, metadata: { ...live.metadata, resourceVersion }, status: JSON.parse(status) as object };
  }

  #tooEarlyBy(uid: string, intervalMs: number): number {
    const last = this.#written.get(uid);
    if (!last) return 0;
    const missing = Math.max(0, 1 - this.#creditOf(uid)) * urgentRefillMs;
    return Math.max(missing, last.at + intervalMs - this.#clock.now(), 0);
  }

  /** Urgent writes that are left now. */
  #creditOf(uid: string): number {
    const last = this.#written.get(uid);
    if (!last) return urgentBurst;
    return Math.min(urgentBurst, last.credit + (this.#clock.now() - last.at) / urgentRefillMs);
  }
}

function statusOf(object: KubeObject): object {
  return (object as KubeObject & { status?: object }).status ?? {};
}
