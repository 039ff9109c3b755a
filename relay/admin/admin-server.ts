/**
 * The queue operations over HTTP, on 127.0.0.1 alone: who may reach that
 * address (kubectl exec, port-forward, a shell) may do all of it, nobody else
 * anything.
 */
import { answerJson } from './answer.ts';
import { type HttpEndpoint, type Route, serveHttp, type Trouble } from './http.ts';
import { requireLoopback } from './loopback.ts';
import { queueRoutes } from './queue-routes.ts';
import type { AdminOperations } from './view.ts';

export interface AdminOptions {
  /** 0 = any free one. */
  readonly port: number;
  readonly operations: AdminOperations;
  /** Default Date.now. */
  readonly now?: () => number;
  readonly trouble?: Trouble;
}

/** A large import over a slow pipe takes its time. */
const requestTimeoutMs = 10 * 60_000;

/** Opens it on 127.0.0.1. Rejects when the port cannot be had. */
export function serveAdmin(options: AdminOptions): Promise<HttpEndpoint> {
  const { operations, now = Date.now, trouble } = options;
  return serveHttp({
    host: '127.0.0.1',
    port: options.port,
    routes: [...queueRoutes(operations, now), ...programRoutes(operations)],
    guard: requireLoopback,
    requestTimeoutMs,
    ...(trouble !== undefined && { trouble }),
  });
}

function programRoutes(operations: AdminOperations): readonly Route[] {
  return [
    {
      method: 'POST',
      path: '/v1/reload',
      handle: async exchange => {
        const result = await operations.reload();
        // 422: understood, and refused for what the file says.
        answerJson(
          exchange,
          result.ok ? result : { ...result, error: result.errors.join('; ') },
          result.ok ? 200 : 422,
        );
      },
    },
    {
      method: 'POST',
      path: '/v1/verify',
      handle: async exchange => answerJson(exchange, { providers: await operations.verify() }),
    },
  ];
}
