/** A volume that has room and no free inodes (a tmpfs with few): no new file can be made on it. */
import assert from 'node:assert/strict';
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, type TestContext, test } from 'node:test';
import { type OpenSpool, openSpool } from '../../../relay/spool/open.ts';
import type { RelayEvent } from '../../../relay/telemetry/events.ts';
import { bodyOf, bury, fail, namesIn, put, START, text } from '../../unit/spool/fixture.ts';
import { mountingMissing, occupyInodes, smallVolume } from '../volume.ts';
import { run } from './process.ts';

interface Scene {
  readonly volume: string;
  readonly directory: string;
  readonly events: RelayEvent[];
  readonly open: () => Promise<OpenSpool>;
}

async function scene(t: TestContext): Promise<Scene> {
  const { path: volume, remove } = await smallVolume('nr_inodes=40');
  const events: RelayEvent[] = [];
  const opened: OpenSpool[] = [];
  t.after(async () => {
    for (const spool of opened) await spool.close();
    await remove();
  });
  const directory = join(volume, 'emails');
  const open = async (): Promise<OpenSpool> => {
    const spool = await openSpool({
      directory,
      maxMessageBytes: 1_000_000,
      reserveBytes: 0,
      retention: { ageMs: 1e12, maxMessages: 1e6, maxBytes: 1e12 },
      now: Date.now,
      emit: event => events.push(event),
    });
    opened.push(spool);
    return spool;
  };
  return { volume, directory, events, open };
}

async function free(paths: readonly string[]): Promise<void> {
  for (const path of paths) await rm(path);
}

describe('a volume without free inodes', { skip: mountingMissing }, () => {
  test('takes mail, and keeps what fails in the database until there is one', async t => {
    const { volume, directory, events, open } = await scene(t);
    const spool = await open();
    const occupied = await occupyInodes(volume);
    const [first, second, third] = [
      await put(spool, text(5000)),
      await put(spool, text(700_000)),
      await put(spool, text(300)),
    ];
    await fail(spool, first, START);
    await fail(spool, second, START);
    await bury(spool, third);
    assert.deepEqual(
      (await spool.list({})).map(({ state }) => state),
      ['failed', 'failed', 'dead'],
    );
    assert.deepEqual([...(await namesIn(directory, 'failed')), ...(await namesIn(directory, 'dead'))], []);
    assert.deepEqual(await bodyOf(spool, first), text(5000));
    assert.deepEqual(await bodyOf(spool, second), text(700_000));
    assert.deepEqual(await bodyOf(spool, third), text(300));
    assert.equal(spool.failure(), undefined);
    assert.deepEqual([...new Set(events.map(({ event }) => event))], ['spool-recovered', 'spool-trouble']);

    await free(occupied);
    await fail(spool, first, START);
    await bury(spool, second);
    assert.deepEqual(await namesIn(directory, 'failed'), [`${first}.eml`]);
    assert.deepEqual(await namesIn(directory, 'dead'), [`${second}.eml`]);
    await spool.close();
    const reopened = await open();
    for (const [id, size] of [
      [first, 5000],
      [second, 700_000],
      [third, 300],
    ] as const) {
      assert.deepEqual(await bodyOf(reopened, id), text(size));
    }
    assert.ok(events.every(({ event }) => event !== 'spool-failed' && event !== 'message-dead'));
  });

  test('does not keep the store from starting again after an orderly end', async t => {
    const { volume, events, open } = await scene(t);
    const first = await open();
    const id = await put(first, text(5000));
    await first.close();
    const occupied = await occupyInodes(volume);
    const second = await open();
    assert.deepEqual(await bodyOf(second, id), text(5000));
    const more = await put(second, text(300));
    await second.close();
    await free(occupied);
    const third = await open();
    assert.deepEqual(await bodyOf(third, more), text(300));
    assert.ok(events.every(({ event }) => event !== 'spool-failed'));
  });

  test('nor after a kill', async t => {
    const { volume, directory, events, open } = await scene(t);
    const child = run({ directory, what: 'flood' });
    await child.saidLines(40);
    child.process.kill('SIGKILL');
    await child.ended;
    await occupyInodes(volume);
    const spool = await open();
    const kept = child.lines.filter(line => line.startsWith('kept ')).map(line => line.split(' '));
    const ended = new Set(
      child.lines.filter(line => line.startsWith('ending ')).map(line => line.split(' ')[1]),
    );
    const there = new Set((await spool.list({})).map(({ id }): string => id));
    for (const [, id = ''] of kept) assert.ok(ended.has(id) || there.has(id), `${id} is lost`);
    await put(spool, text(300));
    assert.ok(events.every(({ event }) => event !== 'spool-failed'));
  });
});
