/**
 * Tells people what happened to an object, in `kubectl describe` and `kubectl get events`. events.k8s.io/v1: both
 * commands show it, and its series let repetitions be one object that counts. Same event again → the series, at
 * most one write a minute; many different ones for the same object and reason → dropped and counted. Sends in the
 * background one after another; never blocks, throws or holds up a reconcile. Needs create and patch on events.
 */
import { randomBytes } from 'node:crypto';
import { isNotFound } from './api-error.ts';
import { type Clock, microTime, systemClock } from './clock.ts';
import type { KubeObject } from './object.ts';
import { defineResource, type KubeClient } from './resource.ts';

export interface EventNote {
  type: 'Normal' | 'Warning';
  /** CamelCase, ≤ 128 characters. */
  reason: string;
  /** What the reporter did, CamelCase; default the reason. */
  action?: string;
  /** Cut at 1 kB. */
  note: string;
  related?: KubeObject;
}

export interface EventRecorderOptions {
  client: KubeClient;
  /** `reportingController`: a qualified name such as example.com/operator. */
  controller: string;
  /** `reportingInstance`: the pod's name. */
  instance: string;
  /** Whether writing is allowed now; asked before each send. */
  mayWrite?: () => boolean;
  onDropped?: (why: 'rate' | 'full' | 'failed' | 'not-leader') => void;
  clock?: Clock;
}

export interface EventRecorder {
  /** Never blocks, never throws. The object needs apiVersion, kind, name, namespace, uid. */
  record(about: KubeObject, event: EventNote): void;
  /** Resolves when what waits has been sent or given up. */
  flush(): Promise<void>;
  /** Takes no more; sends what waits for so long at most, default 5 s, and gives the rest up. */
  stop(patienceMs?: number): Promise<void>;
}

type WireEvent = KubeObject & {
  eventTime: string;
  series?: { count: number; lastObservedTime: string };
};

export const events = defineResource<WireEvent>({
  apiVersion: 'events.k8s.io/v1',
  kind: 'Event',
  plural: 'events',
  namespaced: true,
});

/** The API's bounds: note 1 kB, reason and action 128 characters. */
const longestNote = 1024;
const longestName = 128;
/** An event repeated within this time continues its series; the API server forgets events after an hour. */
const seriesMs = 6 * 60_000;
/** A series is written again at most this often; what happens between is counted. */
const seriesWriteMs = 60_000;
/** Different notes for one object and reason: so many at once, then one a minute. */
const burst = 5;
const refillMs = 60_000;
const longestQueue = 500;
const seriesKept = 5_000;
const sendTimeoutMs = 10_000;
/** At the end of a process something waits for it: the lease, which another one wants. */
const defaultPatienceMs = 5_000;

export function createEventRecorder(options: EventRecorderOptions): EventRecorder {
  return new SeriesRecorder(options);
}

/** One event and how often it has happened. */
interface Series {
  about: KubeObject;
  event: EventNote;
  /** Set when the first one is in the API server. */
  name: string | undefined;
  count: number;
  writtenCount: number;
  writtenAt: number;
  lastAt: number;
  lastWallTime: number;
  queued: boolean;
}

class SeriesRecorder implements EventRecorder {
  readonly #options: EventRecorderOptions;
  readonly #clock: Clock;
  readonly #series = new Map<string, Series>();
  readonly #tokens = new Map<string, { left: number; at: number }>();
  readonly #queue: Series[] = [];
  readonly #patience = new AbortController();
  #stopped = false;
  #sending: Promise<void> | undefined;

  constructor(options: EventRecorderOptions) {
    this.#options = options;
    this.#clock = options.clock ?? systemClock;
  }

  record(about: KubeObject, event: EventNote): void {
    if (this.#stopped) return;
    const key = seriesKey(about, event);
    const now = this.#clock.now();
    const known = this.#series.get(key);
    const series = known && now - known.lastAt < seriesMs ? known : this.#begin(key, about, event);
    if (!series) return;
    series.count++;
    series.lastAt = now;
    series.lastWallTime = this.#clock.wallTime();
    // A series in progress is written again after a while; its count tells what was not written.
    if (series.name === undefined || now - series.writtenAt >= seriesWriteMs) this.#enqueue(series);
  }

  async flush(): Promise<void> {
    while (this.#sending !== undefined) await this.#sending;
  }

  async stop(patienceMs = defaultPatienceMs): Promise<void> {
    this.#stopped = true;
    const cancel = this.#clock.after(patienceMs, () => {
      this.#queue.length = 0;
      this.#patience.abort();
    });
    await this.flush();
    cancel();
  }

  #begin(key: string, about: KubeObject, event: EventNote): Series | undefined {
    if (!this.#takeToken(`${about.metadata.uid}/${event.reason}`)) {
      this.#drop('rate');
      return undefined;
    }
    const series: Series = {
      // What is needed of it, not the object: it may be large and the recorder outlives it.
      about: reference(about),
      event,
      name: undefined,
      count: 0,
      writtenCount: 0,
      writtenAt: 0,
      lastAt: 0,
      lastWallTime: 0,
      queued: false,
    };
    this.#series.delete(key);
    this.#series.set(key, series);
    evictOldest(this.#series, seriesKept);
    return series;
  }

  #takeToken(key: string): boolean {
    const now = this.#clock.now();
    const bucket = this.#tokens.get(key) ?? { left: burst, at: now };
    const refilled = Math.floor((now - bucket.at) / refillMs);
    const left = Math.min(burst, bucket.left + refilled);
    const at = left === burst ? now : bucket.at + refilled * refillMs;
    this.#tokens.delete(key);
    this.#tokens.set(key, { left: Math.max(0, left - 1), at });
    evictOldest(this.#tokens, seriesKept);
    return left > 0;
  }

  #enqueue(series: Series): void {
    if (series.queued) return;
    if (this.#queue.length >= longestQueue) {
      this.#drop('full');
      return;
    }
    series.queued = true;
    this.#queue.push(series);
    this.#sending ??= this.#sendAll().finally(() => {
      this.#sending = undefined;
    });
  }

  async #sendAll(): Promise<void> {
    for (let series = this.#queue.shift(); series; series = this.#queue.shift()) {
      series.queued = false;
      await this.#send(series);
    }
  }

  async #send(series: Series): Promise<void> {
    if (this.#options.mayWrite?.() === false) {
      this.#drop('not-leader');
      return;
    }
    try {
      if (series.name === undefined) await this.#create(series);
      else if (series.count > series.writtenCount) await this.#continue(series, series.name);
    } catch {
      // An event is a courtesy: what it tells is in the conditions too.
      this.#drop('failed');
    }
  }

  async #create(series: Series): Promise<void> {
    const { client, controller, instance } = this.#options;
    const { about, event, count } = series;
    const { apiVersion, kind, metadata } = about;
    const namespace = metadata.namespace ?? 'default';
    const name = `${metadata.name.slice(0, 200)}.${randomBytes(8).toString('hex')}`;
    await client.create(
      events,
      {
        metadata: { name, namespace },
        eventTime: microTime(series.lastWallTime),
        type: event.type,
        reason: event.reason.slice(0, longestName),
        action: (event.action ?? event.reason).slice(0, longestName),
        note: cutNote(event.note),
        reportingController: controller,
        reportingInstance: instance.slice(0, longestName),
        regarding: { apiVersion, kind, ...metadata },
        ...(event.related && { related: wireReference(event.related) }),
        ...(count > 1 && { series: this.#wireSeries(series) }),
      } as WireEvent,
      { signal: this.#patience.signal, timeoutMs: sendTimeoutMs },
    );
    series.name = name;
    this.#written(series, count);
  }

  async #continue(series: Series, name: string): Promise<void> {
    const { client } = this.#options;
    const { count } = series;
    const ref = { name, namespace: series.about.metadata.namespace ?? 'default' };
    try {
      await client.mergePatch(
        events,
        ref,
        { series: this.#wireSeries(series) },
        { signal: this.#patience.signal, timeoutMs: sendTimeoutMs },
      );
      this.#written(series, count);
    } catch (error) {
      if (!isNotFound(error)) throw error;
      // It has expired in the API server: the story begins again.
      series.name = undefined;
      await this.#create(series);
    }
  }

  #written(series: Series, count: number): void {
    series.writtenCount = count;
    series.writtenAt = this.#clock.now();
  }

  #wireSeries(series: Series) {
    return { count: Math.max(2, series.count), lastObservedTime: microTime(series.lastWallTime) };
  }

  #drop(why: 'rate' | 'full' | 'failed' | 'not-leader'): void {
    this.#options.onDropped?.(why);
  }
}

function seriesKey({ metadata }: KubeObject, { type, reason, note, action }: EventNote): string {
  return [metadata.namespace, metadata.name, metadata.uid, type, reason, action, note].join('\n');
}

function reference({ apiVersion, kind, metadata }: KubeObject): KubeObject {
  const { name, namespace, uid, resourceVersion } = metadata;
  return {
    ...(apiVersion && { apiVersion }),
    ...(kind && { kind }),
    metadata: {
      name,
      ...(namespace && { namespace }),
      ...(uid && { uid }),
      ...(resourceVersion && { resourceVersion }),
    },
  };
}

/** core/v1 ObjectReference. */
function wireReference(object: KubeObject): object {
  const { apiVersion, kind, metadata } = reference(object);
  return { apiVersion, kind, ...metadata };
}

/** The bound is in bytes; a cut inside a character leaves that character out. */
function cutNote(note: string): string {
  if (Buffer.byteLength(note) <= longestNote) return note;
  return `${Buffer.from(note)
    .subarray(0, longestNote - 6)
    .toString('utf8')
    .replace(/\uFFFD$/, '')}…`;
}

function evictOldest(map: Map<string, unknown>, keep: number): void {
  for (const key of map.keys()) {
    if (map.size <= keep) return;
    map.delete(key);
  }
}
