import type { Clock } from './clock.ts';
import type { Connection } from './connection.ts';

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

export declare function createTransport(options: TransportOptions): Transport;
