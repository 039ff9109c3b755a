import assert from 'node:assert/strict';
import { mkdir, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { until } from '../../smtp/wait.ts';
import { put, scene, text } from './fixture.ts';

describe('the number of things in quarantine', () => {
  test('is 0 in a new directory, whatever mail comes', async t => {
    const { open } = await scene(t);
    const spool = await open();
    await put(spool, text(100));
    assert.equal(spool.quarantined(), 0);
  });

  test('has what this start has moved there and what lay there before', async t => {
    const { open, directory } = await scene(t);
    await (await open()).close();
    await writeFile(join(directory, 'failed', 'notes.txt'), 'mine');
    const second = await open();
    assert.equal(second.quarantined(), 1);
    await second.close();
    await writeFile(join(directory, 'dead', 'more.eml'), 'mine, too');
    assert.equal((await open()).quarantined(), 2);
  });

  test('follows people who take things out, put some in, or remove the directory', async t => {
    const { open, directory } = await scene(t);
    await (await open()).close();
    for (const name of ['a', 'b']) await writeFile(join(directory, 'failed', name), name);
    const spool = await open();
    const becomes = (count: number) =>
      until(() => spool.quarantined() === count, `${count} things in quarantine`, 20_000);
    await becomes(2);
    await rm(join(directory, 'quarantine', 'a'));
    await becomes(1);
    await mkdir(join(directory, 'quarantine', 'looked-at'));
    await becomes(2);
    await rm(join(directory, 'quarantine'), { recursive: true });
    await becomes(0);
  });

  test('is not known while the directory cannot be read', async t => {
    const { open, directory } = await scene(t);
    const spool = await open();
    const path = join(directory, 'quarantine');
    await rename(path, `${path}.away`);
    await writeFile(path, 'no directory');
    await until(() => spool.quarantined() === undefined, 'nobody knows', 20_000);
    await rm(path);
    await rename(`${path}.away`, path);
    await until(() => spool.quarantined() === 0, 'it is known again', 20_000);
  });
});
