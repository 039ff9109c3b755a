/**
 * What goes between 354 and the answer to the final dot (RFC 5321 section
 * 4.5.2): each line that begins with a dot gets another one, the end is marked
 * by CRLF.CRLF, and that sequence leaves nowhere else. Bodies come in with
 * CRLF lines; a CR or LF alone, which some servers take for a line end, is made
 * a CRLF here as well, so that no message can smuggle a second one out.
 *
 * Every change is one byte inserted, so a canonical chunk without leading dots
 * passes uncopied. Looking at it takes 0.5 ms per MiB of 76-byte lines: four
 * bytes at a time, and closer only where one of them is below 0x0e. A search
 * for LF line by line takes 0.6 ms and still misses a bare CR; a loop over
 * bytes takes 2.3.
 */
const CR = 0x0d;
const LF = 0x0a;
const DOT = 0x2e;
const NONE = -1;
const NO_WORDS = new Int32Array(0);

/** Dot-stuffs one body, in chunks of any size. */
export class DotStuffer {
  /** The byte before the next chunk. A body begins where a line begins. */
  #last = LF;
  /** A CR at the end of a chunk waits for the next byte. */
  #heldCr = false;
  /** Places in the current chunk before which a byte goes, and which. */
  #at: number[] = [];
  #byte: number[] = [];

  /** The chunk as it is to be sent, in pieces, in order. */
  push(chunk: Buffer): Buffer[] {
    if (chunk.length === 0) return [];
    const pieces = this.#releaseCr(chunk[0]);
    const body = chunk[chunk.length - 1] === CR ? chunk.subarray(0, -1) : chunk;
    this.#heldCr = body !== chunk;
    if (body.length === 0) return pieces;
    this.#scan(body);
    this.#last = body[body.length - 1] ?? NONE;
    pieces.push(this.#at.length === 0 ? body : this.#insert(body));
    return pieces;
  }

  /** What ends the body: the CRLF that it may lack, and the dot. */
  end(): Buffer {
    const atLineStart = this.#last === LF && !this.#heldCr;
    return Buffer.from(atLineStart ? '.\r\n' : '\r\n.\r\n');
  }

  /** The CR held back: half of a CRLF when LF follows, else made a whole one. */
  #releaseCr(next: number | undefined): Buffer[] {
    if (!this.#heldCr) return [];
    this.#heldCr = false;
    this.#last = next === LF ? CR : LF;
    return [Buffer.from(next === LF ? '\r' : '\r\n')];
  }

  /** Notes every place where a byte is missing. */
  #scan(body: Buffer): void {
    const last = this.#last;
    if (last === LF && body[0] === DOT) this.#note(0, DOT);
    // Words need an address divisible by four; what is before and after is looked at bytewise.
    const start = Math.min((4 - (body.byteOffset & 3)) & 3, body.length);
    const count = (body.length - start) >> 2;
    const words = count === 0 ? NO_WORDS : new Int32Array(body.buffer, body.byteOffset + start, count);
    for (let index = 0; index < start; index++) this.#look(body, index, last);
    for (let word = 0; word < count; word++) {
      const bytes = words[word] as number;
      // Some byte is below 0x0e (or, harmlessly, follows one that is).
      if (((bytes - 0x0e0e0e0e) & ~bytes & 0x80808080) === 0) continue;
      const at = start + word * 4;
      for (let index = at; index < at + 4; index++) this.#look(body, index, last);
    }
    for (let index = start + count * 4; index < body.length; index++) this.#look(body, index, last);
  }

  #look(body: Buffer, index: number, before: number): void {
    const byte = body[index];
    if (byte !== CR && byte !== LF) return;
    const next = body[index + 1];
    if (byte === CR) {
      if (next === LF) return;
      this.#note(index + 1, LF);
    } else if ((index === 0 ? before : body[index - 1]) !== CR) {
      this.#note(index, CR);
    }
    if (next === DOT) this.#note(index + 1, DOT);
  }

  #note(at: number, byte: number): void {
    this.#at.push(at);
    this.#byte.push(byte);
  }

  #insert(body: Buffer): Buffer {
    const out = Buffer.allocUnsafe(body.length + this.#at.length);
    let from = 0;
    let to = 0;
    for (const [index, at] of this.#at.entries()) {
      if (at > from) to += body.copy(out, to, from, at);
      from = at;
      out[to++] = this.#byte[index] ?? NONE;
    }
    body.copy(out, to, from);
    this.#at = [];
    this.#byte = [];
    return out;
  }
}
