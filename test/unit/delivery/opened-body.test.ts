import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { OpenedBody } from '../../../relay/delivery/opened-body.ts';

/** Three chunks, and how far its reader came. */
function source(): { chunks: AsyncIterable<Buffer>; seen: { read: number; closed: boolean } } {
  const seen = { read: 0, closed: false };
  async function* chunks(): AsyncGenerator<Buffer> {
    try {
      for (const text of ['one', 'two', 'three']) {
        seen.read += 1;
        yield Buffer.from(text);
      }
    } finally {
      seen.closed = true;
    }
  }
  return { chunks: chunks(), seen };
}

describe('a body that is opened', () => {
  test('is read whole and in order, one chunk ahead', async () => {
    const { chunks, seen } = source();
    const body = await OpenedBody.open(chunks);
    assert.deepEqual(seen, { read: 1, closed: false });
    assert.equal(Buffer.concat(await Array.fromAsync(body)).toString(), 'onetwothree');
    assert.ok(seen.closed);
    body.close();
  });

  test('gives its file back when nobody reads it, and when its reader stops', async () => {
    const unread = source();
    (await OpenedBody.open(unread.chunks)).close();
    const cut = source();
    for await (const _ of await OpenedBody.open(cut.chunks)) break;
    await new Promise(resolve => setImmediate(resolve));
    assert.deepEqual([unread.seen, cut.seen], Array(2).fill({ read: 1, closed: true }));
  });

  test('is none when its first chunk cannot be had', async () => {
    const failing = { [Symbol.asyncIterator]: () => ({ next: () => Promise.reject(new Error('EIO')) }) };
    await assert.rejects(OpenedBody.open(failing), /EIO/);
  });
});
