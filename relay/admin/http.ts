/**
 * A small HTTP/1.1 server for operations: a table of routes, JSON errors,
 * limits on everything a client can stretch. It serves no page, sets no
 * cookie, allows no other origin, and never lets a handler's exception escape.
 */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo, Socket } from 'node:net';
import { listenOn } from '../config/endpoint.ts';
import { roomFor } from './connection-room.ts';
import { HttpError, UnforeseenError } from './http-error.ts';

/** What a handler gets. Answer with the functions of answer.ts. */
export interface Exchange {
  readonly request: IncomingMessage;
  readonly response: ServerResponse;
  readonly query: URLSearchParams;
  /** What stood for `:id` in the route's path, decoded. */
  readonly id: string;
}

export interface Route {
  /** GET also answers HEAD. */
  readonly method: 'GET' | 'POST';
  /** `/v1/queue/:id/body`: at most one `:id`. */
  readonly path: string;
  readonly handle: (exchange: Exchange) => void | Promise<void>;
}

/** Told of exceptions that no handler foresaw; the client is told `reference` alone. */
export type Trouble = (failure: { readonly reference: string; readonly message: string }) => void;

export interface HttpOptions {
  readonly host: string;
  /** 0 = any free one. */
  readonly port: number;
  readonly routes: readonly Route[];
  /** Throws HttpError to refuse a request before it is routed. */
  readonly guard?: (request: IncomingMessage) => void;
  readonly trouble?: Trouble;
  /** Longest time a whole request may take to arrive; default 15 s. */
  readonly requestTimeoutMs?: number;
}

export interface HttpEndpoint {
  readonly host: string;
  readonly port: number;
  /** Stops accepting, ends idle connections, gives running answers 2 s. */
  close(): Promise<void>;
}

/** Larger than any prober's or scraper's headers. */
const maxHeaderBytes = 16 * 1024;
/** Probes, one Prometheus or two, an operator, a few people. */
const maxConnections = 64;
const headersTimeoutMs = 10_000;
const closeMs = 2000;

/** Resolves when it listens; rejects with the error of listen() (EADDRINUSE, EACCES). */
export async function serveHttp(options: HttpOptions): Promise<HttpEndpoint> {
  const server = createServer(
    {
      maxHeaderSize: maxHeaderBytes,
      headersTimeout: headersTimeoutMs,
      requestTimeout: options.requestTimeoutMs ?? 15_000,
      keepAliveTimeout: 5000,
      connectionsCheckingInterval: 5000,
    },
    (request, response) => void respond(request, response, options),
  );
  roomFor(server, maxConnections);
  server.on('clientError', (_error, socket) => {
    if (socket.writable) socket.write('HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n');
    // Half closed it would last for as long as a client likes that never closes its half.
    (socket as Socket).destroySoon();
  });
  await listening(server, options);
  const { address, port } = server.address() as AddressInfo;
  return { host: address, port, close: () => closed(server) };
}

function listening(server: Server, options: HttpOptions): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    server.listen(listenOn(options.host, options.port), () => {
      server.off('error', reject);
      resolve();
    });
  });
}

function closed(server: Server): Promise<void> {
  return new Promise(resolve => {
    const timer = setTimeout(() => server.closeAllConnections(), closeMs);
    server.close(() => {
      clearTimeout(timer);
      resolve();
    });
    server.closeIdleConnections();
  });
}

async function respond(
  request: IncomingMessage,
  response: ServerResponse,
  options: HttpOptions,
): Promise<void> {
  response.setHeader('Cache-Control', 'no-store');
  response.setHeader('X-Content-Type-Options', 'nosniff');
  response.on('error', () => {});
  try {
    options.guard?.(request);
    const { route, exchange } = find(request, response, options.routes);
    await route.handle(exchange);
  } catch (error) {
    // Who went away in the middle of a request is no failure of ours.
    if (request.destroyed && !request.complete) return;
    await discardRest(request);
    if (error instanceof HttpError)
      refuse(response, error.status, { error: error.message, ...error.details });
    else unforeseen(exception(error), request, { response, trouble: options.trouble });
  }
}

/** How much of a refused body is still read, so that a client in the middle of sending it gets to see why. */
const discardBytes = 64 * 1024 * 1024;

async function discardRest(request: IncomingMessage): Promise<void> {
  let size = 0;
  try {
    for await (const chunk of request.iterator({ destroyOnReturn: false })) {
      size += (chunk as Buffer).length;
      if (size > discardBytes) return;
    }
  } catch {
    // The client is gone; the answer goes nowhere, which is its choice.
  }
}

interface Found {
  readonly route: Route;
  readonly exchange: Exchange;
}

function find(request: IncomingMessage, response: ServerResponse, routes: readonly Route[]): Found {
  const { pathname, searchParams: query } = target(request);
  const method = request.method === 'HEAD' ? 'GET' : request.method;
  const allowed = new Set<string>();
  for (const route of routes) {
    const id = match(route.path, pathname);
    if (id === undefined) continue;
    if (route.method === method) return { route, exchange: { request, response, query, id } };
    allowed.add(route.method);
  }
  if (allowed.size === 0) throw new HttpError(404, `there is nothing at ${pathname.slice(0, 100)}`);
  if (allowed.has('GET')) allowed.add('HEAD');
  const list = [...allowed].join(', ');
  response.setHeader('Allow', list);
  throw new HttpError(
    405,
    `${request.method ?? ''} is not allowed at ${pathname.slice(0, 100)}; allowed: ${list}`,
  );
}

function target(request: IncomingMessage): URL {
  const url = request.url ?? '';
  // Only the origin form: 'http://x/…' and '//x/…' would make URL take a host from it.
  if (!url.startsWith('/') || url.startsWith('//') || !URL.canParse(`http://relay${url}`)) {
    throw new HttpError(400, 'the request target must be a path that begins with one slash');
  }
  return new URL(`http://relay${url}`);
}

/** The decoded `:id` ('' when the pattern has none), or undefined when the path is another one. */
function match(pattern: string, pathname: string): string | undefined {
  const wanted = pattern.split('/');
  const given = pathname.split('/');
  if (wanted.length !== given.length) return undefined;
  let id = '';
  for (const [i, part] of wanted.entries()) {
    if (part === ':id' && given[i] !== '') id = given[i]!;
    else if (part !== given[i]) return undefined;
  }
  return id;
}

function exception(error: unknown): UnforeseenError {
  return error instanceof UnforeseenError ? error : new UnforeseenError(error);
}

function unforeseen(
  error: UnforeseenError,
  { method, url }: IncomingMessage,
  { response, trouble }: { readonly response: ServerResponse; readonly trouble: Trouble | undefined },
): void {
  const { reference, details, trace } = error;
  // Without the query, which may hold addresses.
  const path = (url ?? '').split('?')[0]!.slice(0, 100);
  trouble?.({ reference, message: `${method} ${path}: ${trace}` });
  refuse(response, 500, { error: `${error.message}: see ${reference} in the log`, reference, ...details });
}

function refuse(response: ServerResponse, status: number, answer: Readonly<Record<string, unknown>>): void {
  // An answer already under way can only be cut off, so that it is not taken for a whole one.
  if (response.headersSent) {
    response.destroy();
    return;
  }
  response.statusCode = status;
  // The handler may have said how long the answer was going to be.
  response.removeHeader('Content-Length');
  response.setHeader('Connection', 'close');
  response.setHeader('Content-Type', 'application/json');
  response.end(`${JSON.stringify(answer)}\n`);
}
