/**
 * Version 1 of the queue API: list, show, resend, hold, release, delete,
 * export, import. Each request is one call of the store; what the store
 * refuses comes back as a sentence with a fitting status.
 */
import { canonicalLines } from '../spool/canonical.ts';
import type { StoredMessage } from '../spool/message.ts';
import { type QueueFilter, SpoolError, type SpoolErrorKind } from '../spool/spool.ts';
import { answerJson, answerStream, readJson, received, requireType } from './answer.ts';
import { isMessageId, readQuery, readSelection } from './filter.ts';
import { frame, framesType, readFrames } from './frames.ts';
import type { Exchange, Route } from './http.ts';
import { HttpError, UnforeseenError } from './http-error.ts';
import { measured } from './measured.ts';
import { messageJson, readAdoptable } from './message-json.ts';
import type { AdminOperations, QueueOperation, QueueStore } from './view.ts';

/** Messages in one answer of the list, unless the client asks for fewer. */
const pageSize = 100;
const maxPageSize = 1000;

/** The routes under /v1/queue. `now`: milliseconds since the epoch. */
export function queueRoutes(operations: AdminOperations, now: () => number): readonly Route[] {
  const { queue } = operations;
  const routes: readonly Route[] = [
    { method: 'GET', path: '/v1/queue', handle: exchange => list(exchange, queue) },
    { method: 'GET', path: '/v1/queue/export', handle: exchange => exportAll(exchange, queue) },
    { method: 'GET', path: '/v1/queue/:id', handle: exchange => show(exchange, queue) },
    { method: 'GET', path: '/v1/queue/:id/body', handle: exchange => showBody(exchange, queue) },
    { method: 'POST', path: '/v1/queue/import', handle: exchange => importAll(exchange, operations, now) },
    change('resend', operations, filter => queue.resend(waiting(filter))),
    change('hold', operations, filter => queue.hold(filter)),
    change('release', operations, filter => queue.unhold(filter)),
    change('delete', operations, filter => queue.remove(filter)),
  ];
  return routes.map(route => ({ ...route, handle: exchange => translated(route, exchange) }));
}

/** Dead mail is revived only when asked for by state or id, never by a sweeping resend; held mail is let go by release. */
function waiting(filter: QueueFilter): QueueFilter {
  if (filter.state === 'held') {
    throw new HttpError(
      400,
      'state must be active, failed or dead for a resend: held mail goes by a release',
    );
  }
  return filter.state === undefined && filter.ids === undefined ? { ...filter, state: 'failed' } : filter;
}

function change(
  operation: QueueOperation,
  { changed }: AdminOperations,
  apply: (filter: QueueFilter) => Promise<number>,
): Route {
  return {
    method: 'POST',
    path: `/v1/queue/${operation}`,
    handle: async exchange => {
      const count = await apply(readSelection(await readJson(exchange)));
      if (count > 0) changed(operation, count);
      answerJson(exchange, { operation, count });
    },
  };
}

async function list(exchange: Exchange, queue: QueueStore): Promise<void> {
  const filter = readQuery(exchange.query);
  const limit = filter.limit ?? pageSize;
  if (limit > maxPageSize) throw new HttpError(400, `limit must be 1 to ${maxPageSize}, not ${limit}`);
  const messages = await queue.list({ ...filter, limit });
  const last = messages.at(-1);
  const more = messages.length === limit && last !== undefined;
  answerJson(exchange, { messages: messages.map(messageJson), ...(more && { next: last.id }) });
}

async function show(exchange: Exchange, queue: QueueStore): Promise<void> {
  answerJson(exchange, messageJson(await find(exchange.id, queue)));
}

/** In chunks: only the end of a file that people may have edited says how long it is. */
async function showBody(exchange: Exchange, queue: QueueStore): Promise<void> {
  const { id } = await find(exchange.id, queue);
  exchange.response.setHeader('Content-Type', 'message/rfc822');
  await answerStream(exchange, queue.read(id));
}

async function find(id: string, queue: QueueStore): Promise<StoredMessage> {
  if (!isMessageId(id)) {
    throw new HttpError(400, `${id.slice(0, 60)} is not a message id (17 characters of 0-9 and a-z)`);
  }
  const [message] = await queue.list({ ids: [id], limit: 1 });
  if (message === undefined) throw new HttpError(404, `there is no message ${id} in the queue`);
  return message;
}

async function exportAll(exchange: Exchange, queue: QueueStore): Promise<void> {
  const filter = readQuery(exchange.query);
  exchange.response.setHeader('Content-Type', framesType);
  await answerStream(exchange, frames(filter, queue));
}

async function* frames(filter: QueueFilter, queue: QueueStore): AsyncGenerator<Buffer> {
  for await (const message of chosen(filter, queue)) {
    const body = await measured(() => queue.read(message.id)).catch(absent);
    if (body !== undefined) yield* frame({ ...messageJson(message), size: body.size }, body.chunks);
  }
}

/** Sent or deleted since it was listed, or its body is missing: nothing to export, and no harm to the others. */
function absent(error: unknown): undefined {
  if (error instanceof SpoolError && error.kind === 'not-found') return undefined;
  throw error;
}

/** Every chosen message, a page at a time. */
async function* chosen(filter: QueueFilter, queue: QueueStore): AsyncGenerator<StoredMessage> {
  let left = filter.limit ?? Number.POSITIVE_INFINITY;
  let after = filter.after;
  while (left > 0) {
    const limit = Math.min(left, pageSize);
    const page = await queue.list({ ...filter, limit, ...(after !== undefined && { after }) });
    yield* page;
    left -= page.length;
    after = page.at(-1)?.id;
    if (page.length < limit) return;
  }
}

async function importAll(
  exchange: Exchange,
  { queue, changed }: AdminOperations,
  now: () => number,
): Promise<void> {
  requireType(exchange, framesType);
  const ids: string[] = [];
  try {
    for await (const { header, body } of readFrames(received(exchange.request))) {
      const { envelope, recipients, receivedAt } = readAdoptable(header, now());
      ids.push(await queue.adopt({ envelope, receivedAt }, canonicalLines(body), recipients));
    }
  } catch (error) {
    const known = foreseen(error);
    if (known === undefined) throw new UnforeseenError(error, { ids });
    throw new HttpError(known.status, `message ${ids.length + 1} of the import: ${known.message}`, { ids });
  } finally {
    if (ids.length > 0) changed('import', ids.length);
  }
  answerJson(exchange, { operation: 'import', count: ids.length, ids });
}

async function translated(route: Route, exchange: Exchange): Promise<void> {
  try {
    await route.handle(exchange);
  } catch (error) {
    throw foreseen(error) ?? error;
  }
}

const statusOf: Readonly<Record<SpoolErrorKind, number>> = {
  'disk-full': 507,
  io: 500,
  owned: 500,
  corrupt: 500,
  'not-found': 404,
  closed: 503,
};

function foreseen(error: unknown): HttpError | undefined {
  if (error instanceof HttpError) return error;
  return error instanceof SpoolError ? new HttpError(statusOf[error.kind], error.message) : undefined;
}
