/**
 * The transport of one who may write only while it leads: every try of a write asks again, and none waits so long for
 * its answer that somebody else may lead by then. Reads go through as they are. The lease itself must not use it.
 */
import { NotLeaderError } from './apply.ts';
import { longestWriteMs } from './lease.ts';
import type { ApiRequest, Transport } from './transport.ts';

/** Writes throw NotLeaderError as soon as `mayWrite` says no, also between two tries. */
export function guardWrites(transport: Transport, mayWrite: () => boolean): Transport {
  const beforeTry = (): void => {
    if (!mayWrite()) throw new NotLeaderError();
  };
  const guarded = (request: ApiRequest): ApiRequest => {
    if (request.method === 'GET') return request;
    return {
      ...request,
      beforeTry,
      timeoutMs: Math.min(request.timeoutMs ?? longestWriteMs, longestWriteMs),
    };
  };
  return {
    request: request => transport.request(guarded(request)),
    stream: request => transport.stream(request),
    close: () => transport.close(),
  };
}
