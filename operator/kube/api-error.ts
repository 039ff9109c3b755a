/**
 * The two ways in which a call to the API server fails: it answered with a Status (ApiError), or no complete
 * answer came (ConnectionError). Callers decide by `code` and `kind`, never by message text.
 */

export interface StatusDetails {
  name?: string;
  group?: string;
  kind?: string;
  uid?: string;
  causes?: { reason?: string; message?: string; field?: string }[];
  retryAfterSeconds?: number;
}

export interface ApiFailure {
  code: number;
  reason: string;
  message: string;
  retryAfterSeconds?: number | undefined;
  details?: StatusDetails | undefined;
}

/** Thrown when the API server answered with an error Status. */
export class ApiError extends Error {
  override readonly name = 'ApiError';
  /** HTTP status code. */
  readonly code: number;
  /** `metav1.StatusReason`: NotFound, AlreadyExists, Conflict, Invalid, Forbidden, Expired … */
  readonly reason: string;
  /** How long the server asks to wait, from Retry-After or the Status' details. */
  readonly retryAfterSeconds: number | undefined;
  readonly details: StatusDetails | undefined;

  constructor(failure: ApiFailure) {
    super(failure.message);
    this.code = failure.code;
    this.reason = failure.reason;
    this.retryAfterSeconds = failure.retryAfterSeconds;
    this.details = failure.details;
  }
}

/** `protocol`: the answer was not what the API speaks; `stale`: a watch gave no sign of life in time. */
export type ConnectionFaultKind =
  | 'refused'
  | 'reset'
  | 'timeout'
  | 'dns'
  | 'tls'
  | 'protocol'
  | 'stale'
  | 'closed';

/** Thrown when no complete answer came. The request may or may not have been carried out unless `refused` or `dns`. */
export class ConnectionError extends Error {
  override readonly name = 'ConnectionError';
  readonly kind: ConnectionFaultKind;

  constructor(kind: ConnectionFaultKind, message: string, cause?: unknown) {
    super(message, cause === undefined ? undefined : { cause });
    this.kind = kind;
  }
}

export const isNotFound = (error: unknown): boolean => error instanceof ApiError && error.code === 404;
export const isConflict = (error: unknown): boolean =>
  error instanceof ApiError && error.code === 409 && error.reason !== 'AlreadyExists';
export const isAlreadyExists = (error: unknown): boolean =>
  error instanceof ApiError && error.reason === 'AlreadyExists';
/** The resourceVersion or continue token is older than what the server still knows. */
export const isGone = (error: unknown): boolean =>
  error instanceof ApiError && (error.code === 410 || error.reason === 'Expired' || error.reason === 'Gone');
/** The object was refused by validation or admission: the same request will be refused again. */
export const isInvalid = (error: unknown): boolean =>
  error instanceof ApiError && (error.code === 422 || error.code === 400);
export const isForbidden = (error: unknown): boolean => error instanceof ApiError && error.code === 403;
