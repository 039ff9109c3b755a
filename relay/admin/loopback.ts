/**
 * Lets only programs on this machine through. The port is bound to loopback,
 * so what is left to refuse is a web browser on this machine that was sent
 * here by a page: by a name that resolves to 127.0.0.1 (DNS rebinding: Host is
 * that name) or by the address itself (Origin is that page's).
 */
import type { IncomingMessage } from 'node:http';
import { isIPv4 } from 'node:net';
import { HttpError } from './http-error.ts';

/** Throws HttpError 403 unless the request comes from this machine and means it. */
export function requireLoopback(request: IncomingMessage): void {
  if (!isLoopback(request.socket.remoteAddress ?? '')) {
    throw new HttpError(403, 'queue operations are for clients on this machine only');
  }
  if (!isLoopback(hostname(request.headers.host ?? ''))) {
    throw new HttpError(403, 'the Host header must be 127.0.0.1, localhost or [::1]');
  }
  if (request.headers.origin !== undefined || request.headers['sec-fetch-site'] === 'cross-site') {
    throw new HttpError(403, 'queue operations are not for web pages');
  }
}

function hostname(host: string): string {
  const parts = /^(\[[0-9a-f:.]+\]|[^:]+)(?::\d{1,5})?$/i.exec(host);
  return (parts?.[1] ?? '').replace(/^\[|\]$/g, '').toLowerCase();
}

function isLoopback(address: string): boolean {
  const plain = address.replace(/^::ffff:/, '');
  return plain === 'localhost' || plain === '::1' || (isIPv4(plain) && plain.startsWith('127.'));
}
