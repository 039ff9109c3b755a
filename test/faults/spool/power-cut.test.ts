/**
 * The power fails at many moments of a busy spool. What was acknowledged is
 * there afterwards, on a disk that keeps no more than it must, and on ones
 * that keep some of the rest (volatile-disk.ts). Skipped, and counted as
 * skipped, where strace is not to be had.
 */
import assert from 'node:assert/strict';
import { mkdir, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { openSpool } from '../../../relay/spool/open.ts';
import type { RelayEvent } from '../../../relay/telemetry/events.ts';
import { straceMissing } from '../injection.ts';
import { run } from './process.ts';
import { Promises } from './promises.ts';
import { fileCalls, straceTo } from './system-calls.ts';
import { type Luck, none, VolatileDisk } from './volatile-disk.ts';

/** The power fails after every so many of the process's promises. */
const EVERY = 40;

/** Repeatable chance. */
function chance(seed: number): Luck {
  let state = seed;
  return () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return state / 2 ** 32;
  };
}

async function assertWhole(directory: string, promises: Promises): Promise<void> {
  const events: RelayEvent[] = [];
  const spool = await openSpool({
    directory,
    maxMessageBytes: 1_000_000,
    reserveBytes: 0,
    retention: { ageMs: 1e12, maxMessages: 1e9, maxBytes: 1e15 },
    now: Date.now,
    emit: event => events.push(event),
  });
  try {
    await promises.check(spool);
    assert.deepEqual(
      events.filter(({ event }) => event === 'spool-quarantined' || event === 'message-dead'),
      [],
    );
  } finally {
    await spool.close();
  }
}

test('what was acknowledged survives a loss of power at any moment', {
  skip: straceMissing,
}, async t => {
  const root = await mkdtemp(join(tmpdir(), 'spool-power-'));
  t.after(() => rm(root, { recursive: true }));
  const [data, trace] = [join(root, 'data'), join(root, 'trace')];
  await mkdir(data);
  const process = run({ directory: join(data, 'emails'), what: 'a-while', under: straceTo(trace) });
  assert.equal(await process.ended, 0);

  const disk = new VolatileDisk(data);
  const promises = new Promises();
  let cuts = 0;
  for await (const call of fileCalls(trace)) {
    disk.see(call);
    if (call.do !== 'write' || call.fd !== 1) continue;
    promises.hear(call.data.toString().split('\n'));
    if (promises.count < (cuts + 1) * EVERY) continue;
    cuts++;
    for (const [index, luck] of [none, chance(cuts)].entries()) {
      const left = join(root, `left-${cuts}-${index}`);
      await mkdir(left);
      await disk.fail(left, luck);
      await assertWhole(join(left, 'emails'), promises);
      await rm(left, { recursive: true });
    }
  }
  assert.ok(cuts >= 10, `${cuts} cuts`);
  assert.ok(promises.kept.size > 150, `${promises}`);
});
