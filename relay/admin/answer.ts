/** The ways in which a handler answers and reads a body. HEAD gets headers alone. */
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Exchange } from './http.ts';
import { HttpError } from './http-error.ts';

export function answerJson(exchange: Exchange, value: unknown, status = 200): void {
  answerText(exchange, `${JSON.stringify(value)}\n`, { status, type: 'application/json' });
}

export function answerText(
  { request, response }: Exchange,
  text: string,
  { status = 200, type = 'text/plain; charset=utf-8' }: { status?: number; type?: string } = {},
): void {
  response.statusCode = status;
  response.setHeader('Content-Type', type);
  response.setHeader('Content-Length', Buffer.byteLength(text));
  response.end(request.method === 'HEAD' ? undefined : text);
}

/** A filter is a few hundred bytes; a thousand ids in it are 20 KB. */
const jsonLimit = 1024 * 1024;

/**
 * The JSON object in the request. Throws HttpError 415 unless it is declared
 * as JSON (a web page cannot declare that without asking first, and is never
 * allowed), 413 over 1 MiB, 400 when it is not an object. No body = {}.
 */
export async function readJson(exchange: Exchange): Promise<Readonly<Record<string, unknown>>> {
  const text = (await readAll(exchange)).toString('utf8');
  requireType(exchange, 'application/json');
  if (text.trim() === '') return {};
  const value = parse(text);
  if (value === null || typeof value !== 'object' || Array.isArray(value)) {
    throw new HttpError(400, 'the body must be a JSON object');
  }
  return value as Readonly<Record<string, unknown>>;
}

/** Throws HttpError 415 unless the request says that its body is of `type`. */
export function requireType({ request }: Exchange, type: string): void {
  const given = (request.headers['content-type'] ?? '').split(';')[0]!.trim().toLowerCase();
  if (given !== type) throw new HttpError(415, `Content-Type must be ${type}, not ${given || 'absent'}`);
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch (error) {
    throw new HttpError(400, `the body is not JSON: ${(error as Error).message}`);
  }
}

/** The request's body; leaving the loop early leaves the connection open for the answer. */
export function received(request: IncomingMessage): AsyncIterable<Buffer> {
  return request.iterator({ destroyOnReturn: false }) as AsyncIterable<Buffer>;
}

/**
 * Sends chunks as they come, as fast as the client reads. Nothing is sent
 * before the first chunk, so that an error until then still gets its status.
 */
export async function answerStream(
  { request, response }: Exchange,
  chunks: AsyncIterable<Buffer>,
): Promise<void> {
  if (request.method === 'HEAD') {
    response.end();
    return;
  }
  for await (const chunk of chunks) {
    if (response.destroyed) return;
    if (!response.write(chunk)) await writable(response);
  }
  response.end();
}

function writable(response: ServerResponse): Promise<void> {
  return new Promise(resolve => {
    const go = () => {
      response.off('drain', go);
      response.off('close', go);
      resolve();
    };
    response.on('drain', go);
    response.on('close', go);
  });
}

async function readAll({ request }: Exchange): Promise<Buffer> {
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of received(request)) {
    size += chunk.length;
    if (size > jsonLimit) throw new HttpError(413, `the body is larger than ${jsonLimit} bytes`);
    chunks.push(chunk);
  }
  return Buffer.concat(chunks);
}
