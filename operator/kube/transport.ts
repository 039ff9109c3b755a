/**
 * Talks to the API server: JSON in and out over kept connections, errors as ApiError or ConnectionError. Repeats
 * what the server asked to repeat or what harms nobody, a bounded number of times within the call's own deadline;
 * a refused token or certificate is read again once. Never blocks without a deadline, and opens no connection per call.
 */
import { readAnswer } from './answer.ts';
import { ApiError, ConnectionError } from './api-error.ts';
import { backoffDelay } from './backoff.ts';
import { type Clock, sleep, systemClock } from './clock.ts';
import { neverSent } from './connection-fault.ts';
import { Deadline } from './deadline.ts';
import { Exchange } from './exchange.ts';
import type { Connection, TlsSettings } from './identity.ts';

export type Verb = 'get' | 'list' | 'watch' | 'create' | 'update' | 'patch' | 'apply' | 'delete' | 'raw';

export interface ApiRequest {
  method: 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE';
  path: string;
  query?: Record<string, string | number | boolean | undefined>;
  /** Sent as JSON. */
  body?: unknown;
  /** Default application/json. */
  contentType?: string;
  /** Default application/json. */
  accept?: string;
  signal?: AbortSignal | undefined;
  /** For the whole call with its retries; default 30 s. */
  timeoutMs?: number;
  /** How often a failed try may be repeated; default 3, 0 = the caller has its own backoff. */
  retries?: number;
  /** Called before each try; what it throws ends the call. */
  beforeTry?: () => void;
  /** Whether repeating it after a lost answer does no harm; default: everything but POST. */
  idempotent?: boolean;
  /** What metrics call it. */
  verb?: Verb;
  /** `group/plural`, or `plural` for the core group; for metrics. */
  resource?: string;
}

export interface RequestReport {
  verb: Verb;
  method: string;
  resource: string;
  /** HTTP status, or the kind of connection fault in angle brackets: `<reset>`. */
  code: string;
  durationMs: number;
}

/** An open answer: its bytes come as they arrive. Ends by error (ConnectionError) or by the server's close. */
export interface ByteStream extends AsyncIterable<Uint8Array> {
  /** Drops the connection; the iteration ends with a ConnectionError `closed`. */
  destroy(): void;
}

export interface Transport {
  /** The parsed JSON answer. Throws ApiError or ConnectionError, or the signal's reason. */
  request<T>(request: ApiRequest): Promise<T>;
  /** Opens a watch. No retry and no timeout after the headers; `timeoutMs` is for the headers. */
  stream(request: ApiRequest): Promise<ByteStream>;
  /** Ends all connections; open streams end. */
  close(): Promise<void>;
}

export interface TransportOptions {
  connection: Connection;
  /** `program/version`, sent as User-Agent. */
  userAgent: string;
  /** Most connections for calls; each watch has one of its own beside them. Default 32. */
  maxConnections?: number;
  onRequest?: (report: RequestReport) => void;
  clock?: Clock;
  random?: () => number;
}

const defaultTimeoutMs = 30_000;
const defaultRetries = 3;
const defaultConnections = 32;
/** Pause before repeating when the server names none. */
const retryPauseMs = [100, 1_000] as const;

export function createTransport(options: TransportOptions): Transport {
  return new HttpTransport(options);
}

/** What a try was made with. */
interface Presented {
  readonly token: string | undefined;
  readonly tls: TlsSettings;
}

/** One try; tells the HTTP status as soon as it has one. */
type Attempt<T> = (answered: (status: number) => void) => Promise<T>;

class HttpTransport implements Transport {
  readonly #exchange: Exchange;
  readonly #options: TransportOptions;
  readonly #clock: Clock;
  readonly #random: () => number;

  constructor(options: TransportOptions) {
    this.#options = options;
    this.#clock = options.clock ?? systemClock;
    this.#random = options.random ?? Math.random;
    this.#exchange = new Exchange({
      connection: options.connection,
      userAgent: options.userAgent,
      maxConnections: options.maxConnections ?? defaultConnections,
    });
  }

  async request<T>(request: ApiRequest): Promise<T> {
    const deadline = this.#deadline(request);
    try {
      return await this.#repeat(request, deadline, async answered => {
        const answer = await deadline.race(this.#exchange.call(request, deadline.signal));
        answered(answer.statusCode);
        return readAnswer<T>(answer);
      });
    } finally {
      deadline.clear();
    }
  }

  async stream(request: ApiRequest): Promise<ByteStream> {
    const deadline = this.#deadline(request);
    try {
      return await this.#repeat({ ...request, retries: 0 }, deadline, () =>
        deadline.race(this.#exchange.open(request, deadline.signal)),
      );
    } finally {
      // Only the deadline ends with the headers: the caller's signal would need its listener to end the stream,
      // so whoever opened it destroys it.
      deadline.clear();
    }
  }

  close(): Promise<void> {
    return this.#exchange.close();
  }

  async #repeat<T>(request: ApiRequest, deadline: Deadline, attempt: Attempt<T>): Promise<T> {
    let refreshed = false;
    for (let failures = 1; ; ) {
      const presented = { token: await this.#options.connection.token?.read(), tls: this.#exchange.tls };
      request.beforeTry?.();
      try {
        return await this.#measured(request, attempt);
      } catch (error) {
        deadline.throwIfOver();
        const again: boolean = !refreshed && (await this.#refresh(error, presented));
        if (!again) await this.#pause(request, error, failures++, deadline);
        refreshed ||= again;
      }
    }
  }

  /** Waits before the next try, or throws `error` when there is to be none. */
  async #pause(request: ApiRequest, error: unknown, failures: number, deadline: Deadline): Promise<void> {
    const pauseMs = this.#pauseBefore(request, error, failures);
    if (pauseMs === undefined || pauseMs >= deadline.leftMs()) throw error;
    await sleep(this.#clock, pauseMs, deadline.signal);
    deadline.throwIfOver();
  }

  /** Whether what we presented or trust has changed since, so that trying again at once makes sense. */
  async #refresh(error: unknown, presented: Presented): Promise<boolean> {
    const source = this.#options.connection.token;
    const isRefused = error instanceof ApiError && error.code === 401;
    // Without a token it is the client certificate that is refused: the API server lets it in, and judges each request.
    if ((error instanceof ConnectionError && error.kind === 'tls') || (isRefused && !source)) {
      await this.#exchange.reloadTls();
      return this.#exchange.tls !== presented.tls;
    }
    if (!isRefused || !source) return false;
    // Another call that was refused with it may have had it read again already.
    if ((await source.read()) !== presented.token) return true;
    source.refused();
    return (await source.read()) !== presented.token;
  }

  /** Undefined = do not repeat. */
  #pauseBefore(request: ApiRequest, error: unknown, failures: number): number | undefined {
    if (failures > (request.retries ?? defaultRetries)) return undefined;
    if (!mayRepeat(error, request.idempotent ?? request.method !== 'POST')) return undefined;
    const asked = error instanceof ApiError ? (error.retryAfterSeconds ?? 0) * 1000 : 0;
    return Math.max(asked, backoffDelay(failures, retryPauseMs, this.#random));
  }

  async #measured<T>(request: ApiRequest, attempt: Attempt<T>): Promise<T> {
    const start = this.#clock.now();
    let code = '200';
    try {
      return await attempt(status => {
        code = String(status);
      });
    } catch (error) {
      code = codeOf(error);
      throw error;
    } finally {
      this.#options.onRequest?.({
        verb: request.verb ?? 'raw',
        method: request.method,
        resource: request.resource ?? '',
        code,
        durationMs: this.#clock.now() - start,
      });
    }
  }

  #deadline(request: ApiRequest): Deadline {
    return new Deadline(this.#clock, request.timeoutMs ?? defaultTimeoutMs, request);
  }
}

/**
 * 429 is said before anything is done, so any request may follow it. 5xx with Retry-After and a lost answer may
 * mean that it was done. A time-out has used up the call's time.
 */
function mayRepeat(error: unknown, idempotent: boolean): boolean {
  if (error instanceof ConnectionError) return neverSent(error) || (idempotent && error.kind === 'reset');
  if (!(error instanceof ApiError)) return false;
  if (error.code === 429) return true;
  return idempotent && error.code >= 500 && error.retryAfterSeconds !== undefined;
}

function codeOf(error: unknown): string {
  if (error instanceof ApiError) return String(error.code);
  return error instanceof ConnectionError ? `<${error.kind}>` : '<error>';
}
