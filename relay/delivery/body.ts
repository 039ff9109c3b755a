/**
 * Sends a message body, dot-stuffed and with back-pressure, and the final dot.
 * When anything goes wrong before, the dot is not sent: what the provider has
 * then is no message. Memory holds one chunk and one slice, whatever the size.
 */
import type { Answer, Channel } from './channel.ts';
import { DotStuffer } from './dot-stuffing.ts';
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

const SENT: BodyResult = { kind: 'sent' };

/** Sends it; `ms` is the longest a slice may make no progress. Never rejects. */
export async function sendBody(channel: Channel, body: Body, ms: number): Promise<BodyResult> {
  const stuffer = new DotStuffer();
  if (Buffer.isBuffer(body) && body.length <= SLICE) {
    const early = await channel.drained(ms);
    if (early !== undefined) return { kind: 'interrupted', by: early };
    channel.write(...stuffer.push(body), stuffer.end());
    return SENT;
  }
  const source = Buffer.isBuffer(body) ? [body] : body;
  const interruption = await sendChunks(channel, source, stuffer, ms);
  if (interruption !== undefined) return interruption;
  channel.write(stuffer.end());
  return SENT;
}

async function sendChunks(
  channel: Channel,
  source: Iterable<Buffer> | AsyncIterable<Buffer>,
  stuffer: DotStuffer,
  ms: number,
): Promise<BodyResult | undefined> {
  try {
    for await (const chunk of source) {
      const by = await sendPieces(channel, stuffer.push(chunk), ms);
      if (by !== undefined) return { kind: 'interrupted', by };
    }
  } catch (error) {
    return { kind: 'unreadable', error };
  }
  const by = await channel.drained(ms);
  return by === undefined ? undefined : { kind: 'interrupted', by };
}

async function sendPieces(
  channel: Channel,
  pieces: readonly Buffer[],
  ms: number,
): Promise<Answer | undefined> {
  for (const piece of pieces) {
    for (let start = 0; start < piece.length; start += SLICE) {
      // Before, not after: while the network takes this slice the next is read.
      const early = await channel.drained(ms);
      if (early !== undefined) return early;
      channel.write(piece.subarray(start, start + SLICE));
    }
  }
  return undefined;
}
