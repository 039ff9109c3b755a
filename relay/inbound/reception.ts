/**
 * One message on its way from the socket into the spool. Decodes, watches the
 * limits, puts the trace headers in front, stores. It says `stored` only when
 * the spool has it on disk; once a message is refused its draft is gone and
 * only so many more bytes are read to find its end. Nothing is ever stored of
 * a message whose end was not seen.
 */

import type { Envelope, MessageId } from '../spool/message.ts';
import { type Draft, SpoolError } from '../spool/spool.ts';
import { DataDecoder } from './data-decoder.ts';
import { type HeaderFacts, HeaderScanner } from './header-scanner.ts';
import { type Refusal, refusals } from './refusals.ts';
import { type TraceFacts, traceHeaders } from './trace-headers.ts';

/**
 * A header beyond this is no mail: real ones stay below 100 KB, and Exchange
 * takes 256 KB by default. It is held in memory, for each of a thousand
 * connections at a time, in a pod of 512 MiB.
 */
const MAX_HEADER = 256 * 1024;

/**
 * How much of a refused message is read on to find its end, so that the client
 * gets to read the reply. Beyond that the connection is closed.
 */
export const MAX_DISCARDED = 16 * 1024 * 1024;

/** What is to be received and within which limits. */
export interface ReceptionOrder {
  readonly envelope: Envelope;
  /** Everything about how it came in but what the draft knows. */
  readonly trace: Omit<TraceFacts, 'id' | 'receivedAt' | 'recipients' | 'smtpUtf8'>;
  readonly bareNewlines: 'refuse' | 'normalize';
  readonly maxMessageBytes: number;
  readonly maxReceivedHeaders: number;
  /** Milliseconds since the epoch. */
  readonly now: () => number;
}

/**
 * more      the end has not come
 * stored    on disk: say 250
 * refused   say so; `mustClose`: where the next command would begin is unknown or not to be trusted
 * abandoned abort() was called: nothing to say
 */
export type ReceptionStep =
  | { readonly kind: 'more' }
  | {
      readonly kind: 'stored';
      readonly rest: Buffer;
      readonly id: MessageId;
      readonly size: number;
      readonly commitMs: number;
    }
  | {
      readonly kind: 'refused';
      readonly rest: Buffer;
      readonly refusal: Refusal;
      readonly mustClose: boolean;
    }
  | { readonly kind: 'abandoned' };

const NOTHING = Buffer.alloc(0);

export class Reception {
  readonly #draft: Draft;
  readonly #order: ReceptionOrder;
  readonly #decoder: DataDecoder;
  #header: HeaderScanner | undefined = new HeaderScanner();
  #refusal: Refusal | undefined;
  #state: 'receiving' | 'committing' | 'over' = 'receiving';
  #size = 0;
  #stored = 0;
  #discarded = 0;

  constructor(draft: Draft, order: ReceptionOrder) {
    this.#draft = draft;
    this.#order = order;
    this.#decoder = new DataDecoder(order.bareNewlines === 'normalize' ? 'normalize' : 'keep');
  }

  /** The end has been seen and the spool is at work: the client is owed an answer. */
  get committing(): boolean {
    return this.#state === 'committing';
  }

  /** Gives the message up, unless its commit has begun: then it counts, whether or not the client still listens. */
  abort(): void {
    if (this.#state !== 'receiving') return;
    this.#state = 'over';
    this.#draft.abort();
  }

  /** Takes the next chunk, which then belongs to the reception. Never rejects. */
  async receive(chunk: Buffer): Promise<ReceptionStep> {
    const pieces = this.#decoder.decode(chunk);
    this.#watch(pieces);
    try {
      if (this.#refusal === undefined) await this.#store(pieces);
    } catch (error) {
      this.#refuse(storeRefusal(error));
    }
    if (this.#state === 'over') return { kind: 'abandoned' };
    if (this.#decoder.ended) return this.#finish();
    if (this.#refusal !== undefined && this.#discarded > MAX_DISCARDED) {
      this.#state = 'over';
      return { kind: 'refused', rest: NOTHING, refusal: this.#refusal, mustClose: true };
    }
    return { kind: 'more' };
  }

  #refuse(refusal: Refusal): void {
    this.#refusal ??= refusal;
    this.#header = undefined;
    this.#draft.abort();
  }

  #watch(pieces: readonly Buffer[]): void {
    let bytes = 0;
    for (const piece of pieces) bytes += piece.length;
    this.#size += bytes;
    if (this.#refusal !== undefined) {
      this.#discarded += bytes;
    } else if (this.#size > this.#order.maxMessageBytes) {
      this.#refuse(refusals.tooLarge(this.#order.maxMessageBytes));
    } else if (this.#decoder.bareNewline && this.#order.bareNewlines === 'refuse') {
      this.#refuse(refusals.bareNewline());
    }
  }

  async #store(pieces: readonly Buffer[]): Promise<void> {
    const scanner = this.#header;
    if (scanner === undefined) {
      for (const piece of pieces) await this.#write(piece);
      return;
    }
    let facts: HeaderFacts | undefined;
    let used = 0;
    while (facts === undefined && used < pieces.length) facts = scanner.push(pieces[used++] as Buffer);
    if (facts === undefined && this.#decoder.ended) facts = scanner.finish();
    if (facts !== undefined) await this.#begin(scanner, facts, pieces.slice(used));
    else if (scanner.held > MAX_HEADER) this.#refuse(refusals.headerTooLarge(MAX_HEADER));
  }

  /** The header is known: stores our lines and all that was held back. */
  async #begin(scanner: HeaderScanner, facts: HeaderFacts, rest: readonly Buffer[]): Promise<void> {
    const limit = this.#order.maxReceivedHeaders;
    if (facts.received > limit) {
      this.#refuse(refusals.loop(facts.received, limit));
      return;
    }
    this.#header = undefined;
    const { recipients, smtpUtf8 } = this.#order.envelope;
    const receivedAt = this.#order.now();
    const trace = { ...this.#order.trace, id: this.#draft.id, recipients, smtpUtf8, receivedAt };
    // One write: most messages are whole at this point.
    await this.#write(Buffer.concat([traceHeaders(trace, facts), scanner.take(), ...rest]));
  }

  async #write(piece: Buffer): Promise<void> {
    if (this.#state === 'over') return;
    this.#stored += piece.length;
    await this.#draft.write(piece);
  }

  async #finish(): Promise<ReceptionStep> {
    // A copy: the spool may hand the chunk's memory to another thread.
    const rest = Buffer.from(this.#decoder.rest ?? NOTHING);
    this.#state = 'committing';
    // Monotonic, since the wall clock may step.
    const started = performance.now();
    try {
      if (this.#refusal === undefined) {
        await this.#draft.commit({ envelope: this.#order.envelope, receivedAt: this.#order.now() });
      }
    } catch (error) {
      this.#refuse(storeRefusal(error));
    }
    this.#state = 'over';
    const refusal = this.#refusal;
    if (refusal === undefined) {
      return {
        kind: 'stored',
        rest,
        id: this.#draft.id,
        size: this.#stored,
        commitMs: performance.now() - started,
      };
    }
    // What follows a message with broken line ends may be meant as commands by someone who is not the client.
    return { kind: 'refused', rest, refusal, mustClose: refusal.reason === 'bare-newline' };
  }
}

/** What to tell the client when the spool fails. Anything but a full disk is ours to mend and the client's to retry. */
export function storeRefusal(error: unknown): Refusal {
  return error instanceof SpoolError && error.kind === 'disk-full'
    ? refusals.diskFull()
    : refusals.storeFailed();
}
