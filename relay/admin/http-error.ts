/** How an answer other than 2xx comes about: chosen by a handler, or a failure that nobody foresaw. */
import { createHash } from 'node:crypto';

/** Thrown to answer with `status` and `{"error": message, ...details}`. */
export class HttpError extends Error {
  readonly status: number;
  readonly details: Readonly<Record<string, unknown>>;
  constructor(status: number, message: string, details: Readonly<Record<string, unknown>> = {}) {
    super(message);
    this.name = 'HttpError';
    this.status = status;
    this.details = details;
  }
}

/**
 * Thrown when something failed that nobody foresaw: answered with 500, a
 * reference and `details`, while what happened goes to the log alone.
 */
export class UnforeseenError extends Error {
  /** What failed and where: for the log alone. */
  readonly trace: string;
  /**
   * Eight hexadecimal digits, by which the answer and the line in the log find each other. The same failure has the
   * same ones each time: where the log sums it up, every answer is explained all the same.
   */
  readonly reference: string;
  readonly details: Readonly<Record<string, unknown>>;
  constructor(cause: unknown, details: Readonly<Record<string, unknown>> = {}) {
    super('the operation failed for a reason that nobody foresaw', { cause });
    this.name = 'UnforeseenError';
    this.trace = cause instanceof Error ? (cause.stack ?? String(cause)) : String(cause);
    this.reference = createHash('sha256').update(this.trace).digest('hex').slice(0, 8);
    this.details = details;
  }
}
