/**
 * Sends a message body, dot-stuffed and with back-pressure, and the final dot.
 * When anything goes wrong before, the dot is not sent: what the provider has
 * then is no message. Memory holds one chunk and one slice, whatever the size.
 */
import { discard } from '../spool/transit.ts';
import { type Answer, type Channel, explain } from './channel.ts';
import { DotStuffer } from './dot-stuffing.ts';
import type { Failure } from './failure.ts';
import type { Body } from './session.ts';

/** Bytes whose sending one `dataBlockMs` covers, and below which body and dot leave in one write. */
const SLICE = 65_536;

/**
 * sent        all of it, final dot included, was handed to the network
 * interrupted the provider answered early, the connection ended, or nothing went out in time
 * unreadable  our own body could not be read
 */
export type BodyResult =
  | { readonly kind: 'sent' }
  | { readonly kind: 'interrupted'; readonly by: Answer }
  | { readonly kind: 'unreadable'; readonly error: unknown };

/** Our own body cannot be read, for that reason. */
export function unreadable(error: unknown): Failure {
  const detail = error instanceof Error ? explain(error) : 'unknown error';
  return { stage: 'body', fault: 'local', message: 'the stored message could not be read', detail };
}

const SENT: BodyResult = { kind: 'sent' };

/**
 * Sends it; `ms` is the longest a slice may make no progress. `atDot` is called
 * right before the final dot leaves. Never rejects.
 */
export async function sendBody(
  channel: Channel,
  body: Body,
  ms: number,
  atDot: () => void,
): Promise<BodyResult> {
  const sender = new BodySender(channel, ms);
  const stopped = await (Buffer.isBuffer(body) ? sender.push(body) : sender.pushAll(body));
  return stopped ?? sender.finish(atDot);
}

/** undefined = go on. */
type Stopped = Exclude<BodyResult, { kind: 'sent' }> | undefined;

const NOBODY = () => undefined;

class BodySender {
  readonly #channel: Channel;
  readonly #ms: number;
  readonly #stuffer = new DotStuffer();
  /** A short slice waits for what comes next: nearly always the dot, and both leave in one write. */
  #held: { readonly slice: Buffer; readonly taken: () => void } | undefined;

  constructor(channel: Channel, ms: number) {
    this.#channel = channel;
    this.#ms = ms;
  }

  /** What was read from the spool is nobody else's: its memory is given back once it is sent. */
  async pushAll(source: AsyncIterable<Buffer>): Promise<Stopped> {
    try {
      for await (const chunk of source) {
        const stopped = await this.push(chunk, discard);
        if (stopped !== undefined) return stopped;
      }
    } catch (error) {
      return { kind: 'unreadable', error };
    }
    return undefined;
  }

  async push(chunk: Buffer, sent: (piece: Buffer) => void = NOBODY): Promise<Stopped> {
    for (const piece of this.#stuffer.push(chunk)) {
      for (let start = 0; start < piece.length; start += SLICE) {
        const last = start + SLICE >= piece.length;
        const stopped = await this.#slice(
          piece.subarray(start, start + SLICE),
          last ? () => sent(piece) : NOBODY,
        );
        if (stopped !== undefined) return stopped;
      }
    }
    return undefined;
  }

  /** The dot, and what was held back. */
  async finish(atDot: () => void): Promise<BodyResult> {
    const by = await this.#channel.drained(this.#ms);
    if (by !== undefined) return { kind: 'interrupted', by };
    atDot();
    const end = this.#stuffer.end();
    if (this.#held === undefined) this.#channel.write(end);
    else this.#channel.lend(this.#held.taken, this.#held.slice, end);
    return SENT;
  }

  async #slice(slice: Buffer, taken: () => void): Promise<Stopped> {
    if (this.#held !== undefined) this.#channel.lend(this.#held.taken, this.#held.slice);
    this.#held = undefined;
    // Before, not after: while the network takes this slice the next is read.
    const by = await this.#channel.drained(this.#ms);
    if (by !== undefined) return { kind: 'interrupted', by };
    if (slice.length < SLICE) this.#held = { slice, taken };
    else this.#channel.lend(taken, slice);
    return undefined;
  }
}
