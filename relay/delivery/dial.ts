/**
 * From a provider's name to a connected socket, encrypted when `ssl` asks for
 * TLS from the first byte. One time limit covers DNS and TCP, another the TLS
 * handshake; whatever fails is told apart by stage.
 */
import { connect, isIP, type Socket } from 'node:net';
import { type ConnectionOptions, connect as connectTls } from 'node:tls';
import type { ProviderConfig } from '../config/config.ts';
import { explain } from './channel.ts';
import { type Failure, SessionError } from './failure.ts';

/** NAT and firewalls forget idle connections after minutes; probes keep pooled ones alive or find them dead. */
const KEEPALIVE_DELAY_MS = 30_000;

/**
 * Options of the TLS handshake with this provider, implicit or STARTTLS.
 * The certificate must be valid for `tls.serverName`, else the host. With
 * STARTTLS that nothing demands and nothing said about certificates, TLS is
 * used because it is there: an unverified one still hides the mail from all
 * who only listen, and refusing it would leave clear text (RFC 7435).
 * Credentials demand it, and are never sent that way.
 */
export function tlsOptions(provider: ProviderConfig): ConnectionOptions {
  const { host, tls } = provider;
  const name = tls.serverName ?? host;
  const opportunistic = !tls.required && tls.ca === undefined && tls.serverName === undefined;
  return {
    // The name that is verified; SNI must not be an address (RFC 6066 section 3).
    host: name,
    ...(isIP(name) === 0 ? { servername: name } : {}),
    ...(tls.ca === undefined ? {} : { ca: tls.ca }),
    minVersion: tls.minVersion,
    rejectUnauthorized: !tls.insecureSkipVerify && !opportunistic,
  };
}

/** Connects. Rejects with SessionError at stage dns, connect or tls. `signal` abandons the attempt. */
export async function dial(provider: ProviderConfig, signal: AbortSignal): Promise<Socket> {
  const { host, port, timeouts } = provider;
  let stage: 'dns' | 'connect' = isIP(host) === 0 ? 'dns' : 'connect';
  const socket = connect({
    host,
    port,
    noDelay: true,
    keepAlive: true,
    keepAliveInitialDelay: KEEPALIVE_DELAY_MS,
    autoSelectFamily: true,
    // Node.js gives up an address after 250 ms by default, less than some handshakes take.
    autoSelectFamilyAttemptTimeout: Math.max(250, Math.floor(timeouts.connectMs / 4)),
  });
  socket.on('lookup', (error: Error | null | undefined) => {
    if (!error) stage = 'connect';
  });
  // For good: once wrapped in TLS nobody else listens, and an error without a listener ends the program.
  socket.on('error', () => undefined);
  const where = `${host}:${port}`;
  await reached(socket, 'connect', {
    ms: timeouts.connectMs,
    signal,
    explain: cause => connectFailure(stage, where, cause),
  });
  return provider.ssl ? secure(socket, provider, signal) : socket;
}

async function secure(plain: Socket, provider: ProviderConfig, signal: AbortSignal): Promise<Socket> {
  const socket = startTls(plain, provider);
  await reached(socket, 'secureConnect', {
    ms: provider.timeouts.greetingMs,
    signal,
    explain: cause => ({ stage: 'tls', ...tlsFailure(cause) }),
  });
  return socket;
}

function startTls(plain: Socket, provider: ProviderConfig): Socket {
  try {
    return connectTls({ ...tlsOptions(provider), socket: plain });
  } catch (error) {
    // A CA that is no certificate throws at once.
    plain.destroy();
    const cause = error as Error;
    throw new SessionError({ stage: 'tls', ...tlsFailure(cause) }, cause);
  }
}

/** Why something was not reached. */
export type Obstacle = Error | 'timeout' | 'closed' | 'abandoned';

interface Way {
  readonly ms: number;
  readonly signal: AbortSignal;
  explain(cause: Obstacle): Failure;
}

/** Resolves at the event; on anything else destroys the socket and rejects with SessionError. */
function reached(socket: Socket, event: 'connect' | 'secureConnect', way: Way): Promise<void> {
  return new Promise((resolve, reject) => {
    const forget = () => {
      clearTimeout(timer);
      way.signal.removeEventListener('abort', onAbort);
      socket.off(event, onReached).off('error', fail).off('close', onClose);
    };
    const fail = (cause: Obstacle) => {
      forget();
      socket.on('error', () => undefined);
      socket.destroy();
      reject(new SessionError(way.explain(cause), cause instanceof Error ? cause : undefined));
    };
    const onReached = () => {
      forget();
      resolve();
    };
    const onAbort = () => fail('abandoned');
    const onClose = () => fail('closed');
    const timer = setTimeout(fail, way.ms, 'timeout');
    socket.once(event, onReached).once('error', fail).once('close', onClose);
    way.signal.addEventListener('abort', onAbort);
    if (way.signal.aborted) onAbort();
  });
}

function connectFailure(stage: 'dns' | 'connect', where: string, cause: Obstacle): Failure {
  if (cause === 'timeout') {
    const what = stage === 'dns' ? 'could be resolved' : 'answered';
    return { stage, fault: 'timeout', message: `${where}: nothing ${what} in time` };
  }
  if (!(cause instanceof Error)) return { stage, fault: 'lost', message: `${where}: ${describe(cause)}` };
  const error = cause instanceof AggregateError ? ((cause.errors[0] as Error | undefined) ?? cause) : cause;
  const { code, syscall } = error as NodeJS.ErrnoException;
  if (syscall === 'getaddrinfo' || code === 'ENOTFOUND') {
    return { stage: 'dns', fault: 'lost', message: `${where}: ${explain(error)}` };
  }
  return {
    stage: 'connect',
    fault: code === 'ETIMEDOUT' ? 'timeout' : 'lost',
    message: `${where}: ${explain(error)}`,
  };
}

/** Errors of the connection under TLS; all others are of TLS itself. */
const CONNECTION_ERRORS: ReadonlySet<string> = new Set(['ECONNRESET', 'EPIPE', 'ETIMEDOUT', 'ECONNABORTED']);

/** What a handshake that did not end well means. */
export function tlsFailure(cause: Obstacle): Omit<Failure, 'stage'> {
  if (cause === 'timeout') return { fault: 'timeout', message: 'the TLS handshake did not end in time' };
  if (!(cause instanceof Error)) return { fault: 'lost', message: `TLS handshake: ${describe(cause)}` };
  const { code, originalCode = code } = cause as NodeJS.ErrnoException & { originalCode?: string };
  const lost = originalCode !== undefined && CONNECTION_ERRORS.has(originalCode);
  return { fault: lost ? 'lost' : 'certificate', message: `TLS handshake: ${explain(cause)}` };
}

function describe(cause: 'closed' | 'abandoned' | 'timeout'): string {
  return cause === 'abandoned' ? 'abandoned by the relay' : 'the provider closed the connection';
}
