/**
 * A minimal raw SMTP client for tests and load: says exactly what it is told,
 * in as many or as few writes as wanted, and gives back every reply. It knows
 * no retries and no defaults.
 */
import { connect, type Socket } from 'node:net';
import { type ConnectionOptions, connect as connectTls } from 'node:tls';

export interface ClientReply {
  readonly code: number;
  /** Text of each line, without code. */
  readonly lines: readonly string[];
  /** As it came, lines joined by `\n`. */
  readonly text: string;
}

export interface ClientMessage {
  readonly from: string;
  readonly to: readonly string[];
  /** Canonical CRLF lines; stuffed by send(). */
  readonly body: Buffer | string;
  /** MAIL parameters: `SIZE=10`. */
  readonly parameters?: string;
}

type Waiter = { readonly resolve: (reply: ClientReply) => void; readonly reject: (error: Error) => void };

/** Dot-stuffs and ends a body: what goes between 354 and the reply to the dot. */
export function wireForm(body: Buffer | string): Buffer {
  const text = Buffer.from(body as string).toString('latin1');
  const stuffed = text.replace(/^\./, '..').replaceAll('\r\n.', '\r\n..');
  const end = stuffed === '' || stuffed.endsWith('\r\n') ? '.\r\n' : '\r\n.\r\n';
  return Buffer.from(stuffed + end, 'latin1');
}

/** One connection. Replies come back in order; a lost connection rejects all that wait. */
export class SmtpClient {
  #socket: Socket;
  #input = '';
  #lines: string[] = [];
  readonly #replies: ClientReply[] = [];
  readonly #waiters: Waiter[] = [];
  #error: Error | undefined;

  constructor(socket: Socket) {
    this.#socket = socket;
    this.#attach(socket);
  }

  get socket(): Socket {
    return this.#socket;
  }

  /** The connection has ended. */
  get closed(): boolean {
    return this.#error !== undefined;
  }

  /** The next reply, waiting for it if need be. */
  reply(): Promise<ClientReply> {
    const ready = this.#replies.shift();
    if (ready !== undefined) return Promise.resolve(ready);
    if (this.#error !== undefined) return Promise.reject(this.#error);
    return new Promise((resolve, reject) => this.#waiters.push({ resolve, reject }));
  }

  /** Writes bytes as they are. */
  write(bytes: Buffer | string): void {
    this.#socket.write(bytes);
  }

  /** One command, one reply. */
  command(line: string): Promise<ClientReply> {
    this.#socket.write(`${line}\r\n`);
    return this.reply();
  }

  /** All commands in one write, then all replies. */
  async pipeline(lines: readonly string[]): Promise<ClientReply[]> {
    this.#socket.write(lines.map(line => `${line}\r\n`).join(''));
    return Promise.all(lines.map(() => this.reply()));
  }

  /** Sends one message, pipelined; the reply to the dot. Throws on any earlier refusal. */
  async send(message: ClientMessage): Promise<ClientReply> {
    const parameters = message.parameters === undefined ? '' : ` ${message.parameters}`;
    const lines = [
      `MAIL FROM:<${message.from}>${parameters}`,
      ...message.to.map(to => `RCPT TO:<${to}>`),
      'DATA',
    ];
    const replies = await this.pipeline(lines);
    const wrong = replies.find(({ code }, index) => code !== (index === lines.length - 1 ? 354 : 250));
    if (wrong !== undefined) throw new Error(`refused: ${wrong.text}`);
    this.#socket.write(wireForm(message.body));
    return this.reply();
  }

  /** STARTTLS and the handshake; EHLO is to be said again. */
  async startTls(options: ConnectionOptions = { rejectUnauthorized: false }): Promise<void> {
    const { code, text } = await this.command('STARTTLS');
    if (code !== 220) throw new Error(`STARTTLS refused: ${text}`);
    const plain = this.#socket;
    plain.removeAllListeners('data');
    const secured = connectTls({ ...options, socket: plain });
    await once(secured, 'secureConnect');
    this.#socket = secured;
    this.#attach(secured);
  }

  /** AUTH PLAIN. */
  login(user: string, password: string): Promise<ClientReply> {
    return this.command(`AUTH PLAIN ${Buffer.from(`\0${user}\0${password}`).toString('base64')}`);
  }

  /** QUIT, then close. */
  async quit(): Promise<void> {
    await this.command('QUIT').catch(() => undefined);
    this.destroy();
  }

  destroy(): void {
    this.#socket.destroy();
  }

  #attach(socket: Socket): void {
    socket.setNoDelay(true);
    socket.on('data', (chunk: Buffer) => this.#onData(chunk.toString('utf8')));
    socket.on('error', error => this.#fail(error));
    socket.on('close', () => this.#fail(new Error('connection closed')));
  }

  #onData(text: string): void {
    const lines = (this.#input + text).split('\r\n');
    this.#input = lines.pop() ?? '';
    for (const line of lines) {
      this.#lines.push(line);
      if (line[3] !== '-') this.#deliver();
    }
  }

  #deliver(): void {
    const lines = this.#lines;
    this.#lines = [];
    const reply = {
      code: Number(lines[0]?.slice(0, 3)),
      lines: lines.map(line => line.slice(4)),
      text: lines.join('\n'),
    };
    const waiter = this.#waiters.shift();
    if (waiter === undefined) this.#replies.push(reply);
    else waiter.resolve(reply);
  }

  #fail(error: Error): void {
    this.#error ??= error;
    for (const waiter of this.#waiters.splice(0)) waiter.reject(this.#error);
  }
}

function once(socket: Socket, event: 'connect' | 'secureConnect'): Promise<void> {
  return new Promise((resolve, reject) => {
    socket.once(event, () => {
      socket.off('error', reject);
      resolve();
    });
    socket.once('error', reject);
  });
}

export interface ConnectOptions {
  readonly host: string;
  readonly port: number;
  /** TLS from the first byte. */
  readonly tls?: ConnectionOptions;
  /** A connection that is silent for so long is broken, also one that is not yet made. Default: never. */
  readonly patienceMs?: number;
}

/** Connects and no more: the greeting is the first reply(). */
export async function dial({ host, port, tls, patienceMs = 0 }: ConnectOptions): Promise<SmtpClient> {
  const socket = tls === undefined ? connect({ host, port }) : connectTls({ ...tls, host, port });
  socket.setTimeout(patienceMs, () => socket.destroy(new Error(`silent for ${patienceMs} ms`)));
  const client = new SmtpClient(socket);
  await once(socket, tls === undefined ? 'connect' : 'secureConnect');
  return client;
}

/** Connects, reads the greeting and says EHLO. */
export async function hello(options: ConnectOptions, name = 'client.test'): Promise<SmtpClient> {
  const client = await dial(options);
  const greeting = await client.reply();
  if (greeting.code !== 220) throw new Error(`greeting: ${greeting.text}`);
  const ehlo = await client.command(`EHLO ${name}`);
  if (ehlo.code !== 250) throw new Error(`EHLO: ${ehlo.text}`);
  return client;
}
