/**
 * Sends a message body, dot-stuffed and with back-pressure, and the final dot.
 * When anything goes wrong before, the dot is not sent: what the provider has
 * then is no message. Memory holds one chunk and one slice, whatever the size.
 */
import { discard } from '../spool/transit.ts';
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
  const stuffer = new DotStuffer();
  if (Buffer.isBuffer(body) && body.length <= SLICE) {
    const early = await channel.drained(ms);
    if (early !== undefined) return { kind: 'interrupted', by: early };
    atDot();
    channel.write(...stuffer.push(body), stuffer.end());
    return SENT;
  }
  const way: Way = { channel, stuffer, ms };
  const by = Buffer.isBuffer(body) ? await sendPieces(way, stuffer.push(body)) : await sendChunks(way, body);
  if (by !== undefined) return 'kind' in by ? by : { kind: 'interrupted', by };
  const late = await channel.drained(ms);
  if (late !== undefined) return { kind: 'interrupted', by: late };
  atDot();
  channel.write(stuffer.end());
  return SENT;
}

interface Way {
  readonly channel: Channel;
  readonly stuffer: DotStuffer;
  readonly ms: number;
}

/** What was read from the spool is nobody else's: its memory is given back once it is sent. */
async function sendChunks(way: Way, source: AsyncIterable<Buffer>): Promise<BodyResult | Answer | undefined> {
  try {
    for await (const chunk of source) {
      const early = await sendPieces(way, way.stuffer.push(chunk), discard);
      if (early !== undefined) return early;
    }
  } catch (error) {
    return { kind: 'unreadable', error };
  }
  return undefined;
}

async function sendPieces(
  way: Way,
  pieces: readonly Buffer[],
  sent?: (piece: Buffer) => void,
): Promise<Answer | undefined> {
  for (const piece of pieces) {
    const early = await sendPiece(way, piece, sent);
    if (early !== undefined) return early;
  }
  return undefined;
}

async function sendPiece(
  { channel, ms }: Way,
  piece: Buffer,
  sent: ((piece: Buffer) => void) | undefined,
): Promise<Answer | undefined> {
  for (let start = 0; start < piece.length; start += SLICE) {
    // Before, not after: while the network takes this slice the next is read.
    const early = await channel.drained(ms);
    if (early !== undefined) return early;
    const slice = piece.subarray(start, start + SLICE);
    if (sent === undefined || start + SLICE < piece.length) channel.write(slice);
    else channel.lend(slice, () => sent(piece));
  }
  return undefined;
}
