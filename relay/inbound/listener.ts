/**
 * The SMTP listener: takes messages from the programs around it into the
 * spool. It promises (250) only what the spool has on disk; it sends for the
 * allowed networks and for authenticated clients only; it changes nothing in
 * a message but the lines it puts in front.
 */
import { once } from 'node:events';
import type { AddressInfo, Socket } from 'node:net';
import { SMTPServer, type SMTPServerAuthentication, type SMTPServerSession } from 'smtp-server';
import type { ListenerConfig } from '../config/config.ts';
import { listenOn } from '../config/endpoint.ts';
import type { Spool } from '../spool/spool.ts';
import type { Emit } from '../telemetry/events.ts';
import { Authenticator } from './authenticator.ts';
import { clientError } from './client-error.ts';
import { ConnectionCount } from './connection-count.ts';
import type { ListenerContext } from './context.ts';
import { MailConnection } from './mail-connection.ts';
import { compilePolicy } from './policy.ts';
import { SenderRateLimit } from './sender-rates.ts';

export interface ListenerDeps {
  readonly spool: Spool;
  readonly emit: Emit;
  /** Milliseconds since the epoch. */
  readonly now: () => number;
}

export interface Listener {
  readonly address: { readonly host: string; readonly port: number };
  /**
   * Applies limits, networks, accounts, rates, name and certificate to what
   * begins from now on; open TLS sessions stay. Host and port stay as they
   * were. Throws and changes nothing when a network or the certificate is bad.
   */
  reconfigure(config: ListenerConfig): void;
  /** Clients connected now. */
  connections(): number;
  /** Whether new clients may hand in mail: not after stopAccepting(). */
  accepts(): boolean;
  /** 421 4.3.2 to new clients, to idle ones now, to busy ones after their transaction. */
  stopAccepting(): void;
  /** Takes mail again after stopAccepting(); not after close(). */
  resumeAccepting(): void;
  /**
   * stopAccepting(), then resolves when every client is gone. After
   * `deadlineMs` the transactions still open get 421 and are dropped, only a
   * commit that has begun is waited for: it is answered.
   */
  close(deadlineMs: number): Promise<void>;
}

/** How long clients have to close their side once all transactions are over. */
const FAREWELL_MS = 500;

/** Rejects when the address cannot be bound, or a network or the certificate is bad. */
export async function openListener(config: ListenerConfig, deps: ListenerDeps): Promise<Listener> {
  const { spool, emit, now } = deps;
  const context: ListenerContext = {
    spool,
    emit,
    now,
    rates: new SenderRateLimit(),
    admitted: new ConnectionCount(),
    policy: compilePolicy(config),
    offersTls: config.tls !== undefined,
    stopping: false,
  };
  const server = new RelayServer(config, context);
  await server.bind(config.host, config.port);
  const { address: host, port } = server.server.address() as AddressInfo;
  return {
    address: { host, port },
    reconfigure: next => server.reconfigure(next),
    connections: () => context.admitted.total,
    accepts: () => !context.stopping,
    stopAccepting: () => server.stopAccepting(),
    resumeAccepting: () => server.resumeAccepting(),
    close: deadlineMs => server.shutDown(deadlineMs),
  };
}

class RelayServer extends SMTPServer {
  readonly #context: ListenerContext;
  readonly #authenticator: Authenticator;
  /** Every socket there is, those refused and closing included. */
  readonly #clients = new Set<MailConnection>();
  #closed: Promise<void> | undefined;
  #noticeGone: (() => void) | undefined;

  constructor(config: ListenerConfig, context: ListenerContext) {
    super({
      name: config.hostname,
      authOptional: true,
      authMethods: ['PLAIN', 'LOGIN'],
      // Decided per connection in mail-connection.ts.
      allowInsecureAuth: true,
      hideENHANCEDSTATUSCODES: false,
      disableReverseLookup: true,
      logger: false,
      minVersion: 'TLSv1.2',
      // A client may say all it has to say, close its side and wait for the answers.
      allowHalfOpen: true,
      ...(config.tls && { cert: config.tls.certificate, key: config.tls.key }),
    });
    this.#context = context;
    this.#authenticator = new Authenticator(context);
  }

  async bind(host: string, port: number): Promise<void> {
    // The failure to bind is the caller's, who gets it from once(); later ones (too many open files) pass and are told.
    let isBound = false;
    this.on('error', (error: Error) => {
      if (isBound) this.#context.emit(clientError('listener', error));
    });
    this.listen(listenOn(host, port));
    await once(this.server, 'listening');
    isBound = true;
  }

  /** Without a certificate of its own there is no TLS: the library's built-in one is public. */
  override updateSecureContext(options?: { key?: string; cert?: string } | null): void {
    Object.assign(this.options, options);
    if (this.options.key !== undefined) super.updateSecureContext();
    else this.secureContext = new Map();
  }

  override onAuth(
    auth: SMTPServerAuthentication,
    session: SMTPServerSession,
    callback: Parameters<SMTPServer['onAuth']>[2],
  ): void {
    this.#authenticator.authenticate(auth, session, callback);
  }

  /** No PROXY protocol: the connection is ready at once, and needs no random name. */
  override _handleProxy(_socket: Socket, callback: Parameters<SMTPServer['_handleProxy']>[1]): void {
    callback(null, { id: '-' });
  }

  override connect(socket: Socket): void {
    // Even a refusal costs a socket for as long as the client likes to read it; there is an end to that too.
    if (this.#clients.size >= 2 * this.#context.policy.config.maxConnections + 10) {
      socket.on('error', () => undefined);
      socket.destroy();
      return;
    }
    const connection = new MailConnection(this, socket, this.#context);
    this.#clients.add(connection);
    connection.watch(() => {
      // A message whose commit runs is waited for even when its client has gone.
      if (connection.gone && !connection.inTransaction) this.#clients.delete(connection);
      this.#noticeGone?.();
    });
    connection.init();
  }

  reconfigure(config: ListenerConfig): void {
    const policy = compilePolicy(config);
    const { key, cert } = this.options;
    const contexts = this.secureContext;
    try {
      this.updateSecureContext({ key: config.tls?.key, cert: config.tls?.certificate } as { key?: string });
    } catch (cause) {
      Object.assign(this.options, { key, cert });
      this.secureContext = contexts;
      throw new Error('the certificate or key of the listener cannot be used', { cause });
    }
    this.options.name = config.hostname;
    this.#context.policy = policy;
    this.#context.offersTls = config.tls !== undefined;
  }

  stopAccepting(): void {
    if (this.#context.stopping) return;
    this.#context.stopping = true;
    for (const client of this.#clients) client.shutDown();
  }

  resumeAccepting(): void {
    if (this.#closed === undefined) this.#context.stopping = false;
  }

  shutDown(deadlineMs: number): Promise<void> {
    this.#closed ??= this.#shutDown(deadlineMs);
    return this.#closed;
  }

  async #shutDown(deadlineMs: number): Promise<void> {
    this.stopAccepting();
    this.server.close();
    await this.#until(() => ![...this.#clients].some(client => client.inTransaction), deadlineMs);
    for (const client of this.#clients) client.cutOff();
    await this.#until(() => ![...this.#clients].some(client => client.committing), undefined);
    await this.#until(() => this.#clients.size === 0, Math.min(deadlineMs, FAREWELL_MS));
    for (const client of this.#clients) client.destroy();
    await this.#until(() => this.#clients.size === 0, undefined);
  }

  /** Resolves when the condition holds, checked whenever a client is done or gone, or after the time. */
  #until(condition: () => boolean, ms: number | undefined): Promise<void> {
    if (condition()) return Promise.resolve();
    return new Promise(resolve => {
      const finish = (): void => {
        clearTimeout(timer);
        this.#noticeGone = undefined;
        resolve();
      };
      const timer = ms === undefined ? undefined : setTimeout(finish, ms);
      this.#noticeGone = () => {
        if (condition()) finish();
      };
    });
  }
}
