/** Splits a byte stream into JSON values, one a line. A stream that ends inside a line ends in an error, never in a lost event. */
import { ConnectionError } from './api-error.ts';

const newline = 10;

/** Throws ConnectionError `protocol` for a line that is not a JSON object, `reset` for a half line at the end. */
export async function* jsonLines<T>(chunks: AsyncIterable<Uint8Array>): AsyncGenerator<T> {
  let pending: Uint8Array[] = [];
  for await (const chunk of chunks) {
    let start = 0;
    for (let end = chunk.indexOf(newline); end >= 0; end = chunk.indexOf(newline, start)) {
      pending.push(chunk.subarray(start, end));
      yield parseLine<T>(Buffer.concat(pending));
      pending = [];
      start = end + 1;
    }
    if (start < chunk.length) pending.push(chunk.subarray(start));
  }
  if (pending.length > 0) throw new ConnectionError('reset', 'API server: watch ended inside an event');
}

function parseLine<T>(line: Buffer): T {
  const text = line.toString('utf8');
  try {
    const value: unknown = JSON.parse(text);
    if (typeof value === 'object' && value !== null) return value as T;
  } catch {
    // Said below: a line that is no JSON and a line that is no object are the same fault.
  }
  throw new ConnectionError(
    'protocol',
    `API server: watch sent no event but ${JSON.stringify(text.slice(0, 200))}`,
  );
}
