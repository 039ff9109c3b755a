/**
 * Messages in one stream, for export and import: each is one line of JSON (an
 * object whose `size` counts the body's bytes), the body, and a line end.
 * Bodies are never held whole, whatever their size.
 */
import { HttpError } from './http-error.ts';

/** Media type of such a stream. */
export const framesType = 'application/vnd.mailrelay.messages';

/** Room for the longest list of recipients with their replies. */
const maxHeaderBytes = 16 * 1024 * 1024;
const newline = 10;
const lineEnd = Buffer.from('\n');

/** One message as it goes out. `size` in the header must be what the body yields. */
export async function* frame(
  header: Readonly<Record<string, unknown>> & { readonly size: number },
  body: AsyncIterable<Buffer> | Iterable<Buffer>,
): AsyncGenerator<Buffer> {
  yield Buffer.from(`${JSON.stringify(header)}\n`);
  let size = 0;
  for await (const chunk of body) {
    size += chunk.length;
    yield chunk;
  }
  if (size !== header.size)
    throw new Error(`a body of ${header.size} bytes was announced and ${size} bytes came`);
  yield lineEnd;
}

/** One message as it came in. The body must be read to its end before the next one is asked for. */
export interface Frame {
  readonly header: Readonly<Record<string, unknown>>;
  readonly body: AsyncIterable<Buffer>;
}

/** Takes a stream apart. Throws HttpError 400 where it is not as described above or ends too early. */
export async function* readFrames(source: AsyncIterable<Buffer>): AsyncGenerator<Frame> {
  const input = new Input(source);
  while (true) {
    const line = await input.line();
    if (line === undefined) return;
    if (line.trim() === '') continue;
    const header = parseHeader(line);
    yield { header, body: input.take(header.size) };
  }
}

function parseHeader(line: string): Readonly<Record<string, unknown>> & { readonly size: number } {
  const header = parseObject(line);
  const size = header['size'];
  if (!Number.isSafeInteger(size) || (size as number) < 0) {
    throw new HttpError(400, 'size must be the number of bytes of the body that follows');
  }
  return { ...header, size: size as number };
}

function parseObject(line: string): Record<string, unknown> {
  try {
    const value: unknown = JSON.parse(line);
    if (value !== null && typeof value === 'object' && !Array.isArray(value))
      return value as Record<string, unknown>;
  } catch {
    // Said below, the same for every kind of wrong line.
  }
  throw new HttpError(
    400,
    `each message must begin with a line that is a JSON object, not ${line.slice(0, 60)}`,
  );
}

class Input {
  readonly #chunks: AsyncIterator<Buffer>;
  #rest = Buffer.alloc(0);

  constructor(source: AsyncIterable<Buffer>) {
    this.#chunks = source[Symbol.asyncIterator]();
  }

  /** The next line without its end; undefined at the end of the stream. */
  async line(): Promise<string | undefined> {
    const parts: Buffer[] = [];
    let room = maxHeaderBytes;
    let end = this.#rest.indexOf(newline);
    while (end < 0) {
      parts.push(this.#rest);
      room -= this.#rest.length;
      if (room < 0) throw new HttpError(400, `a line of JSON is longer than ${maxHeaderBytes} bytes`);
      if (!(await this.#more()))
        return room === maxHeaderBytes ? undefined : Buffer.concat(parts).toString('utf8');
      end = this.#rest.indexOf(newline);
    }
    parts.push(this.#rest.subarray(0, end));
    this.#rest = this.#rest.subarray(end + 1);
    return Buffer.concat(parts).toString('utf8');
  }

  async *take(size: number): AsyncGenerator<Buffer> {
    let left = size;
    while (left > 0) {
      if (this.#rest.length === 0 && !(await this.#more())) {
        throw new HttpError(400, `the stream ended ${left} bytes before the end of a message`);
      }
      const part = this.#rest.subarray(0, left);
      this.#rest = this.#rest.subarray(part.length);
      left -= part.length;
      yield part;
    }
  }

  async #more(): Promise<boolean> {
    const { value, done } = await this.#chunks.next();
    this.#rest = done ? Buffer.alloc(0) : Buffer.from(value as Buffer);
    return !done;
  }
}
