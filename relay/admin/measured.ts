/**
 * A body and its real size, for a form that says the size first. The row of a
 * message knows the size it came with; the file in emails/failed may have been
 * edited since. Small bodies are held while they are counted, large ones are
 * read twice.
 */

/** Most messages are smaller; a few of this size at a time are no burden. */
const heldBytes = 1024 * 1024;

export interface MeasuredBody {
  readonly size: number;
  readonly chunks: AsyncIterable<Buffer> | Iterable<Buffer>;
}

/** `read` begins the body anew each time. Rejects with what reading says. */
export async function measured(read: () => AsyncIterable<Buffer>): Promise<MeasuredBody> {
  const held: Buffer[] = [];
  let size = 0;
  for await (const chunk of read()) {
    size += chunk.length;
    if (size <= heldBytes) held.push(chunk);
  }
  return { size, chunks: size <= heldBytes ? held : read() };
}
