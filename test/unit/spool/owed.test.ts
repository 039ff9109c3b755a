/** Mail that is owed for mail: into the store together with the word that it was sent, or neither of both. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { type Claim, SpoolError } from '../../../relay/spool/spool.ts';
import { bodyOf, owe, put, scene, text, told } from './fixture.ts';

describe('mail that is owed', () => {
  for (const size of [2000, 900_000]) {
    test(`of ${size} bytes is there after a restart, together with what it tells of`, async t => {
      const { open } = await scene(t);
      const first = await open();
      const about = await put(first, text(100));
      const id = await owe(first, about, text(size));
      await first.close();
      const second = await open();
      assert.deepEqual(
        (await second.list({})).map(message => [message.id, message.state, message.sender]),
        [
          [about, 'active', 'sender@example.org'],
          [id, 'active', ''],
        ],
      );
      assert.deepEqual((await second.list({ ids: [about] }))[0]?.recipients, told);
      assert.deepEqual(await bodyOf(second, id), text(size));
    });
  }

  test('about a message that is gone is not stored', async t => {
    const { open } = await scene(t);
    const spool = await open();
    const about = await put(spool, text(100));
    await spool.remove({});
    for (const size of [2000, 900_000]) {
      await assert.rejects(owe(spool, about, text(size)), { kind: 'not-found' });
    }
    assert.deepEqual(await spool.list({}), []);
    assert.equal(spool.counts().active.messages, 0);
  });

  test('may use half of the reserve, and is sent like any other', async t => {
    const { open } = await scene(t);
    const spool = await open();
    const about = await put(spool, text(100));
    const { freeBytes } = spool.disk();
    const keep = (bytes: number): void =>
      spool.configure({
        maxMessageBytes: 1000,
        reserveBytes: bytes,
        retention: { ageMs: 1, maxMessages: 1, maxBytes: 1 },
      });
    keep(1.5 * freeBytes);
    assert.throws(() => spool.begin(), SpoolError);
    const taken: Claim[] = [];
    spool.onArrival({ wanted: () => true, take: claim => taken.push(claim) });
    const id = await owe(spool, about, text(2000));
    assert.deepEqual(
      taken.map(({ message }) => message.id),
      [id],
    );
    keep(4 * freeBytes);
    await assert.rejects(owe(spool, about, text(2000)), { kind: 'disk-full' });
  });
});
