/**
 * The account of a test's mail: every message that an application was told 250
 * for, and which of them have reached a provider. Sends by the Service like any
 * application: it gives up a connection that is silent, and starts over when one
 * breaks.
 */
import { setTimeout as delay } from 'node:timers/promises';
import { hello, type SmtpClient } from '../smtp/client.ts';
import type { ScriptedProvider } from '../smtp/provider.ts';

/**
 * For how long an application bears silence. A connection to a pod whose network
 * has gone before kube-proxy knows it gets no answer at all, not even a refusal.
 */
const patienceMs = 10_000;

type Address = { readonly host: string; readonly port: number };

/** Sends one message at a time. */
export class Mailbag {
  /** Message-IDs that got their 250. */
  readonly accepted = new Set<string>();
  readonly #providers: readonly ScriptedProvider[];
  readonly #clients = new Set<SmtpClient>();
  #number = 0;
  #closed = false;

  constructor(providers: readonly ScriptedProvider[]) {
    this.#providers = providers;
  }

  /** A Message-ID that was not used before. */
  nextId(): string {
    this.#number += 1;
    return `<${this.#number}.${crypto.randomUUID()}@app.test>`;
  }

  /** Sends that many messages over one connection. Rejects when one is refused. */
  async send(address: Address, count: number): Promise<void> {
    await this.#connected(address, async client => {
      for (let sent = 0; sent < count; sent += 1) await this.sendOne(client);
    });
  }

  /** Sends one message; it counts once the 250 is here. */
  async sendOne(client: SmtpClient): Promise<void> {
    const id = this.nextId();
    const { code, text } = await client.send({
      from: 'app@app.test',
      to: ['someone@example.com'],
      body: `From: app@app.test\r\nTo: someone@example.com\r\nMessage-ID: ${id}\r\nSubject: e2e\r\n\r\nhello\r\n`,
    });
    if (code !== 250) throw new Error(`refused: ${text}`);
    this.accepted.add(id);
  }

  /** Sends without end from several connections until stopped; a broken connection is made anew. */
  load(address: Address, connections = 3): Load {
    let running = true;
    const goesOn = (): boolean => running && !this.#closed;
    const errors: string[] = [];
    const worker = async (): Promise<void> => {
      while (goesOn()) {
        await this.#series(address, goesOn).catch(error => {
          errors.push(String(error));
          return delay(100); // as an application that tries again, without a storm
        });
      }
    };
    const all = Promise.all(Array.from({ length: connections }, worker));
    return {
      errors,
      stop: async () => {
        running = false;
        await all;
      },
    };
  }

  /** Ends every load and connection, whatever they are at. */
  close(): void {
    this.#closed = true;
    for (const client of this.#clients) client.destroy();
  }

  /** Twenty messages on one connection; the next may come to another pod behind the Service. */
  async #series(address: Address, goesOn: () => boolean): Promise<void> {
    await this.#connected(address, async client => {
      for (let sent = 0; sent < 20 && goesOn(); sent += 1) {
        await this.sendOne(client);
        await delay(20); // the load, not a wait: about a hundred messages a second in all
      }
    });
  }

  async #connected(address: Address, act: (client: SmtpClient) => Promise<void>): Promise<void> {
    const client = await hello({ ...address, patienceMs }, 'app.test');
    this.#clients.add(client);
    try {
      await act(client);
    } finally {
      this.#clients.delete(client);
      client.destroy();
    }
  }

  /** How often each Message-ID was received by a provider. */
  received(): ReadonlyMap<string, number> {
    const counts = new Map<string, number>();
    for (const provider of this.#providers) {
      for (const { messageId = '' } of provider.messages)
        counts.set(messageId, (counts.get(messageId) ?? 0) + 1);
    }
    return counts;
  }

  /** Messages that got their 250 and that no provider has yet. */
  missing(): readonly string[] {
    const received = this.received();
    return [...this.accepted].filter(id => !received.has(id));
  }

  /** Messages that a provider got more than once. */
  duplicates(): readonly string[] {
    return [...this.received()].flatMap(([id, count]) => (count > 1 ? [id] : []));
  }
}

/** Mail that is sent in the background. */
export type Load = {
  /** What broke connections, for a message to a person. */
  readonly errors: readonly string[];
  stop(): Promise<void>;
};
