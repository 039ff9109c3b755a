/**
 * Which events are to be sent: the same again within minutes is one more of its series, which is written at most once a
 * minute; of many different ones for one object and reason all but a few are refused. Remembers so many, and no more.
 */
import type { Clock } from './clock.ts';
import { type EventNote, type Happening, reference } from './event-wire.ts';
import type { KubeObject } from './object.ts';

/** An event repeated within this time continues its series; the API server forgets events after an hour. */
const seriesMs = 6 * 60_000;
/** A series is written again at most this often; what happens between is counted. */
const seriesWriteMs = 60_000;
/** Different notes for one object and reason: so many at once, then one a minute. */
const burst = 5;
const refillMs = 60_000;
const seriesKept = 5_000;

/** One event and how often it has happened. */
export interface Series extends Happening {
  /** Set when the first one is in the API server. */
  name: string | undefined;
  writtenCount: number;
  writtenAt: number;
  lastAt: number;
  queued: boolean;
}

export class EventSeries {
  readonly #clock: Clock;
  readonly #series = new Map<string, Series>();
  readonly #tokens = new Map<string, { left: number; at: number }>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Counts it. Undefined when there are too many different ones like it. */
  count(about: KubeObject, event: EventNote): Series | undefined {
    const key = seriesKey(about, event);
    const now = this.#clock.now();
    const known = this.#series.get(key);
    const series = known && now - known.lastAt < seriesMs ? known : this.#begin(key, about, event);
    if (!series) return undefined;
    series.count++;
    series.lastAt = now;
    series.lastWallTime = this.#clock.wallTime();
    return series;
  }

  /** A series in progress is written again after a while; its count tells what was not written. */
  isDue(series: Series): boolean {
    return series.name === undefined || this.#clock.now() - series.writtenAt >= seriesWriteMs;
  }

  #begin(key: string, about: KubeObject, event: EventNote): Series | undefined {
    if (!this.#takeToken(`${about.metadata.uid}/${event.reason}`)) return undefined;
    const series: Series = {
      // Not the object: it may be large, and this outlives it.
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
}

function seriesKey({ metadata }: KubeObject, { type, reason, note, action }: EventNote): string {
  return [metadata.namespace, metadata.name, metadata.uid, type, reason, action, note].join('\n');
}

function evictOldest(map: Map<string, unknown>, keep: number): void {
  for (const key of map.keys()) {
    if (map.size <= keep) return;
    map.delete(key);
  }
}
