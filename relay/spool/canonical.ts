/**
 * Line ends as SMTP wants them (RFC 5321 section 2.3.8): every bare CR or LF
 * becomes CRLF, and the text ends with one. For files that people may have
 * edited or that come from elsewhere; a body that is canonical already passes
 * through in the same buffers.
 */
const CR = 13;
const LF = 10;
const CRLF = Buffer.from('\r\n');

/** The same bytes with canonical line ends; an empty text stays empty. */
export async function* canonicalLines(source: AsyncIterable<Buffer>): AsyncIterable<Buffer> {
  const lines = new LineEnds();
  for await (const chunk of source) {
    const text = lines.take(chunk);
    if (text.length > 0) yield text;
  }
  const end = lines.end();
  if (end.length > 0) yield end;
}

class LineEnds {
  /** The last byte seen was a CR, not yet passed on. */
  #afterCr = false;
  #last = LF;

  take(chunk: Buffer): Buffer {
    if (chunk.length === 0) return chunk;
    const whole = this.#afterCr ? Buffer.concat([Buffer.from([CR]), chunk]) : chunk;
    this.#afterCr = whole[whole.length - 1] === CR;
    const text = this.#afterCr ? whole.subarray(0, -1) : whole;
    const lines = isCanonical(text) ? text : repair(text);
    this.#last = lines[lines.length - 1] ?? this.#last;
    return lines;
  }

  end(): Buffer {
    return this.#afterCr || this.#last !== LF ? CRLF : Buffer.alloc(0);
  }
}

/** Whether each CR has its LF and each LF its CR. */
function isCanonical(text: Buffer): boolean {
  let at = text.indexOf(LF);
  let from = 0;
  while (at !== -1) {
    if (at === 0 || text[at - 1] !== CR) return false;
    const cr = text.indexOf(CR, from);
    if (cr !== at - 1) return false;
    from = at + 1;
    at = text.indexOf(LF, from);
  }
  return text.indexOf(CR, from) === -1;
}

function repair(text: Buffer): Buffer {
  const repaired = Buffer.allocUnsafe(text.length * 2);
  let length = 0;
  for (let at = 0; at < text.length; at++) {
    const byte = text[at] as number;
    if (byte !== CR && byte !== LF) {
      repaired[length++] = byte;
      continue;
    }
    repaired[length++] = CR;
    repaired[length++] = LF;
    if (byte === CR && text[at + 1] === LF) at++;
  }
  return repaired.subarray(0, length);
}
