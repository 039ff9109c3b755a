/**
 * Makes every line of a message end in CRLF, the last one too: the form in
 * which the store keeps bodies and SMTP sends them (RFC 5321 section 2.3.8).
 * Files from elsewhere often have bare LF.
 */

/** Chunks in, chunks out; a CR at the end of a chunk waits for what follows it. */
export async function* canonicalLines(source: AsyncIterable<Buffer>): AsyncGenerator<Buffer> {
  let held = '';
  let ended = true;
  for await (const chunk of source) {
    const text = held + chunk.toString('latin1');
    held = text.endsWith('\r') ? '\r' : '';
    const lines = text.slice(0, text.length - held.length).replace(/\r\n|\r|\n/g, '\r\n');
    if (lines === '') continue;
    ended = lines.endsWith('\n');
    yield Buffer.from(lines, 'latin1');
  }
  if (held !== '' || !ended) yield Buffer.from('\r\n');
}
