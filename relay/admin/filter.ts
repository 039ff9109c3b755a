/**
 * Reads a queue filter from a JSON body or a query string. Whatever is not
 * exactly a filter is refused with a sentence naming field, value and what is
 * allowed; a filter that would choose everything must say so.
 */
import type { QueueState } from '../spool/message.ts';
import type { QueueFilter } from '../spool/spool.ts';
import { durationMs } from './duration.ts';
import { HttpError } from './http-error.ts';

export const queueStates: readonly QueueState[] = ['active', 'failed', 'held', 'dead'];

const maxIds = 10_000;
const maxText = 320;
const idForm = /^[0-9a-z]{17}$/;

type Mutable = { -readonly [K in keyof QueueFilter]: QueueFilter[K] };
type Read = (value: unknown, filter: Mutable) => string | undefined;

/** Each field's reader: takes the value into the filter, or says what is allowed instead. */
const fields: Readonly<Record<string, Read>> = {
  ids: (value, filter) => {
    const valid =
      Array.isArray(value) && value.length > 0 && value.length <= maxIds && value.every(isMessageId);
    if (!valid) return `a list of 1 to ${maxIds} message ids (17 characters of 0-9 and a-z)`;
    filter.ids = value as string[];
    return undefined;
  },
  state: (value, filter) => {
    if (!queueStates.includes(value as QueueState)) return `one of ${queueStates.join(', ')}`;
    filter.state = value as QueueState;
    return undefined;
  },
  sender: text('sender'),
  recipient: text('recipient'),
  olderThan: (value, filter) => {
    const ms = typeof value === 'string' ? durationMs(value) : undefined;
    if (ms === undefined) return 'a number and a unit: 90s, 30m, 2h, 1d';
    filter.olderThanMs = ms;
    return undefined;
  },
  limit: (value, filter) => {
    if (!Number.isSafeInteger(value) || (value as number) < 1) return 'an integer of at least 1';
    filter.limit = value as number;
    return undefined;
  },
  after: (value, filter) => {
    if (!isMessageId(value)) return 'a message id (17 characters of 0-9 and a-z)';
    filter.after = value as string;
    return undefined;
  },
};

function text(field: 'sender' | 'recipient'): Read {
  return (value, filter) => {
    if (typeof value !== 'string' || value === '' || value.length > maxText) {
      return `a text of 1 to ${maxText} characters that the address contains`;
    }
    filter[field] = value;
    return undefined;
  };
}

export function isMessageId(value: unknown): boolean {
  return typeof value === 'string' && idForm.test(value);
}

/** The filter in a JSON object without `all`. Throws HttpError 400. */
export function readFilter(given: Readonly<Record<string, unknown>>): QueueFilter {
  const filter: Mutable = {};
  for (const [field, value] of Object.entries(given)) {
    const read = Object.hasOwn(fields, field) ? fields[field] : undefined;
    if (read === undefined) {
      throw new HttpError(
        400,
        `${field} is not a field of a filter; allowed: ${Object.keys(fields).join(', ')}, all`,
      );
    }
    const allowed = read(value, filter);
    if (allowed !== undefined) throw new HttpError(400, `${field} must be ${allowed}, not ${shown(value)}`);
  }
  return filter;
}

/** A filter for an operation that changes mail: `{}` is refused, `{"all": true}` chooses everything. */
export function readSelection(given: Readonly<Record<string, unknown>>): QueueFilter {
  const { all, ...rest } = given;
  if (all !== undefined && typeof all !== 'boolean')
    throw new HttpError(400, `all must be true or false, not ${shown(all)}`);
  const filter = readFilter(rest);
  const { limit: _limit, after: _after, ...choosing } = filter;
  if (all !== true && Object.keys(choosing).length === 0) {
    throw new HttpError(400, 'the filter chooses every message; say {"all": true} when that is meant');
  }
  return filter;
}

/** A filter in a query string. A field given twice is refused. */
export function readQuery(query: URLSearchParams): QueueFilter {
  const given: Record<string, unknown> = Object.create(null);
  for (const [field, value] of query) {
    if (Object.hasOwn(given, field)) throw new HttpError(400, `${field} is given twice`);
    given[field] = field === 'limit' && /^\d{1,9}$/.test(value) ? Number(value) : value;
    if (field === 'ids') given[field] = value.split(',');
  }
  return readFilter(given);
}

function shown(value: unknown): string {
  const json = JSON.stringify(value) ?? 'nothing';
  return json.length > 100 ? `${json.slice(0, 100)}…` : json;
}
