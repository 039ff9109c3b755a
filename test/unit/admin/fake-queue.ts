/** A queue in memory that keeps the promises of the spool's admin methods, for tests of what stands before it. */

import type { QueueOperation, QueueStore } from '../../../relay/admin/view.ts';
import type { MessageId, QueueState, StoredMessage } from '../../../relay/spool/message.ts';
import { type QueueFilter, SpoolError } from '../../../relay/spool/spool.ts';

export const baseTime = Date.parse('2026-01-31T12:00:00Z');

export interface Kept {
  message: StoredMessage;
  body: Buffer;
}

export class FakeQueue implements QueueStore {
  readonly kept = new Map<string, Kept>();
  /** Every filter that a changing operation got. */
  readonly calls: { operation: string; filter: QueueFilter }[] = [];
  readonly changed: { operation: QueueOperation; count: number }[] = [];
  /** Thrown by the next operation. */
  failure: Error | undefined;
  #number = 0;

  add(change: Partial<StoredMessage> = {}, body = 'Subject: hello\r\n\r\nHello.\r\n'): StoredMessage {
    const id = String(++this.#number).padStart(17, '0') as MessageId;
    const bytes = Buffer.from(body);
    const message: StoredMessage = {
      id,
      state: 'failed',
      sender: 'app@example.com',
      recipients: [{ address: 'user@example.org', state: 'pending' }],
      eightBit: false,
      smtpUtf8: false,
      size: bytes.length,
      receivedAt: baseTime - 90 * 60_000,
      dueAt: baseTime + 4 * 60_000,
      rounds: 2,
      reason: 'connection refused',
      ...change,
    };
    this.kept.set(id, { message, body: bytes });
    return message;
  }

  async list(filter: QueueFilter): Promise<readonly StoredMessage[]> {
    this.#fail();
    return this.#chosen(filter);
  }

  async resend(filter: QueueFilter): Promise<number> {
    return this.#change('resend', filter, message => ({ ...message, state: 'failed', dueAt: baseTime }));
  }

  async hold(filter: QueueFilter): Promise<number> {
    return this.#change('hold', filter, message => ({ ...message, state: 'held' }));
  }

  async unhold(filter: QueueFilter): Promise<number> {
    return this.#change('release', filter, message => ({ ...message, state: 'failed' }));
  }

  async remove(filter: QueueFilter): Promise<number> {
    return this.#change('delete', filter, () => undefined);
  }

  async *read(id: MessageId): AsyncGenerator<Buffer> {
    this.#fail();
    const kept = this.kept.get(id);
    if (kept === undefined) throw new SpoolError('not-found', `no message ${id}`);
    for (let at = 0; at < kept.body.length; at += 65_536) yield kept.body.subarray(at, at + 65_536);
  }

  async adopt(...[arrival, body, recipients]: Parameters<QueueStore['adopt']>): Promise<MessageId> {
    this.#fail();
    const chunks: Buffer[] = [];
    for await (const chunk of body) chunks.push(chunk);
    const { sender, eightBit, smtpUtf8 } = arrival.envelope;
    const content = Buffer.concat(chunks);
    const { receivedAt } = arrival;
    const message = this.add({
      sender,
      eightBit,
      smtpUtf8,
      recipients,
      receivedAt,
      size: content.length,
      rounds: 0,
    });
    this.kept.get(message.id)!.body = content;
    return message.id;
  }

  #change(
    operation: string,
    filter: QueueFilter,
    apply: (message: StoredMessage) => StoredMessage | undefined,
  ): number {
    this.#fail();
    this.calls.push({ operation, filter });
    const chosen = this.#chosen(filter);
    for (const message of chosen) {
      const next = apply(message);
      if (next === undefined) this.kept.delete(message.id);
      else this.kept.get(message.id)!.message = next;
    }
    return chosen.length;
  }

  #chosen(filter: QueueFilter): readonly StoredMessage[] {
    const all = [...this.kept.values()].map(({ message }) => message);
    return all.filter(message => fits(message, filter)).slice(0, filter.limit);
  }

  #fail(): void {
    const { failure } = this;
    this.failure = undefined;
    if (failure !== undefined) throw failure;
  }
}

function fits(message: StoredMessage, filter: QueueFilter): boolean {
  const has = (text: string, part: string | undefined) =>
    part === undefined || text.toLowerCase().includes(part.toLowerCase());
  return (
    (filter.ids === undefined || filter.ids.includes(message.id)) &&
    (filter.state === undefined || message.state === filter.state) &&
    has(message.sender, filter.sender) &&
    message.recipients.some(({ address }) => has(address, filter.recipient)) &&
    (filter.olderThanMs === undefined || baseTime - message.receivedAt >= filter.olderThanMs) &&
    (filter.after === undefined || message.id > filter.after)
  );
}

export type { QueueState };
