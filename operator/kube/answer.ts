/** Reads an HTTP answer of the API server: JSON out of a success, ApiError out of anything else. */
import { ApiError, ConnectionError, type StatusDetails } from './api-error.ts';

export interface Answer {
  statusCode: number;
  headers: Record<string, string | string[] | undefined>;
  text: string;
}

interface Status {
  kind?: string;
  code?: number;
  reason?: string;
  message?: string;
  details?: StatusDetails;
}

/** How much of an unexpected answer is quoted. */
const quoted = 200;

/** The parsed body. Throws ApiError for a failure, ConnectionError `protocol` for a success that is not JSON. */
export function readAnswer<T>(answer: Answer): T {
  if (answer.statusCode < 200 || answer.statusCode > 299) throw toApiError(answer);
  const parsed = parseJson(answer.text);
  if (parsed !== undefined) return parsed as T;
  throw new ConnectionError(
    'protocol',
    `API server: ${answer.statusCode} with ${answer.headers['content-type'] ?? 'no content type'} instead of JSON: ${excerpt(answer.text)}`,
  );
}

/** The failure that an answer tells of, from its Status if it is one. */
export function toApiError(answer: Answer): ApiError {
  const parsed = parseJson(answer.text) as Status | undefined;
  const status = parsed?.kind === 'Status' ? parsed : undefined;
  return new ApiError({
    code: answer.statusCode,
    reason: status?.reason ?? '',
    message: status?.message ?? `API server: ${answer.statusCode}: ${excerpt(answer.text)}`,
    retryAfterSeconds: retryAfter(answer.headers['retry-after']) ?? status?.details?.retryAfterSeconds,
    details: status?.details,
  });
}

/** The failure that an ERROR event of a watch tells of. */
export function statusToApiError(status: Status): ApiError {
  return new ApiError({
    code: status.code ?? 500,
    reason: status.reason ?? '',
    message: status.message ?? 'watch ended with an error event',
    retryAfterSeconds: status.details?.retryAfterSeconds,
    details: status.details,
  });
}

/** Seconds; the API server sends no dates (RFC 9110 section 10.2.3 would allow them). */
function retryAfter(header: string | string[] | undefined): number | undefined {
  const seconds = Number.parseInt(String(header ?? ''), 10);
  return Number.isFinite(seconds) && seconds >= 0 ? seconds : undefined;
}

function parseJson(text: string): object | undefined {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === 'object' && value !== null ? value : undefined;
  } catch {
    return undefined;
  }
}

function excerpt(text: string): string {
  return JSON.stringify(text.length > quoted ? `${text.slice(0, quoted)}…` : text);
}
