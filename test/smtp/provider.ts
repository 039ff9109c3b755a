/**
 * A scripted SMTP provider: real sockets, real TLS, correct ESMTP by default
 * and any fault on demand. Used by the tests, the demonstration and, with
 * `keep: 'count'`, as the sink of the benchmarks. Never for production.
 */
import { createServer, type Server, type Socket } from 'node:net';
import { createSecureContext, type SecureContext, type SecureVersion } from 'node:tls';
import { type CertificatePair, serverCertificate } from './certificates.ts';
import { ProviderSession, type SessionHost } from './provider-session.ts';
import type { SessionRecord, TransactionRecord } from './record.ts';
import { chooser, type Script } from './script.ts';

export interface ProviderOptions {
  /** Address to listen on. Default 127.0.0.1. */
  readonly host?: string;
  /** Default: a free one below the range of ephemeral ports, so that nothing takes it while down. */
  readonly port?: number;
  /** Name in greeting and EHLO. Default provider.test. */
  readonly hostname?: string;
  /** EHLO keywords but SIZE, STARTTLS and AUTH. Default PIPELINING, 8BITMIME, SMTPUTF8, ENHANCEDSTATUSCODES. */
  readonly extensions?: readonly string[];
  /** EHLO SIZE and its enforcement, bytes; 0 = not announced and no limit. Default 52428800. */
  readonly maxSize?: number;
  readonly maxRecipients?: number;
  /** Default none. */
  readonly tls?: 'none' | 'starttls' | 'implicit';
  /** Default serverCertificate(). */
  readonly certificate?: CertificatePair;
  readonly minVersion?: SecureVersion;
  readonly maxVersion?: SecureVersion;
  /** Names and passwords; any makes AUTH offered. Change them live through `provider.users`. */
  readonly users?: Readonly<Record<string, string>>;
  /** Default PLAIN and LOGIN; CRAM-MD5 is there too. */
  readonly mechanisms?: readonly string[];
  /** Offer AUTH in clear. Default false. */
  readonly authWithoutTls?: boolean;
  /** 530 to MAIL without authentication. Default: when there are users. */
  readonly requireAuth?: boolean;
  /**
   * all: sessions, commands, bodies. headers: the first 16 KiB of each body.
   * count: counters alone; sessions and messages are not remembered. Default all.
   */
  readonly keep?: 'all' | 'headers' | 'count';
  readonly script?: Script;
  /** Called for each message received, also with keep: 'count'. */
  readonly onMessage?: (message: TransactionRecord) => void;
}

export interface ProviderCounters {
  connections: number;
  connectionsNow: number;
  /** The most that were open at one time. */
  connectionsMost: number;
  transactions: number;
  messages: number;
  /** Recipients of received messages. */
  recipients: number;
  /** Body bytes of received messages, as on the wire. */
  bytes: number;
  /** Date.now() of the last message received. */
  lastAt: number;
}

export interface ScriptedProvider {
  readonly host: string;
  readonly port: number;
  readonly users: Map<string, string>;
  readonly counters: Readonly<ProviderCounters>;
  readonly sessions: readonly SessionRecord[];
  /** Every MAIL that was accepted, complete or not. */
  readonly transactions: readonly TransactionRecord[];
  /** What counts as received: answered 2xx, or taken. */
  readonly messages: readonly TransactionRecord[];
  /** Replaces the script; {} makes it normal. Acts at the next stage reached, in running sessions too. */
  follow(script: Script): void;
  /** Replaces the certificate of new handshakes. */
  present(certificate: CertificatePair): void;
  /** Lets everything that stalls go on normally. */
  release(): void;
  /** Says this in every open session, asked or not: `421 4.4.2 idle\r\n`. */
  speak(text: string): void;
  /** Stops listening and, unless told otherwise, destroys the connections. The port is kept for up(). */
  down(options?: { readonly keepConnections?: boolean }): Promise<void>;
  /** Listens again, and ends a black hole. */
  up(): Promise<void>;
  /** From now on connections are accepted and never spoken to, running ones fall silent too. */
  blackHole(): void;
  /** Stops for good. */
  close(): Promise<void>;
}

const DEFAULTS = {
  hostname: 'provider.test',
  extensions: ['PIPELINING', '8BITMIME', 'SMTPUTF8', 'ENHANCEDSTATUSCODES'],
  maxRecipients: Number.POSITIVE_INFINITY,
  tls: 'none',
  mechanisms: ['PLAIN', 'LOGIN'],
  authWithoutTls: false,
} as const;
const KEPT = { all: Number.POSITIVE_INFINITY, headers: 16_384, count: 0 } as const;

const randomPort = (): number => 12_000 + Math.floor(Math.random() * 20_000);

function listen(server: Server, host: string, port: number): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    server.listen({ host, port, backlog: 1024 }, () => {
      server.off('error', reject);
      resolve();
    });
  });
}

class Provider implements ScriptedProvider {
  readonly host: string;
  readonly users: Map<string, string>;
  readonly sessions: SessionRecord[] = [];
  readonly transactions: TransactionRecord[] = [];
  readonly messages: TransactionRecord[] = [];
  readonly counters: ProviderCounters = {
    connections: 0,
    connectionsNow: 0,
    connectionsMost: 0,
    transactions: 0,
    messages: 0,
    recipients: 0,
    bytes: 0,
    lastAt: 0,
  };
  readonly #options: ProviderOptions;
  readonly #open = new Map<Socket, ProviderSession>();
  readonly #stalled = new Set<() => void>();
  readonly #sessionHost: SessionHost;
  #server: Server | undefined;
  #port: number;
  #script: Script;
  #choose: ReturnType<typeof chooser>;
  #certificate: CertificatePair | undefined;
  #context: SecureContext | undefined;
  #silent = false;

  constructor(options: ProviderOptions) {
    this.#options = options;
    this.host = options.host ?? '127.0.0.1';
    this.#port = options.port ?? 0;
    this.users = new Map(Object.entries(options.users ?? {}));
    this.#script = options.script ?? {};
    this.#choose = chooser(this.#script);
    this.#certificate = options.certificate;
    this.#sessionHost = this.#describe();
  }

  get port(): number {
    return this.#port;
  }

  follow(script: Script): void {
    this.#script = script;
    this.#choose = chooser(script);
  }

  present(certificate: CertificatePair): void {
    this.#certificate = certificate;
    this.#context = undefined;
  }

  release(): void {
    for (const go of [...this.#stalled]) go();
  }

  speak(text: string): void {
    for (const session of this.#open.values()) session.speak(text);
  }

  async up(): Promise<void> {
    this.#silent = false;
    for (let tries = 0; this.#server === undefined; tries++) {
      await this.#listen().catch((error: NodeJS.ErrnoException) => {
        if (error.code !== 'EADDRINUSE' || tries > 50) throw error;
        return this.#port === 0 ? undefined : new Promise(resolve => setTimeout(resolve, 50));
      });
    }
  }

  async #listen(): Promise<void> {
    const server = createServer({ noDelay: true }, socket => this.#accept(socket));
    const port = this.#port === 0 ? randomPort() : this.#port;
    await listen(server, this.host, port);
    this.#server = server;
    this.#port = port;
  }

  async down(options: { readonly keepConnections?: boolean } = {}): Promise<void> {
    const server = this.#server;
    this.#server = undefined;
    const closed = new Promise<void>(resolve =>
      server === undefined ? resolve() : server.close(() => resolve()),
    );
    if (options.keepConnections === true) return;
    for (const [socket, session] of this.#open) {
      session.destroy();
      socket.destroy();
    }
    await closed;
  }

  blackHole(): void {
    this.#silent = true;
  }

  async close(): Promise<void> {
    await this.down();
    this.#stalled.clear();
  }

  #accept(socket: Socket): void {
    const { counters } = this;
    counters.connections++;
    counters.connectionsNow++;
    counters.connectionsMost = Math.max(counters.connectionsMost, counters.connectionsNow);
    const session = new ProviderSession(socket, counters.connections, this.#sessionHost);
    this.#open.set(socket, session);
    if (this.#options.keep !== 'count') this.sessions.push(session.record);
    socket.once('close', () => {
      counters.connectionsNow--;
      session.record.closedAt = Date.now();
      this.#open.delete(socket);
    });
    session.start();
  }

  #describe(): SessionHost {
    const { maxSize = 52_428_800, keep = 'all', ...options } = this.#options;
    const sizeKeyword = maxSize > 0 ? [`SIZE ${maxSize}`] : [];
    return {
      ...DEFAULTS,
      ...options,
      extensions: [...(options.extensions ?? DEFAULTS.extensions), ...sizeKeyword],
      maxSize: maxSize > 0 ? maxSize : Number.POSITIVE_INFINITY,
      users: this.users,
      requireAuth: options.requireAuth ?? this.users.size > 0,
      keepBytes: KEPT[keep],
      transcript: keep === 'all',
      stalled: this.#stalled,
      choose: moment => (this.#silent ? { do: 'stall' } : this.#choose(moment)),
      bodyAfterBytes: () => this.#script.bodyAfterBytes ?? 0,
      spoil: () => this.#script.spoil,
      secureContext: () => this.#secureContext(),
      began: transaction => {
        this.counters.transactions++;
        if (keep !== 'count') this.transactions.push(transaction);
      },
      received: transaction => this.#received(transaction, keep !== 'count'),
    };
  }

  #received(transaction: TransactionRecord, remember: boolean): void {
    const { counters } = this;
    counters.messages++;
    counters.recipients += transaction.recipients.length;
    counters.bytes += transaction.size;
    counters.lastAt = Date.now();
    if (remember) this.messages.push(transaction);
    this.#options.onMessage?.(transaction);
  }

  #secureContext(): SecureContext {
    const { minVersion, maxVersion } = this.#options;
    const { certificate, key } = this.#certificate ?? serverCertificate();
    this.#context ??= createSecureContext({
      cert: certificate,
      key,
      ...(minVersion === undefined ? {} : { minVersion }),
      ...(maxVersion === undefined ? {} : { maxVersion }),
    });
    return this.#context;
  }
}

/** Starts a provider; it listens when the promise resolves. */
export async function startProvider(options: ProviderOptions = {}): Promise<ScriptedProvider> {
  const provider = new Provider(options);
  await provider.up();
  return provider;
}
