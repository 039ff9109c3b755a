/** People remove directories of the spool while it is open (rm -r, a restored backup): each is made again. */
import assert from 'node:assert/strict';
import { mkdir, rename, rm, unlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, type TestContext, test } from 'node:test';
import { bodyOf, bury, fail, namesIn, over, put, START, scene, text } from './fixture.ts';

async function opened(t: TestContext) {
  const { open, directory, events } = await scene(t);
  const spool = await open();
  const remove = (name: string) => rm(join(directory, name), { recursive: true });
  const states = async () => (await spool.list({})).map(({ state, reason }) => `${state}: ${reason}`);
  return { spool, open, directory, events, remove, states };
}

describe('a directory that somebody removed', () => {
  test('is made again for a body that goes there from the database', async t => {
    const { spool, directory, remove } = await opened(t);
    await remove('failed');
    const id = await put(spool, text(100));
    await fail(spool, id, START + 5);
    assert.deepEqual(await namesIn(directory, 'failed'), [`${id}.eml`]);
  });

  test('emails/dead is made again for mail that dies in emails/failed, which keeps its body', async t => {
    const { spool, directory, events, remove, states } = await opened(t);
    const ids = await Promise.all(Array.from({ length: 40 }, (_, i) => put(spool, text(100 + i))));
    await Promise.all(ids.map(id => fail(spool, id, START)));
    await remove('dead');
    // One is taken away with the directory, which is nothing to the others.
    const [gone, ...others] = ids;
    await unlink(join(directory, 'failed', `${gone}.eml`));
    await Promise.all(ids.map(id => bury(spool, id)));
    assert.deepEqual(await namesIn(directory, 'dead'), others.map(id => `${id}.eml`).sort());
    assert.deepEqual(await namesIn(directory, 'failed'), []);
    const [first, ...rest] = await states();
    assert.match(first ?? '', /^dead: body missing/);
    assert.deepEqual([...new Set(rest)], ['dead: rejected']);
    for (const [index, id] of others.entries()) assert.deepEqual(await bodyOf(spool, id), text(101 + index));
    const told = events.map(event => ('message' in event ? `${event.event}: ${event.message}` : event.event));
    assert.deepEqual(told.slice(1), [
      `spool-trouble: the body of ${gone} is missing: there is no ${directory}/failed/${gone}.eml`,
    ]);
  });

  test('emails/failed is made again for dead mail that is to be sent once more', async t => {
    const { spool, directory, remove, states } = await opened(t);
    const id = await put(spool, text(100));
    await bury(spool, id);
    await remove('failed');
    assert.equal(await spool.resend({}), 1);
    assert.deepEqual(await namesIn(directory, 'failed'), [`${id}.eml`]);
    assert.match((await states())[0] ?? '', /^failed: /);
    assert.deepEqual(await bodyOf(spool, id), text(100));
  });

  test('with dead mail in it leaves that as it was, but for its body: a resend changes and counts none of it', async t => {
    const { spool, remove, states } = await opened(t);
    const id = await put(spool, text(100));
    const other = await put(spool, text(200));
    await bury(spool, id);
    await remove('dead');
    await bury(spool, other);
    assert.equal(await spool.resend({}), 1, 'the other one');
    assert.deepEqual((await states())[0], 'dead: body missing: its file was taken away; rejected');
    assert.deepEqual((await spool.list({ ids: [id] }))[0]?.recipients, over);
    assert.equal(spool.counts().dead.messages, 1);
    assert.equal(await spool.resend({ ids: [id] }), 0);
  });

  test('and that cannot be made again leaves the body where it is, known and readable', async t => {
    const { spool, directory, remove, states } = await opened(t);
    const id = await put(spool, text(100));
    await fail(spool, id, START);
    await remove('dead');
    await writeFile(join(directory, 'dead'), 'a file in its place');
    await bury(spool, id);
    assert.deepEqual(await states(), ['dead: rejected']);
    assert.deepEqual(await namesIn(directory, 'failed'), [`${id}.eml`]);
    assert.deepEqual(await bodyOf(spool, id), text(100));
    assert.equal(spool.failure(), undefined);
  });

  test('is made at the next start, emails/quarantine too', async t => {
    const { spool, open, directory, remove } = await opened(t);
    const id = await put(spool, text(100));
    await fail(spool, id, START);
    await spool.close();
    for (const name of ['dead', 'quarantine']) await remove(name);
    await writeFile(join(directory, 'failed', 'strange'), 'nobody knows it');
    const again = await open();
    assert.deepEqual(await namesIn(directory, 'quarantine'), ['strange']);
    await bury(again, id);
    assert.deepEqual(await namesIn(directory, 'dead'), [`${id}.eml`]);
  });

  test('and put back with what was in it goes on as before', async t => {
    const { spool, directory } = await opened(t);
    const [first, second] = [await put(spool, text(100)), await put(spool, text(200))];
    await bury(spool, first);
    await rename(join(directory, 'dead'), join(directory, 'saved'));
    await fail(spool, second, START);
    await bury(spool, second);
    await mkdir(join(directory, 'dead'), { recursive: true });
    await rename(join(directory, 'saved', `${first}.eml`), join(directory, 'dead', `${first}.eml`));
    for (const [id, size] of [
      [first, 100],
      [second, 200],
    ] as const)
      assert.deepEqual(await bodyOf(spool, id), text(size));
  });
});
