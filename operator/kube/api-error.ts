/**
 * The two ways in which a call to the API server fails: it answered with a Status (ApiError), or no complete
 * answer came (ConnectionError). Callers decide by `code` and `kind`, or ask one of the functions below; message
 * text is read here alone, and only where the API server says the thing in no other way.
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
export const isForbidden = (error: unknown): boolean => error instanceof ApiError && error.code === 403;

/** An apply whose fields are not those of the kind has code 500 and no reason, as a server in trouble has. */
const notOfTheKind = /^failed to create typed patch object /;

/** The object was refused by its schema, validation, admission or for want of rights: the same will be refused again. */
export const isRefusal = (error: unknown): boolean =>
  error instanceof ApiError &&
  ([400, 403, 422].includes(error.code) || (error.code === 500 && notOfTheKind.test(error.message)));
