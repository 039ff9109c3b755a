/**
 * Concurrent clients that hand mail to a relay until told to stop, and a
 * ledger of what came of each mail: was it acknowledged, how often did it
 * arrive, was it whole. They reconnect when the relay goes away under them.
 */
import { createHash, randomBytes } from 'node:crypto';
import type { SmtpClient } from '../../smtp/client.ts';
import type { TransactionRecord } from '../../smtp/record.ts';

/** One time that a mail arrived at a provider. */
export interface Arrival {
  readonly provider: string;
  /** The relay's id for it, of its Received field. */
  readonly id: string;
  readonly at: number;
  /** Which run of the relay brought it, from 1. */
  readonly run: number;
}

/** What is known of each mail, by its serial number. */
export class Ledger {
  /** Mails that got their 250, with the relay's id. */
  readonly acknowledged = new Map<string, string>();
  readonly arrivals = new Map<string, Arrival[]>();
  /** Mails whose content was not what was sent. */
  readonly corrupt: string[] = [];
  /** When each run of the relay began. */
  readonly #begun: number[] = [];

  /** To be called before each start of the relay. */
  begin(): void {
    this.#begun.push(Date.now());
  }

  /** Takes note of what a scripted provider received: its onMessage. */
  received(provider: string, { body, session }: Pick<TransactionRecord, 'body' | 'session'>): void {
    const text = body.toString('latin1');
    const at = text.indexOf('\r\n\r\n');
    const head = text.slice(0, at);
    const serial = /^X-Serial: (\S+)/m.exec(head)?.[1];
    const hash = /^X-Hash: (\S+)/m.exec(head)?.[1];
    const id = /\bid (\w+)/.exec(head)?.[1];
    if (serial === undefined || id === undefined || hash !== sha256(body.subarray(at + 4))) {
      this.corrupt.push(serial ?? head);
      return;
    }
    const known = this.arrivals.get(serial) ?? [];
    // By its connection: what a killed run had sent whole may be read after the kill.
    const run = this.#begun.findLastIndex(begun => begun <= session.openedAt) + 1;
    known.push({ provider, id, at: Date.now(), run });
    this.arrivals.set(serial, known);
  }

  /** Acknowledged and never arrived. */
  get missing(): string[] {
    return [...this.acknowledged.keys()].filter(serial => !this.arrivals.has(serial));
  }

  /** Arrived more than once. */
  get repeated(): (readonly [serial: string, arrivals: readonly Arrival[]])[] {
    return [...this.arrivals].filter(([, arrivals]) => arrivals.length > 1);
  }
}

const sha256 = (bytes: Buffer): string => createHash('sha256').update(bytes).digest('hex');

let lastSerial = 0;

/** A mail with a serial number and a hash of its text, up to `most` bytes. */
export function numbered(most: number): { readonly serial: string; readonly body: Buffer } {
  const serial = `n${++lastSerial}`;
  const noise = randomBytes(Math.floor(Math.random() * most * 0.7)).toString('base64');
  const text = Buffer.from(`${noise.replace(/.{1,76}/g, '.$&\r\n')}.\r\nend\r\n`);
  const head = `From: <load@example.com>\r\nTo: <a@example.net>\r\nSubject: load\r\nDate: Mon, 02 Nov 2026 10:00:00 +0000\r\nMessage-ID: <${serial}@example.com>\r\nX-Serial: ${serial}\r\nX-Hash: ${sha256(text)}\r\n\r\n`;
  return { serial, body: Buffer.concat([Buffer.from(head), text]) };
}

export interface LoadOptions {
  readonly connect: () => Promise<SmtpClient>;
  readonly ledger: Ledger;
  readonly clients: number;
  /** Largest mail, bytes. Default 20,000; one in twenty is ten times as large. */
  readonly most?: number;
}

/** Clients at work from the start until stop(). */
export class Load {
  readonly #options: LoadOptions;
  readonly #work: Promise<void>[];
  #over = false;
  /** Replies other than 250, by text, and how often. */
  readonly refusals = new Map<string, number>();

  constructor(options: LoadOptions) {
    this.#options = options;
    this.#work = Array.from({ length: options.clients }, () => this.#client());
  }

  /** Resolves when every client has finished the mail it was at. */
  async stop(): Promise<void> {
    this.#over = true;
    await Promise.all(this.#work);
  }

  async #client(): Promise<void> {
    while (!this.#over) {
      const client = await this.#options.connect().catch(() => undefined);
      if (client === undefined) await new Promise(resolve => setTimeout(resolve, 20));
      else await this.#session(client);
    }
  }

  /** Mail after mail until the connection is lost or refused. */
  async #session(client: SmtpClient): Promise<void> {
    const { ledger, most = 20_000 } = this.#options;
    try {
      while (!this.#over) {
        const { serial, body } = numbered(Math.random() < 0.05 ? most * 10 : most);
        const reply = await client.send({ from: 'load@example.com', to: ['a@example.net'], body });
        const id = /queued as (\w+)/.exec(reply.text)?.[1];
        if (reply.code === 250 && id !== undefined) ledger.acknowledged.set(serial, id);
        else this.#refused(reply.text);
      }
      await client.quit();
    } catch (error) {
      this.#refused((error as Error).message);
      client.destroy();
    }
  }

  #refused(text: string): void {
    this.refusals.set(text, (this.refusals.get(text) ?? 0) + 1);
  }
}
