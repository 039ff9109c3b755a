/**
 * Cuts a provider's bytes into replies, however they were split into packets.
 * Bounded: a reply that does not end within 64 KiB is no reply.
 */
import type { Reply } from './failure.ts';
import { parseReply } from './reply.ts';

/** Far above RFC 5321's 512 octets a line and any real EHLO or policy text. */
const MAX_REPLY_BYTES = 65_536;

/** A whole reply, or the sign that what came is not SMTP. */
export type ReadReply = Reply | 'garbled';

export class ReplyReader {
  /** The unfinished line. */
  #rest: Buffer = Buffer.alloc(0);
  /** Finished lines of the unfinished reply. */
  #lines: string[] = [];
  #size = 0;

  /** Nothing of an unfinished reply is held. */
  get empty(): boolean {
    return this.#rest.length === 0 && this.#lines.length === 0;
  }

  /** The replies that these bytes complete, in order. After 'garbled' the reader is of no more use. */
  push(chunk: Buffer): ReadReply[] {
    const replies: ReadReply[] = [];
    const input = this.#rest.length === 0 ? chunk : Buffer.concat([this.#rest, chunk]);
    let start = 0;
    for (let at = input.indexOf(0x0a); at >= 0; at = input.indexOf(0x0a, start)) {
      this.#line(input.toString('utf8', start, input[at - 1] === 0x0d && at > start ? at - 1 : at), replies);
      this.#size += at + 1 - start;
      if (this.#lines.length === 0) this.#size = 0;
      start = at + 1;
    }
    this.#rest = input.subarray(start);
    if (this.#size + this.#rest.length > MAX_REPLY_BYTES) replies.push('garbled');
    return replies;
  }

  #line(line: string, replies: ReadReply[]): void {
    // Some servers send an empty line between replies; it says nothing.
    if (line === '' && this.#lines.length === 0) return;
    this.#lines.push(line);
    if (/^\d{3}-/.test(line)) return;
    replies.push(parseReply(this.#lines.join('\n')) ?? 'garbled');
    this.#lines = [];
  }
}
