/**
 * Which messages are taken, since when, and how many there are of each state:
 * the store's memory. A batch that is rolled back takes its changes back;
 * a crash forgets the claims, which is how it releases them.
 */
import type { MessageId } from './message.ts';
import { type Counters, STATES } from './protocol.ts';

export class Claims {
  readonly #since = new Map<MessageId, number>();
  /** Claim times before the batch, newest change last; undefined = was free. */
  readonly #journal: [MessageId, number | undefined][] = [];

  has(id: MessageId): boolean {
    return this.#since.has(id);
  }

  since(id: MessageId): number | undefined {
    return this.#since.get(id);
  }

  take(id: MessageId, now: number): void {
    this.#journal.push([id, this.#since.get(id)]);
    this.#since.set(id, now);
  }

  end(id: MessageId): void {
    const since = this.#since.get(id);
    if (since === undefined) return;
    this.#journal.push([id, since]);
    this.#since.delete(id);
  }

  committed(): void {
    this.#journal.length = 0;
  }

  rolledBack(): void {
    for (const [id, since] of this.#journal.reverse()) {
      if (since === undefined) this.#since.delete(id);
      else this.#since.set(id, since);
    }
    this.#journal.length = 0;
  }
}

export class Counts {
  #messages: number[] = STATES.map(() => 0);
  #bytes: number[] = STATES.map(() => 0);
  #savedMessages: number[] = [...this.#messages];
  #savedBytes: number[] = [...this.#bytes];

  add(state: number, messages: number, bytes: number): void {
    this.#messages[state] = (this.#messages[state] ?? 0) + messages;
    this.#bytes[state] = (this.#bytes[state] ?? 0) + bytes;
  }

  move(from: number, to: number, bytes: number): void {
    this.add(from, -1, -bytes);
    this.add(to, 1, bytes);
  }

  messages(state: number): number {
    return this.#messages[state] ?? 0;
  }

  bytes(state: number): number {
    return this.#bytes[state] ?? 0;
  }

  committed(): void {
    this.#savedMessages = [...this.#messages];
    this.#savedBytes = [...this.#bytes];
  }

  rolledBack(): void {
    this.#messages = [...this.#savedMessages];
    this.#bytes = [...this.#savedBytes];
  }

  with(rest: Omit<Counters, 'messages' | 'bytes'>): Counters {
    return { ...rest, messages: [...this.#messages], bytes: [...this.#bytes] };
  }
}
