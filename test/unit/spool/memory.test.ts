import assert from 'node:assert/strict';
import { test } from 'node:test';
import { bodyOf, put, scene, text } from './fixture.ts';

/** The same bytes in pieces, each with memory of its own, as the network hands them over. */
function pieces(body: Buffer, size: number): Buffer[] {
  return Array.from({ length: Math.ceil(body.length / size) }, (_, index) => {
    const part = body.subarray(index * size, (index + 1) * size);
    const own = Buffer.allocUnsafeSlow(part.length);
    part.copy(own);
    return own;
  });
}

const commit = {
  envelope: { sender: 'a@example.org', recipients: ['b@example.com'], eightBit: false, smtpUtf8: false },
  receivedAt: 0,
};

for (const size of [20_000, 65_536, 300_000]) {
  test(`what arrived in pieces of ${size} bytes is given back to the system once it is on its way`, async t => {
    const { open } = await scene(t);
    const spool = await open();
    const body = text(1_200_000);
    const draft = spool.begin();
    const arriving = pieces(body, size);
    for (const piece of arriving) await draft.write(piece);
    await draft.commit(commit);
    assert.deepEqual(
      arriving.map(({ buffer }) => buffer.byteLength),
      arriving.map(() => 0),
    );
    assert.deepEqual(await bodyOf(spool, draft.id), body);
  });
}

test('memory that is shared with others is left alone', async t => {
  const { open } = await scene(t);
  const spool = await open();
  const body = text(1_000_000);
  assert.deepEqual(await bodyOf(spool, await put(spool, body)), text(1_000_000));
  assert.deepEqual(body, text(1_000_000));
});
