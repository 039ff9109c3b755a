/**
 * Keeps one scope of a kind (all namespaces or one) up to date for ever: LIST in pages, WATCH from there, resume
 * by resourceVersion; list again when the server has forgotten it; after any fault a growing, jittered pause that
 * honours Retry-After. What the server refuses to show is asked for less and less often, and read anew when it may be
 * seen; what it has answered with errors for long is kept up to date by LISTs, as often. Ends only when told to.
 */
import { ApiError, ConnectionError, isForbidden, isGone, isNotFound } from './api-error.ts';
import { backoffDelay } from './backoff.ts';
import { type Clock, sleep } from './clock.ts';
import { type KubeObject, keyOf } from './object.ts';
import type { KubeClient, Resource } from './resource.ts';
import type { Refusal } from './scopes.ts';
import { type WatchEvent, watchEvents } from './watch.ts';

export interface ListWatchOptions<T extends KubeObject> {
  client: KubeClient;
  resource: Resource<T>;
  namespace: string | undefined;
  labelSelector: string | undefined;
  fieldSelector: string | undefined;
  metadataOnly: boolean;
  pageSize: number;
  watchSeconds: readonly [number, number];
  silenceMs: number;
  backoffMs: readonly [number, number];
  refusedBackoffMs: readonly [number, number];
  refusedPatienceMs: number;
  clock: Clock;
  random: () => number;
}

/** Is told what happens, in order. */
export interface ListWatchSink<T> {
  upsert(object: T): void;
  remove(object: T): void;
  /** A whole LIST has been given by `upsert`. */
  listed(seen: ReadonlySet<string>, resourceVersion: string): void;
  contact(): void;
  watching(open: boolean): void;
  /** The server is well and shows nothing of this scope. */
  refused(why: Refusal, error: Error): void;
  fault(fault: { during: 'list' | 'watch'; error: Error; retryInMs: number }): void;
}

/** A watch that ends sooner than this without an event is a fault: the server is going down, or a proxy cuts. */
const shortestWatchMs = 1_000;
/** Longest pause that a Retry-After is believed: of a server that has too much to do, and of one that is not ready. */
const longestAskedMs = 60_000;
/** One that starts says 5 s (503) before it knows a CRD's paths, which takes it one: a custom resource would come last. */
const longestAskedStartingMs = 1_000;
/** Errors that have been the answer for so long may be it for ever: those of a moment are waited out where it was. */
const erringPatienceMs = 30_000;
const listTimeoutMs = 60_000;
/** Discovery is answered from memory. */
const discoveryTimeoutMs = 5_000;

export class ListWatch<T extends KubeObject> {
  readonly #options: ListWatchOptions<T>;
  readonly #sink: ListWatchSink<T>;
  #resourceVersion: string | undefined;
  #failures = 0;
  /** In a row, and since when. */
  #refusals = 0;
  #refusedSince: number | undefined;
  /** Since when errors have been the answer to each LIST or to each WATCH, and how many since that was for long. */
  #erringSince: number | undefined;
  #lastingErrors = 0;
  /** Tells of a LIST after a refusal, of which it is not known yet whether it can be kept up to date. */
  #untold: (() => void) | undefined;
  /** The server has forgotten our version, and there has been no word of a watch since. */
  #forgotten = false;
  /** Set when a continue token expired under way: the next LIST asks for everything at once. */
  #unpaged = false;

  constructor(options: ListWatchOptions<T>, sink: ListWatchSink<T>) {
    this.#options = options;
    this.#sink = sink;
  }

  /** Runs until `signal` is aborted; never rejects. */
  async run(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      const during = this.#resourceVersion === undefined ? 'list' : 'watch';
      try {
        if (during === 'list') await this.#list(signal);
        else await this.#watch(this.#resourceVersion!, signal);
      } catch (error) {
        if (!signal.aborted) await this.#recover(during, error as Error, signal);
      }
    }
  }

  async #recover(during: 'list' | 'watch', error: Error, signal: AbortSignal): Promise<void> {
    const refusal = await this.#refusalOf(error, signal);
    if (signal.aborted) return;
    if (refusal !== undefined) return this.#refused(refusal, error, signal);
    this.#tell();
    if (isGone(error)) this.#forget(during);
    this.#failures++;
    const retryInMs = Math.max(this.#pauseAfter(error), askedMs(error));
    this.#sink.fault({ during, error, retryInMs });
    await sleep(this.#options.clock, retryInMs, signal);
  }

  /**
   * Beside a Secret that it cannot decrypt the server answers LISTs of the others, and no WATCH: when that has lasted,
   * or will have by the next try, that is a LIST.
   */
  #pauseAfter(error: Error): number {
    const { clock, backoffMs, refusedBackoffMs, random } = this.#options;
    const pauseMs = backoffDelay(this.#failures, backoffMs, random);
    if (!mayLast(error)) {
      this.#errsNoMore();
      return pauseMs;
    }
    this.#erringSince ??= clock.now();
    const nextAt = clock.now() + Math.max(pauseMs, askedMs(error));
    if (nextAt < this.#erringSince + erringPatienceMs) return pauseMs;
    this.#resourceVersion = undefined;
    return backoffDelay(++this.#lastingErrors, refusedBackoffMs, random);
  }

  #errsNoMore(): void {
    this.#erringSince = undefined;
    this.#lastingErrors = 0;
  }

  /** Who has no rights is refused (403) also what is not there: only discovery tells that, to everybody. */
  async #refusalOf(error: Error, signal: AbortSignal): Promise<Refusal | undefined> {
    if (isNotFound(error)) return 'not-served';
    if (!isForbidden(error)) return undefined;
    const { client, resource } = this.#options;
    const isServed = await client
      .serves(resource, { signal, timeoutMs: discoveryTimeoutMs })
      .catch(() => true);
    return isServed ? 'forbidden' : 'not-served';
  }

  /**
   * A server that starts forbids everything to everybody until it has read who may what: it is believed after a while.
   * What has changed by the time that it may be seen again is found by a LIST.
   */
  async #refused(why: Refusal, error: Error, signal: AbortSignal): Promise<void> {
    const { clock, refusedBackoffMs, refusedPatienceMs, random } = this.#options;
    this.#wellAgain();
    this.#errsNoMore();
    this.#refusals++;
    this.#refusedSince ??= clock.now();
    const pauseMs = backoffDelay(this.#refusals, refusedBackoffMs, random);
    const patienceMs = why === 'forbidden' ? this.#refusedSince + refusedPatienceMs - clock.now() : 0;
    if (patienceMs > 0) return sleep(clock, Math.min(pauseMs, patienceMs), signal);
    this.#resourceVersion = undefined;
    this.#untold = undefined;
    this.#unpaged = false;
    this.#sink.refused(why, error);
    await sleep(clock, pauseMs, signal);
  }

  #shown(): void {
    this.#refusals = 0;
    this.#refusedSince = undefined;
  }

  #tell(): void {
    this.#untold?.();
    this.#untold = undefined;
  }

  #forget(during: 'list' | 'watch'): void {
    if (during === 'list') this.#unpaged = true;
    this.#resourceVersion = undefined;
    // The server is well and says what to do: failures before it do not count, but being told so again does.
    if (!this.#forgotten) this.#failures = 0;
    this.#forgotten = true;
  }

  /** No resourceVersion in the request: the newest state, so that a relist never goes back in time. */
  async #list(signal: AbortSignal): Promise<void> {
    const { client, resource, namespace, labelSelector, fieldSelector, metadataOnly, pageSize } =
      this.#options;
    const seen = new Set<string>();
    let next: string | undefined;
    do {
      const page = await client.list(resource, {
        namespace,
        labelSelector,
        fieldSelector,
        metadataOnly,
        limit: this.#unpaged ? 0 : pageSize,
        continue: next,
        signal,
        timeoutMs: listTimeoutMs,
        retries: 0,
      });
      checkPage(page, resource);
      this.#sink.contact();
      for (const object of page.items) {
        seen.add(keyOf(object.metadata));
        this.#sink.upsert(object);
      }
      next = page.metadata.continue || undefined;
      this.#resourceVersion = next ? undefined : page.metadata.resourceVersion;
    } while (next);
    this.#unpaged = false;
    const version = this.#resourceVersion!;
    this.#untold = () => this.#sink.listed(seen, version);
    // Who may list and not watch would have it in view for a moment each time.
    if (this.#refusals === 0) this.#tell();
  }

  async #watch(resourceVersion: string, signal: AbortSignal): Promise<void> {
    const { clock, random, watchSeconds, client, ...rest } = this.#options;
    const [least, most] = watchSeconds;
    const openedAt = clock.now();
    const events = watchEvents<T>({
      ...rest,
      transport: client.transport,
      resourceVersion,
      timeoutSeconds: Math.round(least + random() * (most - least)),
      clock,
      signal,
      onOpen: () => this.#opened(),
    });
    let any = false;
    try {
      for await (const event of events) {
        any = true;
        this.#wellAgain();
        this.#take(event);
      }
    } finally {
      this.#sink.watching(false);
    }
    if (!any && clock.now() - openedAt < shortestWatchMs) {
      throw new ConnectionError('reset', 'API server: watch ended as soon as it was open');
    }
    this.#wellAgain();
  }

  #wellAgain(): void {
    this.#failures = 0;
    this.#forgotten = false;
  }

  #opened(): void {
    this.#shown();
    this.#errsNoMore();
    this.#tell();
    this.#sink.contact();
    this.#sink.watching(true);
  }

  #take(event: WatchEvent<T>): void {
    this.#sink.contact();
    if (event.type === 'DELETED') this.#sink.remove(event.object);
    else if (event.type !== 'BOOKMARK') this.#sink.upsert(event.object);
    this.#resourceVersion = event.object.metadata.resourceVersion;
  }
}

/** An answer that may be the same for ever: neither that of a gateway whose server is away, nor to list again. */
function mayLast(error: Error): boolean {
  return error instanceof ApiError && ![502, 503, 504].includes(error.code) && !isGone(error);
}

function askedMs(error: Error): number {
  if (!(error instanceof ApiError)) return 0;
  const longest = error.code === 503 ? longestAskedStartingMs : longestAskedMs;
  return Math.min((error.retryAfterSeconds ?? 0) * 1000, longest);
}

function checkPage(
  page: { items?: unknown; metadata?: { resourceVersion?: string } },
  resource: Resource,
): void {
  if (Array.isArray(page.items) && page.metadata?.resourceVersion) return;
  throw new ConnectionError(
    'protocol',
    `API server: LIST of ${resource.plural} was answered with something else`,
  );
}
