/**
 * The power fails at many moments of a busy spool. What was acknowledged is
 * there afterwards, on a disk that keeps no more than it must, and on ones
 * that keep some of the rest (volatile-disk.ts). Skipped, and counted as
 * skipped, where strace is not to be had.
 */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdir, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import type { MessageId } from '../../../relay/spool/message.ts';
import { openSpool } from '../../../relay/spool/open.ts';
import type { RelayEvent } from '../../../relay/telemetry/events.ts';
import { bodyOf, text } from '../../unit/spool/fixture.ts';
import { run } from './process.ts';
import { fileCalls, straceTo } from './system-calls.ts';
import { type Luck, none, VolatileDisk } from './volatile-disk.ts';

const strace = spawnSync('strace', ['-V']).status === 0;
/** The power fails after every so many of the process's promises. */
const EVERY = 40;

/** What the process has said so far. */
class Promises {
  readonly kept = new Map<MessageId, number>();
  readonly failed = new Set<MessageId>();
  count = 0;

  hear(said: string): void {
    for (const line of said.split('\n')) {
      const [word, id, size] = line.replace('giving up', 'gone').split(' ') as [string, MessageId, string];
      if (word === 'kept') this.kept.set(id, Number(size));
      else if (word === 'failed') this.failed.add(id);
      else if (word === 'gone') this.kept.delete(id);
      else continue;
      this.count++;
    }
  }
}

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
    const found = new Map((await spool.list({})).map(message => [message.id, message.state]));
    for (const [id, size] of promises.kept) {
      assert.ok(found.has(id), `${id} is lost`);
      // Not deepEqual: describing how two large bodies differ takes minutes.
      assert.ok((await bodyOf(spool, id)).equals(text(size)), `${id} is not what it was`);
    }
    for (const id of promises.failed) assert.equal(found.get(id), 'failed');
    assert.deepEqual(
      events.filter(({ event }) => event === 'spool-quarantined' || event === 'message-dead'),
      [],
    );
  } finally {
    await spool.close();
  }
}

test('what was acknowledged survives a loss of power at any moment', {
  skip: strace ? false : 'strace is not installed',
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
    promises.hear(call.data.toString());
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
  assert.equal(promises.kept.size > 150, true, `${promises.kept.size} kept`);
});
