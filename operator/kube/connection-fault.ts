/** Names what went wrong below HTTP: from the many codes of sockets, TLS, DNS and undici to one of a few kinds. */
import { ConnectionError, type ConnectionFaultKind } from './api-error.ts';

const kinds: Record<string, ConnectionFaultKind> = {
  ECONNREFUSED: 'refused',
  ENETUNREACH: 'refused',
  EHOSTUNREACH: 'refused',
  UND_ERR_CONNECT_TIMEOUT: 'refused',
  ECONNRESET: 'reset',
  EPIPE: 'reset',
  ECONNABORTED: 'reset',
  ETIMEDOUT: 'reset',
  UND_ERR_SOCKET: 'reset',
  UND_ERR_HEADERS_TIMEOUT: 'timeout',
  UND_ERR_BODY_TIMEOUT: 'timeout',
  UND_ERR_DESTROYED: 'closed',
  UND_ERR_CLOSED: 'closed',
  UND_ERR_ABORTED: 'closed',
  ERR_STREAM_PREMATURE_CLOSE: 'reset',
  ENOTFOUND: 'dns',
  EAI_AGAIN: 'dns',
};

/**
 * OpenSSL's names for certificates that do not verify, and for files that are none or do not go together, as while they
 * are being replaced; the rest of TLS begins with ERR_TLS or ERR_SSL.
 */
const certificateFault = /CERT|^ERR_TLS|^ERR_SSL|^ERR_OSSL|UNABLE_TO_|SELF_SIGNED|^EPROTO$|HOSTNAME_MISMATCH/;

/** Any error of a socket, of TLS or of undici as a ConnectionError; a ConnectionError stays itself. */
export function toConnectionError(error: unknown): ConnectionError {
  if (error instanceof ConnectionError) return error;
  const code = codeOf(error);
  const message = error instanceof Error ? error.message || code : String(error);
  return new ConnectionError(kindOf(code), `API server: ${message}`, error);
}

function codeOf(error: unknown): string {
  const { code, cause } = (error ?? {}) as { code?: unknown; cause?: unknown };
  if (typeof code === 'string') return code;
  return cause ? codeOf(cause) : '';
}

function kindOf(code: string): ConnectionFaultKind {
  const known = kinds[code];
  if (known) return known;
  if (certificateFault.test(code)) return 'tls';
  return code.startsWith('HPE_') ? 'protocol' : 'reset';
}

/** Whether the request surely never reached the server, so that repeating it is safe whatever it was. */
export function neverSent(error: ConnectionError): boolean {
  return error.kind === 'refused' || error.kind === 'dns' || error.kind === 'tls';
}
