/**
 * The endpoint on the pod's address: probes, /metrics and /status. It only
 * tells; nothing can be changed through it.
 */
import { answerJson, answerText } from './answer.ts';
import { type HttpEndpoint, type Route, serveHttp, type Trouble } from './http.ts';
import { statusDocument, unhealthy, unready } from './status.ts';
import type { MetricsSource, RelayView } from './view.ts';

export interface HealthOptions {
  readonly host: string;
  readonly port: number;
  readonly view: RelayView;
  readonly metrics: MetricsSource;
  /** Default Date.now. */
  readonly now?: () => number;
  readonly trouble?: Trouble;
}

/** Opens it. Rejects when the port cannot be had. */
export function serveHealth(options: HealthOptions): Promise<HttpEndpoint> {
  return serveHttp({
    host: options.host,
    port: options.port,
    routes: healthRoutes(options),
    ...(options.trouble !== undefined && { trouble: options.trouble }),
  });
}

function healthRoutes({ view, metrics, now = Date.now }: HealthOptions): readonly Route[] {
  return [
    { method: 'GET', path: '/livez', handle: exchange => probe(exchange, unhealthy(view)) },
    { method: 'GET', path: '/readyz', handle: exchange => probe(exchange, unready(view)) },
    {
      method: 'GET',
      path: '/metrics',
      handle: async exchange => answerText(exchange, await metrics.render(), { type: metrics.contentType }),
    },
    { method: 'GET', path: '/status', handle: exchange => answerJson(exchange, statusDocument(view, now())) },
  ];
}

function probe(exchange: Parameters<Route['handle']>[0], why: string | undefined): void {
  answerText(exchange, why === undefined ? 'ok\n' : `${why}\n`, { status: why === undefined ? 200 : 503 });
}
