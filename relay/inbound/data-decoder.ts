/**
 * Takes the bytes after 354 apart (RFC 5321 section 4.5.2): finds the end of
 * the message, removes the dots that the client stuffed, and notices line ends
 * that are not CRLF. Only CRLF.CRLF (or .CRLF right after 354) ever ends the
 * message and only a dot after a real CRLF is ever removed, however the bytes
 * are cut into chunks and whatever stands around them: nothing that follows a
 * doubtful line end can pass as an SMTP command (SMTP smuggling).
 *
 * Works inside the chunk it is given and copies only where dots are removed.
 * Never holds back more than the two bytes `.CR`.
 */
import { LineBytes } from './line-bytes.ts';

const CR = 0x0d;
const LF = 0x0a;
const DOT = 0x2e;

/** Below this many bytes a loop beats the call into native code. */
const SHORT_COPY = 48;

/**
 * What the last bytes were.
 * start   a line begins (after CRLF, or after 354)
 * text    inside a line
 * cr      the last byte is a CR, already passed on
 * dot     a line began with a dot that is held back
 * dot-cr  a line began with `.CR`, held back
 * end     the message is over
 */
type State = 'start' | 'text' | 'cr' | 'dot' | 'dot-cr' | 'end';

/** States in which a chunk's last bytes are content. */
const UNMARKED: ReadonlySet<State> = new Set(['text', 'cr']);

/**
 * keep       bare CR and LF stay as they are; `bareNewline` tells of them
 * normalize  each becomes CRLF
 */
export type BareNewlineMode = 'keep' | 'normalize';

export class DataDecoder {
  readonly #normalize: boolean;
  #state: State = 'start';
  #bareNewline = false;
  #rest: Buffer | undefined;
  /** Where the slow path writes; used up to #length. */
  #out: Buffer = Buffer.alloc(0);
  #length = 0;

  constructor(mode: BareNewlineMode) {
    this.#normalize = mode === 'normalize';
  }

  /** Whether the terminator has been seen. */
  get ended(): boolean {
    return this.#state === 'end';
  }

  /** Whether a CR without LF, or an LF without CR, has been seen so far. */
  get bareNewline(): boolean {
    return this.#bareNewline;
  }

  /** The bytes behind the terminator; undefined until `ended`. */
  get rest(): Buffer | undefined {
    return this.#rest;
  }

  /**
   * Decodes the next chunk and returns the content in it, in order. Overwrites
   * the chunk: it belongs to the decoder and the returned buffers share its
   * memory. Must not be called after `ended`.
   */
  decode(chunk: Buffer): Buffer[] {
    const pieces: Buffer[] = [];
    const from = this.#finishPending(chunk, pieces);
    if (this.#state === 'end') {
      this.#rest = chunk.subarray(from);
      return pieces;
    }
    if (from < chunk.length) this.#bulk(chunk, from, pieces);
    return pieces;
  }

  /** Byte by byte until what the last chunk left open is decided. Returns how many bytes that took. */
  #finishPending(chunk: Buffer, pieces: Buffer[]): number {
    if (this.#state === 'text') return 0;
    let from = 0;
    let opened = false;
    while (from < chunk.length && this.#isOpen(chunk[from])) {
      if (!opened) this.#openOut(chunk.length);
      opened = true;
      this.#step(chunk[from] as number);
      from++;
    }
    if (opened) pieces.push(...this.#closeOut());
    return from;
  }

  /** Whether the next byte's meaning depends on those before the chunk. */
  #isOpen(next: number | undefined): boolean {
    if (this.#state === 'start') return next === DOT;
    return !(this.#state === 'text' || this.#state === 'end');
  }

  /** From a position in state start (no dot there) or text: the fast path. */
  #bulk(chunk: Buffer, from: number, pieces: Buffer[]): void {
    const search = new LineBytes(chunk);
    const line = new InPlace(chunk, from);
    this.#state = 'text';
    let at = search.next(from);
    while (at < chunk.length) {
      const next = this.#afterLineByte(chunk, at, line);
      if (next < 0) {
        this.#slowRest(chunk, at, line, pieces);
        return;
      }
      at = search.next(next);
    }
    const content = line.take(UNMARKED.has(this.#state) ? chunk.length : undefined);
    if (content.length > 0) pieces.push(content);
  }

  /** A CR or LF stands at `at`. Returns where to go on, or -1 when it must be changed. */
  #afterLineByte(chunk: Buffer, at: number, line: InPlace): number {
    if (chunk[at] === CR) {
      if (chunk[at + 1] === LF) return this.#afterCrlf(chunk, at + 2, line);
      if (at + 1 === chunk.length) {
        this.#state = 'cr';
        return chunk.length;
      }
    }
    this.#bareNewline = true;
    return this.#normalize ? -1 : at + 1;
  }

  /** A CRLF ended at `at`: decides about the dot there. Returns where to go on, or the chunk's length when it is used up. */
  #afterCrlf(chunk: Buffer, at: number, line: InPlace): number {
    const length = chunk.length;
    if (at >= length) {
      this.#state = 'start';
      line.mark(length);
      return length;
    }
    if (chunk[at] !== DOT) return at;
    line.mark(at);
    const mayEnd = at + 1 >= length || chunk[at + 1] === CR;
    if (!mayEnd) {
      line.skip(1);
      return at + 1;
    }
    if (at + 2 >= length) {
      this.#state = at + 1 >= length ? 'dot' : 'dot-cr';
      return length;
    }
    if (chunk[at + 2] === LF) {
      this.#state = 'end';
      this.#rest = chunk.subarray(at + 3);
      return length;
    }
    line.skip(1);
    return at + 1;
  }

  /** The rest of a chunk that needs CRs or LFs added: byte by byte, into memory of its own. */
  #slowRest(chunk: Buffer, from: number, line: InPlace, pieces: Buffer[]): void {
    pieces.push(line.take(from));
    this.#openOut(chunk.length - from);
    let at = from;
    while (at < chunk.length && this.#state !== 'end') this.#step(chunk[at++] as number);
    pieces.push(...this.#closeOut());
    if (this.#state === 'end') this.#rest = chunk.subarray(at);
  }

  #openOut(bytes: number): void {
    // Two bytes for each one read (LF becomes CRLF), and what was held back before.
    this.#out = Buffer.allocUnsafe(bytes * 2 + 4);
    this.#length = 0;
  }

  #closeOut(): Buffer[] {
    const content = this.#out.subarray(0, this.#length);
    this.#out = Buffer.alloc(0);
    return content.length > 0 ? [content] : [];
  }

  #put(byte: number): void {
    this.#out[this.#length++] = byte;
  }

  /** The whole state machine for one byte. */
  #step(byte: number): void {
    switch (this.#state) {
      case 'start':
        if (byte === DOT) this.#state = 'dot';
        else this.#text(byte);
        break;
      case 'cr':
        this.#afterCr(byte);
        break;
      case 'dot':
        if (byte === CR) this.#state = 'dot-cr';
        else this.#text(byte);
        break;
      case 'dot-cr':
        if (byte === LF) {
          this.#state = 'end';
        } else {
          this.#put(CR);
          this.#afterCr(byte);
        }
        break;
      default:
        this.#text(byte);
    }
  }

  #text(byte: number): void {
    if (byte === LF) {
      this.#bareNewline = true;
      if (this.#normalize) this.#put(CR);
    }
    this.#put(byte);
    this.#state = byte === CR ? 'cr' : 'text';
  }

  #afterCr(byte: number): void {
    if (byte === LF) {
      this.#put(LF);
      this.#state = 'start';
      return;
    }
    this.#bareNewline = true;
    if (this.#normalize) this.#put(LF);
    this.#text(byte);
  }
}

/** Closes the gaps in a chunk where dots are removed, moving bytes only when there is a gap. */
class InPlace {
  readonly #chunk: Buffer;
  readonly #start: number;
  /** Content is [start, out), then what lies from `segment` on. */
  #out: number;
  #segment: number;

  constructor(chunk: Buffer, start: number) {
    this.#chunk = chunk;
    this.#start = start;
    this.#out = start;
    this.#segment = start;
  }

  /** Content reaches to `end`, and is not known to go on. */
  mark(end: number): void {
    const chunk = this.#chunk;
    const length = end - this.#segment;
    if (this.#out === this.#segment) {
      // nothing removed so far
    } else if (length < SHORT_COPY) {
      for (let i = 0; i < length; i++) chunk[this.#out + i] = chunk[this.#segment + i] as number;
    } else {
      chunk.copyWithin(this.#out, this.#segment, end);
    }
    this.#out += length;
    this.#segment = end;
  }

  /** Leaves out the next bytes. */
  skip(count: number): void {
    this.#segment += count;
  }

  /** All content, up to `end` when given, otherwise up to the last mark. */
  take(end: number | undefined): Buffer {
    if (end !== undefined) this.mark(end);
    return this.#chunk.subarray(this.#start, this.#out);
  }
}
