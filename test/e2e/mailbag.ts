/**
 * The account of a test's mail: every message that an application was told 250
 * for, and which of them have reached a provider. Sends by the Service like any
 * application, and starts over when a connection breaks.
 */
import { setTimeout as delay } from 'node:timers/promises';
import { hello, type SmtpClient } from '../smtp/client.ts';
import type { ScriptedProvider } from '../smtp/provider.ts';

/** Sends one message at a time. */
export class Mailbag {
  /** Message-IDs that got their 250. */
  readonly accepted = new Set<string>();
  readonly #providers: readonly ScriptedProvider[];
  #number = 0;

  constructor(providers: readonly ScriptedProvider[]) {
    this.#providers = providers;
  }

  /** A Message-ID that was not used before. */
  nextId(): string {
    this.#number += 1;
    return `<${this.#number}.${crypto.randomUUID()}@app.test>`;
  }

  /** Sends that many messages over one connection. Rejects when one is refused. */
  async send(address: { readonly host: string; readonly port: number }, count: number): Promise<void> {
    const client = await hello(address, 'app.test');
    try {
      for (let sent = 0; sent < count; sent += 1) await this.sendOne(client);
    } finally {
      client.destroy();
    }
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
  load(address: { readonly host: string; readonly port: number }, connections = 3): Load {
    let running = true;
    const errors: string[] = [];
    const worker = async (): Promise<void> => {
      while (running) await this.#series(address, () => running).catch(error => errors.push(String(error)));
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

  async #series(
    address: { readonly host: string; readonly port: number },
    running: () => boolean,
  ): Promise<void> {
    let client: SmtpClient | undefined;
    try {
      client = await hello(address, 'app.test');
      // Twenty messages a connection and then a new one, which the Service may give to another pod.
      for (let sent = 0; sent < 20 && running(); sent += 1) {
        await this.sendOne(client);
        await delay(20); // the load, not a wait: about a hundred messages a second in all
      }
    } catch (error) {
      await delay(100);
      throw error;
    } finally {
      client?.destroy();
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
