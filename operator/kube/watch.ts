/**
 * One watch from its opening to its end: yields events with their resourceVersion, gives up a connection that
 * shows no sign of life, and turns ERROR events into ApiError. Does not reconnect; list-watch.ts does.
 */
import { statusToApiError } from './answer.ts';
import { ConnectionError } from './api-error.ts';
import { partialObject } from './client.ts';
import type { Clock } from './clock.ts';
import { jsonLines } from './json-lines.ts';
import type { KubeObject } from './object.ts';
import { collectionPath, metricName, type Resource } from './resource.ts';
import type { ByteStream, Transport } from './transport.ts';

export type WatchEvent<T> =
  | { type: 'ADDED' | 'MODIFIED' | 'DELETED'; object: T }
  | { type: 'BOOKMARK'; object: KubeObject };

type RawEvent = { type: string; object: KubeObject & { code?: number } };

export interface WatchRequest<T extends KubeObject> {
  transport: Transport;
  resource: Resource<T>;
  namespace?: string | undefined;
  labelSelector?: string | undefined;
  fieldSelector?: string | undefined;
  metadataOnly: boolean;
  resourceVersion: string;
  /** How long the server is to keep it open. */
  timeoutSeconds: number;
  /** Silence that is given up after a first bookmark has shown that the server sends them (about one a minute). */
  silenceMs: number;
  clock: Clock;
  signal: AbortSignal;
  onOpen: () => void;
}

/** How much later than promised a server may end a watch before it is taken for dead. */
const endGraceMs = 30_000;
/** For the answer's headers, which come at once when the server can watch. */
const openTimeoutMs = 15_000;

/** Ends when the server ends the watch in order. Throws ApiError (410: list again) or ConnectionError. */
export async function* watchEvents<T extends KubeObject>(
  request: WatchRequest<T>,
): AsyncGenerator<WatchEvent<T>> {
  const stream = await open(request);
  const life = new SignOfLife(request, stream);
  const abort = () => stream.destroy();
  request.signal.addEventListener('abort', abort);
  try {
    request.signal.throwIfAborted();
    request.onOpen();
    for await (const event of jsonLines<RawEvent>(life.watched())) {
      if (event.type === 'BOOKMARK') life.expectBookmarks();
      yield checked<T>(event);
    }
  } catch (error) {
    throw life.lost ?? error;
  } finally {
    life.end();
    request.signal.removeEventListener('abort', abort);
    stream.destroy();
  }
}

function open<T extends KubeObject>(request: WatchRequest<T>): Promise<ByteStream> {
  return request.transport.stream({
    method: 'GET',
    path: collectionPath(request.resource, request.namespace),
    query: {
      watch: true,
      allowWatchBookmarks: true,
      resourceVersion: request.resourceVersion,
      timeoutSeconds: request.timeoutSeconds,
      labelSelector: request.labelSelector,
      fieldSelector: request.fieldSelector,
    },
    ...(request.metadataOnly && { accept: partialObject }),
    verb: 'watch',
    resource: metricName(request.resource),
    signal: request.signal,
    timeoutMs: openTimeoutMs,
  });
}

function checked<T extends KubeObject>(event: RawEvent): WatchEvent<T> {
  if (event.type === 'ERROR') throw statusToApiError(event.object as object);
  const known = ['ADDED', 'MODIFIED', 'DELETED', 'BOOKMARK'].includes(event.type);
  if (known && event.object?.metadata?.resourceVersion) return event as WatchEvent<T>;
  throw new ConnectionError(
    'protocol',
    `API server: watch sent an event of unknown form (type ${event.type})`,
  );
}

/**
 * Destroys a stream that has been silent too long. A kind nobody has touched since the API server started may get
 * no bookmark at all, so until the first one only the promised end of the watch counts.
 */
class SignOfLife {
  readonly #clock: Clock;
  readonly #stream: ByteStream;
  readonly #silenceMs: number;
  #limitMs: number;
  #lastAt: number;
  #cancel: () => void = () => {};
  lost: ConnectionError | undefined;

  constructor(request: { clock: Clock; silenceMs: number; timeoutSeconds: number }, stream: ByteStream) {
    this.#clock = request.clock;
    this.#stream = stream;
    this.#silenceMs = request.silenceMs;
    this.#limitMs = request.timeoutSeconds * 1000 + endGraceMs;
    this.#lastAt = request.clock.now();
    this.#schedule();
  }

  async *watched(): AsyncGenerator<Uint8Array> {
    for await (const chunk of this.#stream) {
      this.#lastAt = this.#clock.now();
      yield chunk;
    }
  }

  expectBookmarks(): void {
    if (this.#limitMs <= this.#silenceMs) return;
    this.#limitMs = this.#silenceMs;
    this.#schedule();
  }

  end(): void {
    this.#cancel();
  }

  #schedule(): void {
    this.#cancel();
    this.#cancel = this.#clock.after(this.#lastAt + this.#limitMs - this.#clock.now(), () => this.#check());
  }

  #check(): void {
    if (this.#clock.now() - this.#lastAt < this.#limitMs) {
      this.#schedule();
      return;
    }
    const seconds = Math.round(this.#limitMs / 1000);
    this.lost = new ConnectionError(
      'stale',
      `API server: watch was silent for ${seconds} s; opening it again`,
    );
    this.#stream.destroy();
  }
}
