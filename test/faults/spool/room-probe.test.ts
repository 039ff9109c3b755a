/** What SQLite's errors mean on a volume with room, on one with a little, and on one without (a tmpfs). */
import assert from 'node:assert/strict';
import { readdir, rm, stat, truncate } from 'node:fs/promises';
import { constants } from 'node:os';
import { describe, type TestContext, test } from 'node:test';
import { troubleIn } from '../../../relay/spool/room-probe.ts';
import { explains, perhapsFull } from '../../../relay/spool/trouble.ts';
import { mountingMissing, occupyBytes, occupyInodes, smallVolume } from '../volume.ts';

const sqlite = (errcode: number) =>
  Object.assign(new Error('disk I/O error'), { code: 'ERR_SQLITE_ERROR', errcode });
const [writeFailed, fsyncFailed, cannotOpen, readFailed] = [778, 1034, 14, 266].map(sqlite);

async function volume(t: TestContext, ...options: readonly string[]): Promise<string> {
  const { path, remove } = await smallVolume(...options);
  t.after(remove);
  return path;
}

const meanings = (path: string) =>
  [cannotOpen, writeFailed, fsyncFailed, readFailed].map(error => troubleIn(path, 256 * 1024, error));

describe('an error of the database', { skip: mountingMissing }, () => {
  test('where there is room is a broken disk, and nothing is left of the question', async t => {
    const path = await volume(t);
    assert.deepEqual(meanings(path), ['io', 'io', 'io', 'io']);
    assert.deepEqual(await readdir(path), []);
  });

  test('at an open where there is none is a full volume', async t => {
    const path = await volume(t);
    const other = await occupyBytes(path);
    assert.deepEqual(meanings(path), ['full', 'io', 'io', 'io']);
    // A write may be taken in part, and says so by its length alone.
    await truncate(other, (await stat(other)).size - 100 * 1024);
    assert.deepEqual(meanings(path), ['full', 'io', 'io', 'io']);
    await rm(other);
    assert.deepEqual(meanings(path), ['io', 'io', 'io', 'io']);
  });

  test('at a write is a full volume by a quota alone: it would have been called full by any other', () => {
    const quota = Object.assign(new Error('Unknown system error'), { errno: -constants.errno.EDQUOT });
    const full = Object.assign(new Error('no space'), { code: 'ENOSPC', errno: -constants.errno.ENOSPC });
    assert.equal(explains(quota, writeFailed), true);
    assert.equal(explains(full, writeFailed), false);
    assert.equal(explains(undefined, writeFailed), false);
    assert.deepEqual(
      [quota, full, undefined].map(refusal => explains(refusal, cannotOpen)),
      [true, true, false],
    );
    assert.deepEqual([writeFailed, cannotOpen, fsyncFailed, readFailed].map(perhapsFull), [
      true,
      true,
      false,
      false,
    ]);
  });

  test('without inodes likewise', async t => {
    const path = await volume(t, 'nr_inodes=10');
    await occupyInodes(path);
    assert.deepEqual(meanings(path), ['full', 'io', 'io', 'io']);
  });
});
