/** What the listener's tests share: a recorded spool, a client that speaks raw bytes, a certificate. */
import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { connect as connectTls } from 'node:tls';
import type { ListenerConfig } from '../../../relay/config/config.ts';
import { type Listener, openListener } from '../../../relay/inbound/listener.ts';
import type { MessageId } from '../../../relay/spool/message.ts';
import { type Arrival, type Draft, type Spool, SpoolError } from '../../../relay/spool/spool.ts';
import type { RelayEvent } from '../../../relay/telemetry/events.ts';
import { type CertificatePair, createAuthority } from '../../smtp/certificates.ts';

export interface Stored {
  readonly id: string;
  readonly arrival: Arrival;
  readonly body: string;
}

/** begin and commit of a spool in memory, with faults on demand. */
export class FakeSpool {
  readonly stored: Stored[] = [];
  /** Drafts neither committed nor aborted. */
  open = 0;
  aborted = 0;
  low = false;
  failed: string | undefined;
  failBegin: Error | undefined;
  failWrite: Error | undefined;
  failCommit: Error | undefined;
  /** Awaited by every write, and by every commit. */
  beforeWrite: (() => Promise<void>) | undefined;
  beforeCommit: (() => Promise<void>) | undefined;
  written = 0;
  #serial = 0;

  begin(): Draft {
    if (this.failBegin) throw this.failBegin;
    this.open++;
    const spool = this;
    const id = String(++this.#serial).padStart(17, '0') as MessageId;
    const chunks: Buffer[] = [];
    let isOver = false;
    const finish = (): boolean => {
      const first = !isOver;
      if (first) spool.open--;
      isOver = true;
      return first;
    };
    return {
      id,
      async write(chunk) {
        await spool.beforeWrite?.();
        if (spool.failWrite) throw spool.failWrite;
        spool.written += chunk.length;
        chunks.push(Buffer.from(chunk));
        // The buffer is the spool's now: whoever still uses it notices.
        chunk.fill(0x58);
      },
      async commit(arrival) {
        await spool.beforeCommit?.();
        if (spool.failCommit) throw spool.failCommit;
        if (isOver) throw new Error('commit after the end');
        finish();
        spool.stored.push({ id, arrival, body: Buffer.concat(chunks).toString('latin1') });
      },
      abort() {
        if (finish()) spool.aborted++;
      },
    };
  }

  disk(): ReturnType<Spool['disk']> {
    return { freeBytes: 10_000_000_000, totalBytes: 20_000_000_000, reserveBytes: 1000, low: this.low };
  }

  failure(): string | undefined {
    return this.failed;
  }
}

export const diskFull = (): SpoolError => new SpoolError('disk-full', 'no space');
export const ioError = (): SpoolError => new SpoolError('io', 'fsync failed');

export const defaults: ListenerConfig = {
  host: '127.0.0.1',
  port: 0,
  hostname: 'relay.test',
  maxMessageBytes: 1_000_000,
  maxRecipients: 5,
  maxConnections: 100,
  maxConnectionsPerClient: 50,
  allowedNetworks: ['127.0.0.0/8', '::1'],
  accounts: [],
  requireAuth: false,
  allowClearTextAuth: false,
  bareNewlines: 'refuse',
  idleTimeoutMs: 60_000,
  dataTimeoutMs: 60_000,
  maxReceivedHeaders: 3,
};

export interface Rig {
  readonly listener: Listener;
  readonly spool: FakeSpool;
  readonly events: RelayEvent[];
  /** The clock the listener sees. */
  now: number;
  readonly config: ListenerConfig;
  /** Connected to that address, default 127.0.0.1. */
  client(host?: string): Promise<Client>;
  refusals(): string[];
  [Symbol.asyncDispose](): Promise<void>;
}

export async function openRig(
  changes: Partial<ListenerConfig> = {},
  spool: FakeSpool = new FakeSpool(),
): Promise<Rig> {
  const events: RelayEvent[] = [];
  const clients: Client[] = [];
  const config = { ...defaults, ...changes };
  const rig = { now: Date.UTC(2026, 10, 2) };
  const listener = await openListener(config, {
    spool: spool as unknown as Spool,
    emit: event => events.push(event),
    now: () => rig.now,
  });
  return Object.assign(rig, {
    listener,
    spool,
    events,
    config,
    async client(host?: string) {
      const client = await Client.open(listener.address.port, host);
      clients.push(client);
      return client;
    },
    refusals: () => events.flatMap(event => (event.event === 'message-refused' ? [event.reason] : [])),
    async [Symbol.asyncDispose]() {
      for (const client of clients) client.destroy();
      await listener.close(0);
    },
  });
}

/** Speaks SMTP by hand. */
export class Client {
  socket: Socket;
  /** All that has come and was not yet taken by reply(). */
  #text = '';
  /** Sizes and contents of the 'data' events. */
  segments: string[] = [];
  #waiting: (() => void) | undefined;
  ended = false;
  readonly #raw: Socket;

  constructor(socket: Socket) {
    this.socket = socket;
    this.#raw = socket;
    this.#listen(socket);
  }

  static async open(port: number, host = '127.0.0.1'): Promise<Client> {
    const socket = connect({ port, host, noDelay: true });
    const client = new Client(socket);
    await once(socket, 'connect');
    return client;
  }

  #listen(socket: Socket): void {
    socket.on('data', (chunk: Buffer) => {
      this.segments.push(chunk.toString());
      this.#text += chunk.toString();
      this.#waiting?.();
    });
    socket.on('error', () => undefined);
    socket.on('close', () => {
      this.ended = true;
      this.#waiting?.();
    });
    socket.on('end', () => {
      this.ended = true;
      this.#waiting?.();
    });
  }

  /** The next complete reply, all its lines; '' when the connection ended instead. */
  async reply(): Promise<string> {
    for (;;) {
      const match = /^(?:\d{3}-.*\r\n)*\d{3} .*\r\n/.exec(this.#text);
      if (match) {
        this.#text = this.#text.slice(match[0].length);
        return match[0].trimEnd();
      }
      if (this.ended) return '';
      await new Promise<void>(resolve => {
        this.#waiting = resolve;
      });
    }
  }

  write(data: string | Buffer): void {
    this.socket.write(typeof data === 'string' ? Buffer.from(data, 'utf8') : data);
  }

  /** Sends a line and returns its reply. */
  say(line: string): Promise<string> {
    this.write(`${line}\r\n`);
    return this.reply();
  }

  /** Greeting and EHLO. */
  async hello(): Promise<string> {
    await this.reply();
    return this.say('EHLO client.test');
  }

  /** A transaction up to the final dot; returns the last reply. */
  async send(body: string, from = 'a@example.com', to = ['b@example.com']): Promise<string> {
    const commands = [`MAIL FROM:<${from}>`, ...to.map(address => `RCPT TO:<${address}>`), 'DATA'];
    for (const command of commands) {
      const reply = await this.say(command);
      if (!/^[23]/.test(reply)) return reply;
    }
    return this.say(`${body}\r\n.`);
  }

  async startTls(): Promise<void> {
    await this.say('STARTTLS');
    const raw = this.socket;
    raw.removeAllListeners('data');
    raw.removeAllListeners('end');
    const secure = connectTls({ socket: raw, rejectUnauthorized: false });
    secure.on('error', () => undefined);
    await once(secure, 'secureConnect');
    this.socket = secure;
    this.#listen(secure);
  }

  /** Resolves when the server has closed. */
  async closed(): Promise<void> {
    while (!this.ended) {
      await new Promise<void>(resolve => {
        this.#waiting = resolve;
      });
    }
  }

  destroy(): void {
    this.socket.destroy();
  }

  /** Ends the connection by RST, also below TLS. */
  reset(): void {
    this.#raw.resetAndDestroy();
  }
}

const testAuthority = createAuthority('Listener tests');

/** The authority's certificate, for clients that verify. */
export const authorityCertificate = testAuthority.certificate;

/** A fresh certificate for this name, the address and localhost. */
export function makeCertificate(name = 'localhost'): CertificatePair {
  return testAuthority.issue({ names: [name, '127.0.0.1', 'localhost'] });
}

/** Waits until something is so; fails after five seconds. */
export async function until(condition: () => boolean, what: string): Promise<void> {
  const deadline = Date.now() + 5000;
  while (!condition()) {
    if (Date.now() > deadline) throw new Error(`never happened: ${what}`);
    await new Promise(resolve => setImmediate(resolve));
  }
}
