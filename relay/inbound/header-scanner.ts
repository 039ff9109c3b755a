/**
 * Looks at a message's header as its bytes arrive: counts Received fields
 * (mail loops, RFC 5321 section 6.3) and sees whether Message-ID and Date are
 * there. Holds back the header, and nothing more, until its end is known, so
 * that what is missing can be put in front. Never changes a byte.
 */

const LF = 0x0a;
const CR = 0x0d;
const COLON = 0x3a;

/** What the header said once its end was seen. */
export interface HeaderFacts {
  readonly received: number;
  readonly hasMessageId: boolean;
  readonly hasDate: boolean;
  /**
   * The first line is neither a header field nor the empty line: the message
   * has no header, and what is put in front must bring the empty line along.
   */
  readonly startsWithText: boolean;
  /**
   * Lower-case names in the h= tags of DKIM-Signature fields. A name that is
   * signed but absent is signed as absent (RFC 6376 section 5.4): adding the
   * field would break the signature.
   */
  readonly signedNames: ReadonlySet<string>;
}

export class HeaderScanner {
  /** Everything so far, in one piece; grows by doubling. */
  #held: Buffer = Buffer.alloc(0);
  #used = 0;
  #lineStart = 0;
  #searched = 0;
  #received = 0;
  #hasMessageId = false;
  #hasDate = false;
  #fields = 0;
  #signature: { readonly start: number } | undefined;
  readonly #signedNames = new Set<string>();
  #startsWithText = false;
  #done = false;

  /** Bytes held back now. */
  get held(): number {
    return this.#used;
  }

  /** Takes the next bytes. Returns what was found once the header has ended, else undefined. */
  push(piece: Buffer): HeaderFacts | undefined {
    this.#append(piece);
    while (!this.#done) {
      const newline = this.#held.indexOf(LF, this.#searched);
      if (newline < 0 || newline >= this.#used) {
        this.#searched = this.#used;
        return undefined;
      }
      this.#searched = newline + 1;
      this.#line(this.#lineStart, newline + 1);
      this.#lineStart = newline + 1;
    }
    return this.#facts();
  }

  /** The message ended inside its header (or had no line end at all). */
  finish(): HeaderFacts {
    if (!this.#done && this.#lineStart < this.#used) this.#line(this.#lineStart, this.#used);
    this.#endSignature(this.#used);
    return this.#facts();
  }

  /** Hands over the bytes held back, for good. */
  take(): Buffer {
    const bytes = this.#held.subarray(0, this.#used);
    this.#held = Buffer.alloc(0);
    this.#used = 0;
    return bytes;
  }

  #append(piece: Buffer): void {
    if (this.#used === 0) {
      // Nearly always the whole header is in the first piece: no copy then.
      this.#held = piece;
      this.#used = piece.length;
      return;
    }
    const needed = this.#used + piece.length;
    if (needed > this.#held.length) {
      const grown = Buffer.allocUnsafe(Math.max(needed, this.#held.length * 2));
      this.#held.copy(grown, 0, 0, this.#used);
      this.#held = grown;
    }
    piece.copy(this.#held, this.#used);
    this.#used = needed;
  }

  #line(start: number, end: number): void {
    const first = this.#held[start];
    if (first === LF || (first === CR && end - start === 2)) {
      this.#end(start);
      return;
    }
    const isFolded = first === 0x20 || first === 0x09;
    if (isFolded && this.#fields > 0) return;
    this.#endSignature(start);
    const colon = isFolded ? -1 : nameEnd(this.#held, start, end);
    if (colon < 0) {
      this.#startsWithText = this.#fields === 0;
      this.#end(start);
      return;
    }
    this.#fields++;
    this.#field(start, colon);
  }

  #field(start: number, colon: number): void {
    switch ((this.#held[start] as number) | 0x20) {
      case 0x72:
        if (this.#isNamed('received', start, colon)) this.#received++;
        break;
      case 0x6d:
        if (this.#isNamed('message-id', start, colon)) this.#hasMessageId = true;
        break;
      case 0x64:
        if (this.#isNamed('date', start, colon)) this.#hasDate = true;
        else if (this.#isNamed('dkim-signature', start, colon)) this.#signature = { start: colon + 1 };
        break;
      default:
    }
  }

  #isNamed(name: string, start: number, colon: number): boolean {
    if (colon - start < name.length) return false;
    return this.#held.toString('latin1', start, colon).trimEnd().toLowerCase() === name;
  }

  #end(at: number): void {
    this.#endSignature(at);
    this.#done = true;
  }

  /** A DKIM-Signature field ended before `end`: notes the names in its h= tag. */
  #endSignature(end: number): void {
    if (this.#signature === undefined) return;
    const value = this.#held.toString('latin1', this.#signature.start, end).replace(/\s/g, '');
    this.#signature = undefined;
    const names = /(?:^|;)h=([^;]*)/.exec(value)?.[1] ?? '';
    for (const name of names.toLowerCase().split(':')) this.#signedNames.add(name);
  }

  #facts(): HeaderFacts {
    return {
      received: this.#received,
      hasMessageId: this.#hasMessageId,
      hasDate: this.#hasDate,
      startsWithText: this.#startsWithText,
      signedNames: this.#signedNames,
    };
  }
}

/** Index of the colon after a field name (RFC 5322 section 2.2; obsolete blanks before it allowed), or -1. */
function nameEnd(bytes: Buffer, start: number, end: number): number {
  let at = start;
  while (at < end && isNameByte(bytes[at] as number)) at++;
  if (at === start) return -1;
  while (at < end && (bytes[at] === 0x20 || bytes[at] === 0x09)) at++;
  return at < end && bytes[at] === COLON ? at : -1;
}

/** Printable ASCII but the colon. A field name in UTF-8 (RFC 6532 does not allow one) is text. */
function isNameByte(byte: number): boolean {
  return byte > 0x20 && byte < 0x7f && byte !== COLON;
}
