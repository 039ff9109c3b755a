/**
 * What the relay is compared with in the same run, since machines differ: a
 * plain smtp-server that writes one file and one fdatasync per message before
 * its 250, and a nodemailer pool that sends it on. It has no failover, no
 * tries and no recovery; its greeting delay is removed as the relay's is.
 */
import { open, unlink } from 'node:fs/promises';
import type { Socket } from 'node:net';
import { join } from 'node:path';
import nodemailer from 'nodemailer';
import { SMTPServer, type SMTPServerSession } from 'smtp-server';
import { SMTPConnection } from 'smtp-server/lib/smtp-connection.js';
import type { BaselineOrder } from './messages.ts';

const order = JSON.parse(process.argv[2] ?? '{}') as BaselineOrder;
const { login, provider, directory, port } = order;

const pool = nodemailer.createTransport({
  pool: true,
  host: provider.host,
  port: provider.port,
  maxConnections: 20,
  maxMessages: Number.POSITIVE_INFINITY,
  ...(login === undefined
    ? { ignoreTLS: true }
    : {
        requireTLS: true,
        auth: { user: login.user, pass: login.pass },
        tls: { ca: login.ca, servername: 'localhost' },
      }),
});

type Envelope = SMTPServerSession['envelope'];

let count = 0;
let told = false;

/** The library waits 100 ms before its greeting. */
class PromptConnection extends SMTPConnection {
  override init(): void {
    this._setListeners(() => this.connectionReady());
  }
}

class PromptServer extends SMTPServer {
  override connect(socket: Socket): void {
    const connection = new PromptConnection(this, socket);
    this.connections.add(connection);
    connection.on('error', error => this.emit('error', error));
    connection.on('connect', data => this.emit('connect', data));
    connection.init();
  }
}

const server = new PromptServer({
  authOptional: true,
  disabledCommands: ['STARTTLS', 'AUTH'],
  disableReverseLookup: true,
  size: 52_428_800,
  logger: false,
  onData(stream, session, callback) {
    const chunks: Buffer[] = [];
    stream.on('data', (chunk: Buffer) => chunks.push(chunk));
    stream.on('end', () => {
      const body = Buffer.concat(chunks);
      // The library resets it once it is called back.
      const { envelope } = session;
      store(body).then(
        path => {
          callback(null);
          void send(path, body, envelope);
        },
        (error: Error) => callback(error),
      );
    });
  },
});
server.on('error', () => undefined);
server.listen(port, '127.0.0.1');

async function store(body: Buffer): Promise<string> {
  const path = join(directory, `${++count}.eml`);
  const file = await open(path, 'wx');
  try {
    await file.write(body);
    await file.datasync();
  } finally {
    await file.close();
  }
  return path;
}

async function send(path: string, raw: Buffer, envelope: Envelope): Promise<void> {
  const { mailFrom, rcptTo } = envelope;
  const from = mailFrom === false ? '' : mailFrom.address;
  try {
    await pool.sendMail({ envelope: { from, to: rcptTo.map(({ address }) => address) }, raw });
    await unlink(path);
  } catch (error) {
    // What it lost shows in the provider's count; the first reason is enough.
    if (!told) process.stderr.write(`baseline: ${error instanceof Error ? error.message : String(error)}\n`);
    told = true;
  }
}
