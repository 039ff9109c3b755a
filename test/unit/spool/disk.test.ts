import assert from 'node:assert/strict';
import { mkdir, statfs } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { Disk, reserveBytes, volumeOf, withSpare } from '../../../relay/spool/disk.ts';
import type { RelayEvent } from '../../../relay/telemetry/events.ts';
import { until } from '../../smtp/wait.ts';
import { put, scene, text } from './fixture.ts';

const MB = 1024 * 1024;
const GB = 1024 * MB;

describe('the reserve', () => {
  const cases: readonly [string, number, number, number | undefined, number][] = [
    ['is what was asked for', 100 * GB, 25 * MB, 7, 7],
    ['is 5 % of an ordinary disk', 20 * GB, 25 * MB, undefined, GB],
    ['is two of the largest messages where that is more', 400 * MB, 25 * MB, undefined, 50 * MB],
    ['is never more than a quarter of a small volume', 100 * MB, 25 * MB, undefined, 25 * MB],
    ['stops growing on a very large disk', 10_000 * GB, 25 * MB, undefined, 2 * GB],
  ];
  for (const [title, total, message, asked, expected] of cases) {
    test(title, () => assert.equal(reserveBytes(total, message, asked), expected));
  }
});

describe('the watch over the disk', () => {
  test('says once that room is low and once that it is back, with some room between', async () => {
    const events: RelayEvent[] = [];
    let freeBytes = 2000;
    const disk = new Disk({
      look: async () => ({ freeBytes, totalBytes: 10_000 }),
      maxMessageBytes: 10,
      reserveBytes: 1000,
      emit: event => events.push(event),
      now: () => 0,
    });
    const seen: boolean[] = [];
    for (freeBytes of [2000, 999, 900, 1050, 1100, 1001, 999]) {
      await disk.look();
      seen.push(disk.state().low);
    }
    assert.deepEqual(seen, [false, true, true, true, false, false, true]);
    assert.deepEqual(
      events.map(event => event.event),
      ['disk-low', 'disk-recovered', 'disk-low'],
    );
  });

  test('looks again once an eighth of the reserve was written, so that a small volume is not full before', async () => {
    let looks = 0;
    const disk = new Disk({
      look: async () => {
        looks++;
        return { freeBytes: 20_000_000, totalBytes: 24_000_000 };
      },
      maxMessageBytes: 1_000_000,
      reserveBytes: 4_000_000,
      emit: () => undefined,
      now: () => 0,
    });
    await disk.look();
    disk.wrote(400_000);
    assert.equal(looks, 1);
    disk.wrote(100_000);
    assert.equal(looks, 2);
  });

  test('takes no more mail when a volume that has not answered yet may have half of its reserve left, and takes it again by its answer', async () => {
    const events: RelayEvent[] = [];
    let answer = Promise.resolve({ freeBytes: 10_000_000, totalBytes: 24_000_000 });
    const disk = new Disk({
      look: () => answer,
      maxMessageBytes: 1_000_000,
      reserveBytes: 4_000_000,
      emit: event => events.push(event),
      now: () => 0,
    });
    await disk.look();
    const slow = Promise.withResolvers<Awaited<typeof answer>>();
    answer = slow.promise;
    disk.wrote(3_000_000);
    const looking = disk.look();
    assert.equal(disk.state().low, false, 'log and database may have taken six of ten');
    disk.wrote(1_500_000);
    assert.equal(disk.state().low, true, 'or nine');
    assert.match(JSON.stringify(events), /disk-low.*4 MB written since the volume was asked/);
    slow.resolve({ freeBytes: 9_000_000, totalBytes: 24_000_000 });
    await until(() => !disk.state().low, 'the answer');
    await looking;
    assert.equal(events.at(-1)?.event, 'disk-recovered');
    disk.wrote(1_500_000);
    assert.equal(disk.state().low, false, 'what was written before that look counts no more');
  });

  test('of a volume that does not say how large it is refuses no mail for want of an answer', async () => {
    const disk = new Disk({
      look: async () => ({ freeBytes: 0, totalBytes: 0 }),
      maxMessageBytes: 1_000_000,
      reserveBytes: 0,
      emit: () => undefined,
      now: () => 0,
    });
    await disk.look();
    disk.wrote(1_000_000);
    assert.equal(disk.state().low, false);
  });

  test('keeps its last answer when the volume cannot be asked', async () => {
    let fails = false;
    const disk = new Disk({
      look: async () => {
        if (fails) throw new Error('gone');
        return { freeBytes: 5, totalBytes: 10 };
      },
      maxMessageBytes: 1,
      reserveBytes: 1,
      emit: () => undefined,
      now: () => 0,
    });
    await disk.look();
    fails = true;
    await disk.look();
    assert.equal(disk.state().freeBytes, 5);
  });

  test('of a volume that takes no more although room is shown does not flap', async () => {
    const events: RelayEvent[] = [];
    let now = 0;
    const disk = new Disk({
      look: async () => ({ freeBytes: 5000, totalBytes: 10_000 }),
      maxMessageBytes: 10,
      reserveBytes: 1000,
      emit: event => events.push(event),
      now: () => now,
    });
    await disk.look();
    disk.full();
    assert.equal(disk.state().low, true);
    await disk.look();
    assert.equal(disk.state().low, false, 'the first time may have been a moment');
    // For ten minutes mail comes whenever it is taken, and finds no room.
    for (; now < 600_000; now += 1000) {
      if (!disk.state().low) disk.full();
      await disk.look();
    }
    const { length } = events.filter(({ event }) => event === 'disk-low');
    assert.ok(length >= 15 && length <= 22, `${length} times low`);
    now += 30_000;
    await disk.look();
    assert.equal(disk.state().low, false);
    assert.match(JSON.stringify(events[0]), /took no more/);
  });

  test('makes begin() refuse, and a lower reserve makes it accept again at once', async t => {
    const { open } = await scene(t);
    const spool = await open({ reserveBytes: 1e15 });
    assert.throws(() => spool.begin(), { name: 'SpoolError', kind: 'disk-full' });
    spool.configure({
      maxMessageBytes: 1000,
      reserveBytes: 0,
      retention: { ageMs: 1, maxMessages: 1, maxBytes: 1 },
    });
    spool.begin().abort();
  });
});

test('room inside the database counts as free, as long as an eighth of all is on the volume itself', () => {
  const free = (freeBytes: number, spareBytes: number): number =>
    withSpare({ freeBytes, totalBytes: 10_000 }, spareBytes).freeBytes;
  assert.equal(free(1000, 0), 1000);
  assert.equal(free(1000, 500), 1500);
  assert.equal(free(1000, 9000), 8000);
  assert.equal(
    free(1000, -300),
    1000,
    'the log, which is still to be written back, is on the volume already',
  );
  assert.equal(free(0, 9000), 0);
  assert.equal(withSpare({ freeBytes: 1, totalBytes: 10 }, 5).totalBytes, 10);
});

test('a volume has the size that df shows: what only root may use is not part of it', async () => {
  const { bsize, blocks, bfree, bavail } = await statfs(import.meta.dirname);
  const { freeBytes, totalBytes } = await volumeOf(import.meta.dirname);
  assert.ok(freeBytes > 0 && freeBytes < totalBytes && totalBytes <= blocks * bsize);
  // Others write to it meanwhile.
  assert.ok(Math.abs(totalBytes - (blocks - bfree + bavail) * bsize) < 2 ** 30);
});

test('a ballast that can be neither laid in nor tidied away stops nobody', async t => {
  const { directory, open } = await scene(t);
  // Where its first bytes would go.
  await mkdir(join(directory, 'ballast.tmp'), { recursive: true });
  const spool = await open();
  for (let size = 1; size <= 5; size++) await put(spool, text(size));
  assert.equal(spool.counts().active.messages, 5);
  assert.equal(spool.failure(), undefined);
  await spool.close();
});
