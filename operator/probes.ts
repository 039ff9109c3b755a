/** /healthz, /readyz and /metrics of the operator. Tells; changes nothing. */
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { Registry } from 'prom-client';
import { listenOn } from '../relay/config/endpoint.ts';

export interface ProbesOptions {
  readonly host: string;
  /** 0 = any free one. */
  readonly port: number;
  readonly registry: Registry;
  /** Why only a new process can help, or undefined. */
  readonly unhealthy: () => string | undefined;
  /** Why it cannot work yet, or undefined. */
  readonly unready: () => string | undefined;
}

export interface Probes {
  readonly port: number;
  close(): Promise<void>;
}

/** Rejects when the port cannot be had. */
export async function serveProbes(options: ProbesOptions): Promise<Probes> {
  const server = createServer((request, response) => {
    void answer(request.url ?? '/', options).then(({ code, type, text }) => {
      response.writeHead(code, { 'Content-Type': type, 'Cache-Control': 'no-store' }).end(text);
    });
  });
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(listenOn(options.host, options.port), resolve);
  });
  return { port: (server.address() as AddressInfo).port, close: () => closed(server) };
}

interface Answer {
  readonly code: number;
  readonly type: string;
  readonly text: string;
}

async function answer(url: string, { registry, unhealthy, unready }: ProbesOptions): Promise<Answer> {
  const plain = 'text/plain; charset=utf-8';
  const probe = (why: string | undefined): Answer => ({
    code: why === undefined ? 200 : 503,
    type: plain,
    text: `${why ?? 'ok'}\n`,
  });
  switch (url.split('?')[0]) {
    case '/healthz':
      return probe(unhealthy());
    case '/readyz':
      return probe(unready());
    case '/metrics':
      return { code: 200, type: registry.contentType, text: await registry.metrics() };
    default:
      return { code: 404, type: plain, text: 'not found: /healthz, /readyz, /metrics\n' };
  }
}

function closed(server: Server): Promise<void> {
  server.closeAllConnections();
  return new Promise(resolve => server.close(() => resolve()));
}
