/**
 * A message that is arriving: small ones wait here whole and are one
 * operation; large ones go ahead in chunks, with a bound on what is under way
 * for each and for all, so that memory follows neither size nor number.
 */
import type { Channel } from './channel.ts';
import type { Envelope, MessageId, Recipient } from './message.ts';
import {
  ACTIVE,
  CHUNK_BYTES,
  FLAG_EIGHT_BIT,
  FLAG_SMTP_UTF8,
  MAX_BODY_BYTES,
  type PutOp,
} from './protocol.ts';
import { type Arrival, type Draft, type Progress, SpoolError } from './spool.ts';
import { discard } from './transit.ts';

/** Chunks of one message under way to the store. */
const DRAFT_CHUNKS = 4;
/** Bytes of all messages under way to the store. */
const TOTAL_BYTES = 32 * 1024 * 1024;

/** Counts what is under way for all drafts; a draft waits here for its turn. */
export class Flow {
  #bytes = 0;
  #waiting: (() => void)[] = [];

  add(bytes: number): void {
    this.#bytes += bytes;
  }

  done(bytes: number): void {
    this.#bytes -= bytes;
    for (const wake of this.#waiting.splice(0)) wake();
  }

  full(): boolean {
    return this.#bytes >= TOTAL_BYTES;
  }

  /** Resolves when something under way has arrived. */
  change(): Promise<void> {
    return new Promise(resolve => this.#waiting.push(resolve));
  }
}

export interface DraftOptions {
  readonly n: number;
  readonly id: MessageId;
  readonly channel: Channel;
  readonly flow: Flow;
  /** Queues the finished message; resolves when it is on disk. */
  readonly put: (op: PutOp, body: Buffer | undefined) => Promise<void>;
  readonly wrote: (bytes: number) => void;
  /** The store did not take a part of it. */
  readonly refused: (error: unknown) => void;
}

/** What commit() writes beside the body. */
export interface Filing {
  readonly state: number;
  readonly dueAt: number;
  readonly recipients: readonly Recipient[];
  readonly claim: boolean;
  /** Of another message, in the same commit. */
  readonly progress?: Progress | undefined;
}

export class ArrivingMessage implements Draft {
  readonly id: MessageId;
  readonly #options: DraftOptions;
  #pending: Buffer[] = [];
  /** What the first of them was before bytes were taken from it. */
  #cut: Buffer | undefined;
  #pendingBytes = 0;
  #size = 0;
  #sequence = 0;
  #underWay = 0;
  #problem: unknown;
  #state: 'open' | 'committed' | 'aborted' = 'open';

  constructor(options: DraftOptions) {
    this.id = options.id;
    this.#options = options;
  }

  async write(chunk: Buffer): Promise<void> {
    this.#mustBeOpen();
    if (this.#size + chunk.length > MAX_BODY_BYTES) {
      throw new SpoolError('io', `a message of more than ${MAX_BODY_BYTES} bytes cannot be stored`);
    }
    this.#pending.push(chunk);
    this.#pendingBytes += chunk.length;
    this.#size += chunk.length;
    if (this.#pendingBytes <= CHUNK_BYTES) return;
    while (this.#pendingBytes > CHUNK_BYTES) this.#sendChunk(CHUNK_BYTES);
    while (this.#problem === undefined && (this.#underWay > DRAFT_CHUNKS || this.#options.flow.full())) {
      await this.#options.flow.change();
    }
    this.#mustBeOpen();
  }

  async commit(arrival: Arrival, progress?: Progress): Promise<void> {
    const recipients = arrival.envelope.recipients.map(address => ({ address, state: 'pending' as const }));
    const dueAt = arrival.receivedAt;
    await this.file(arrival, { state: ACTIVE, dueAt, recipients, claim: false, progress });
  }

  /** As commit(), into any state. */
  async file(arrival: Arrival, filing: Filing): Promise<void> {
    this.#mustBeOpen();
    this.#state = 'committed';
    const op = {
      op: 'put' as const,
      n: this.#options.n,
      id: this.id,
      state: filing.state,
      sender: arrival.envelope.sender,
      recipients: JSON.stringify(filing.recipients),
      flags: flagsOf(arrival.envelope),
      size: this.#size,
      receivedAt: arrival.receivedAt,
      dueAt: filing.dueAt,
      claim: filing.claim,
      ...progressOf(filing),
    };
    try {
      await this.#fileBody(op);
    } catch (error) {
      this.#state = 'aborted';
      if (this.#sequence > 0) this.#drop();
      throw error;
    }
  }

  async #fileBody(op: PutOp): Promise<void> {
    if (this.#sequence === 0) {
      const body = this.#take(this.#pendingBytes);
      await this.#options.put({ ...op, body }, body);
      return;
    }
    if (this.#pendingBytes > 0) this.#sendChunk(this.#pendingBytes);
    // The store takes operations in order, so the row cannot pass its chunks;
    // but one that failed must not be followed by a row.
    while (this.#problem === undefined && this.#underWay > 0) await this.#options.flow.change();
    if (this.#problem !== undefined) throw this.#problem;
    await this.#options.put(op, undefined);
  }

  abort(): void {
    if (this.#state !== 'open') return;
    this.#state = 'aborted';
    this.#pending = [];
    this.#pendingBytes = 0;
    if (this.#sequence > 0) this.#drop();
  }

  #drop(): void {
    // What cannot be dropped now is dropped at the next start.
    this.#options.channel.call({ op: 'drop', n: this.#options.n }).catch(() => undefined);
  }

  #mustBeOpen(): void {
    if (this.#problem !== undefined) throw this.#problem;
    if (this.#state !== 'open') throw new SpoolError('closed', `message ${this.id} is ${this.#state}`);
  }

  /** The next bytes in a buffer of their own, which may be given away. */
  #take(length: number): Buffer<ArrayBuffer> {
    const taken = Buffer.allocUnsafeSlow(length) as Buffer<ArrayBuffer>;
    let filled = 0;
    while (filled < length) {
      const first = this.#pending[0] as Buffer;
      const part = Math.min(first.length, length - filled);
      first.copy(taken, filled, 0, part);
      filled += part;
      if (part === first.length) {
        this.#pending.shift();
        discard(this.#cut ?? first);
        this.#cut = undefined;
      } else {
        this.#cut ??= first;
        this.#pending[0] = first.subarray(part);
      }
    }
    this.#pendingBytes -= length;
    return taken;
  }

  #sendChunk(length: number): void {
    const { channel, flow, n, wrote } = this.#options;
    const data = this.#take(length);
    this.#underWay++;
    flow.add(length);
    channel
      .call({ op: 'chunk', n, sequence: this.#sequence++, data }, data.buffer)
      .catch(error => {
        this.#problem ??= error;
        this.#options.refused(error);
      })
      .finally(() => {
        this.#underWay--;
        flow.done(length);
      });
    wrote(length);
  }
}

function progressOf({ progress }: Filing): Pick<PutOp, 'progress'> {
  if (progress === undefined) return {};
  return { progress: { id: progress.id, recipients: JSON.stringify(progress.recipients) } };
}

function flagsOf(envelope: Envelope): number {
  return (envelope.eightBit ? FLAG_EIGHT_BIT : 0) | (envelope.smtpUtf8 ? FLAG_SMTP_UTF8 : 0);
}
