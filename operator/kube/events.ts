/**
 * Tells people what happened to an object, in `kubectl describe` and `kubectl get events`. events.k8s.io/v1: both
 * commands show it, and its series let repetitions be one object that counts. Same event again → the series, at
 * most one write a minute; many different ones for the same object and reason → dropped and counted. Sends in the
 * background one after another; never blocks, throws or holds up a reconcile. Needs create and patch on events.
 */
import { randomBytes } from 'node:crypto';
import { isNotFound } from './api-error.ts';
import { type Clock, systemClock } from './clock.ts';
import { EventSeries, type Series } from './event-series.ts';
import { type EventNote, events, namespaceOf, type Reporter, wireEvent, wireSeries } from './event-wire.ts';
import type { KubeObject } from './object.ts';
import type { KubeClient } from './resource.ts';

type WhyDropped = 'rate' | 'full' | 'failed' | 'not-leader';

export interface EventRecorderOptions extends Reporter {
  client: KubeClient;
  /** Whether writing is allowed now; asked before each send. */
  mayWrite?: () => boolean;
  onDropped?: (why: WhyDropped) => void;
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

const longestQueue = 500;
const sendTimeoutMs = 10_000;
/** At the end of a process something waits for it: the lease, which another one wants. */
const defaultPatienceMs = 5_000;

export function createEventRecorder(options: EventRecorderOptions): EventRecorder {
  return new SeriesRecorder(options);
}

class SeriesRecorder implements EventRecorder {
  readonly #options: EventRecorderOptions;
  readonly #clock: Clock;
  readonly #series: EventSeries;
  readonly #queue: Series[] = [];
  readonly #patience = new AbortController();
  #stopped = false;
  #sending: Promise<void> | undefined;

  constructor(options: EventRecorderOptions) {
    this.#options = options;
    this.#clock = options.clock ?? systemClock;
    this.#series = new EventSeries(this.#clock);
  }

  record(about: KubeObject, event: EventNote): void {
    if (this.#stopped) return;
    const series = this.#series.count(about, event);
    if (!series) this.#drop('rate');
    else if (this.#series.isDue(series)) this.#enqueue(series);
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
    const { client } = this.#options;
    const { about, count } = series;
    const name = `${about.metadata.name.slice(0, 200)}.${randomBytes(8).toString('hex')}`;
    await client.create(events, wireEvent(name, series, this.#options), this.#write());
    series.name = name;
    this.#written(series, count);
  }

  async #continue(series: Series, name: string): Promise<void> {
    const { client } = this.#options;
    const { about, count } = series;
    const ref = { name, namespace: namespaceOf(about) };
    try {
      await client.mergePatch(events, ref, { series: wireSeries(series) }, this.#write());
      this.#written(series, count);
    } catch (error) {
      if (!isNotFound(error)) throw error;
      // It has expired in the API server: the story begins again.
      series.name = undefined;
      await this.#create(series);
    }
  }

  #write() {
    return { signal: this.#patience.signal, timeoutMs: sendTimeoutMs };
  }

  #written(series: Series, count: number): void {
    series.writtenCount = count;
    series.writtenAt = this.#clock.now();
  }

  #drop(why: WhyDropped): void {
    this.#options.onDropped?.(why);
  }
}
