/**
 * A log that cannot be written or synced (strace injects the errors) and a
 * volume that is really full (a small tmpfs). Skipped, and counted as skipped,
 * where strace or mounting is not to be had. Every other call: failing-calls.test.ts.
 */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, type TestContext, test } from 'node:test';
import type { MessageId } from '../../../relay/spool/message.ts';
import { type OpenSpool, openSpool } from '../../../relay/spool/open.ts';
import type { RelayEvent } from '../../../relay/telemetry/events.ts';
import { bodyOf, fail, over, pending, put, START, text } from '../../unit/spool/fixture.ts';
import { type Fault, failing, failures, straceMissing } from '../injection.ts';
import { occupyBytes } from '../volume.ts';
import { run } from './process.ts';

async function place(t: TestContext): Promise<string> {
  const root = await mkdtemp(join(tmpdir(), 'spool-disk-'));
  t.after(async () => {
    // In this order: a spool that is open holds the volume, the volume the directory.
    for (const spool of opened.splice(0)) await spool.close();
    if (mounted.delete(root)) spawnSync('umount', [root]);
    await rm(root, { recursive: true });
  });
  return root;
}

const mounted = new Set<string>();
const opened: OpenSpool[] = [];

async function open(directory: string, events: RelayEvent[] = [], reserveBytes = 0): Promise<OpenSpool> {
  const spool = await openSpool({
    directory,
    maxMessageBytes: 1_000_000,
    reserveBytes,
    retention: { ageMs: 1, maxMessages: 1, maxBytes: 1 },
    now: Date.now,
    emit: event => events.push(event),
  });
  opened.push(spool);
  return spool;
}

/** Every message that was acknowledged is there after a restart. */
async function assertKept(directory: string, lines: readonly string[]): Promise<number> {
  const spool = await open(directory);
  try {
    const kept = lines.filter(line => line.startsWith('kept ')).map(line => line.split(' '));
    for (const [, id = '', size = ''] of kept) {
      assert.deepEqual(await bodyOf(spool, id as MessageId), text(Number(size)));
    }
    return kept.length;
  } finally {
    await spool.close();
  }
}

describe('a log that fails', { skip: straceMissing }, () => {
  const cases: readonly [title: string, fault: Fault, kind: string, lasting: boolean][] = [
    ['fsync fails: refused, and never trusted again', { call: 'fsync', when: '4+' }, 'io', true],
    ['one fsync fails: not retried', { call: 'fsync', when: '4' }, 'io', true],
    ['a write fails: likewise', { call: 'pwrite64', when: '200+' }, 'io', true],
    [
      'the disk is full once: refused, then taken again',
      { call: 'pwrite64', error: 'ENOSPC', when: '200' },
      'disk-full',
      false,
    ],
    [
      'a quota is used up once (EDQUOT, which SQLite takes for a broken disk): likewise',
      { call: 'pwrite64', error: 'EDQUOT', when: '200', later: 'write' },
      'disk-full',
      false,
    ],
    [
      'a write fails while the volume takes more: never trusted again, whatever it said',
      { call: 'pwrite64', error: 'EDQUOT', when: '200' },
      'io',
      true,
    ],
  ];
  for (const [title, fault, kind, lasting] of cases) {
    test(title, async t => {
      const root = await place(t);
      const directory = join(root, 'emails');
      const trace = join(root, 'trace');
      const paths = ['queue.db-wal', 'room.tmp'].map(name => join(directory, name));
      const child = run({ directory, what: 'fill', under: failing({ ...fault, paths }, trace) });
      await child.ended;
      const refused = child.lines.filter(line => line.startsWith('refused'));
      assert.match(refused[0] ?? '', new RegExp(`^refused ${kind} `), child.lines.slice(-5).join('\n'));
      assert.equal(refused.length, lasting ? 2 : 1, 'the second try');
      assert.equal(child.lines.includes('failure none'), !lasting);
      const told = child.lines.some(line => line.includes('"spool-failed"'));
      assert.equal(told, lasting);
      assert.ok((await failures(trace)) > 0);
      const kept = await assertKept(directory, child.lines);
      assert.ok(kept > 0);
    });
  }
});

for (const error of ['ENOSPC', 'EDQUOT']) {
  test(`a volume that takes no byte more (${error}) does not keep a store from starting, though a large message was never ended`, {
    skip: straceMissing,
  }, async t => {
    const root = await place(t);
    const [directory, trace] = [join(root, 'emails'), join(root, 'trace')];
    const killed = run({ directory, what: 'begin-and-hold' });
    await killed.said('kept');
    killed.process.kill('SIGKILL');
    await killed.ended;
    const paths = ['queue.db-wal', 'room.tmp', 'owner.json.tmp'].map(name => join(directory, name));
    const under = failing({ call: 'pwrite64,write', error, paths }, trace);
    const child = run({ directory, what: 'open', under });
    await child.ended;
    assert.ok(child.lines.includes('open'), child.lines.join('\n'));
    assert.ok((await failures(trace)) > 0);
    assert.equal(await assertKept(directory, killed.lines), 1);
  });
}

/** A volume of its own of 24 MB, or undefined where mounting is not permitted. */
async function smallVolume(t: TestContext): Promise<string | undefined> {
  const root = await place(t);
  if (spawnSync('mount', ['-t', 'tmpfs', '-o', 'size=24m', 'tmpfs', root]).status !== 0) return undefined;
  mounted.add(root);
  return join(root, 'emails');
}

/**
 * Puts messages until the disk refuses one; resolves with those acknowledged and the refusal. While they are no
 * more than `least`, it was refused for want of an answer about room, which may take long on a busy machine: once
 * there is one it goes on.
 */
async function fillUp(spool: OpenSpool, least = 0): Promise<{ kept: MessageId[]; refusal: unknown }> {
  const kept: MessageId[] = [];
  for (;;) {
    const results = await Promise.allSettled(
      Array.from({ length: 20 }, (_, i) => Promise.resolve().then(() => put(spool, text(20_000 + i)))),
    );
    for (const result of results) if (result.status === 'fulfilled') kept.push(result.value);
    const refused = results.find(result => result.status === 'rejected');
    if (refused === undefined) continue;
    if (kept.length > least) return { kept, refusal: refused.reason };
    kept.push(await retry(() => put(spool, text(20_000))));
  }
}

describe('a full volume', () => {
  test('refuses new mail, loses nothing, and is emptied by sending', async t => {
    const directory = await smallVolume(t);
    if (directory === undefined) return t.skip('mounting a tmpfs is not permitted');
    const events: RelayEvent[] = [];
    const spool = await open(directory, events);
    const { kept, refusal } = await fillUp(spool);
    assert.equal((refusal as { kind?: string }).kind, 'disk-full');
    assert.equal(spool.failure(), undefined);
    assert.ok(kept.length > 100, `${kept.length} kept`);

    // A round that failed has no room for its file, and is recorded all the same.
    const [first, second, ...others] = kept as [MessageId, MessageId, ...MessageId[]];
    await fail(spool, first, START);
    assert.equal((await spool.list({ ids: [first] }))[0]?.state, 'failed');
    await spool.settle(second, { kind: 'progress', recipients: pending });
    assert.equal((await bodyOf(spool, first)).length, (await spool.list({ ids: [first] }))[0]?.size);

    await Promise.all(others.slice(0, 200).map(id => spool.settle(id, { kind: 'done', recipients: over })));
    for (const id of others.slice(200)) await spool.settle(id, { kind: 'done', recipients: over });
    await spool.settle(first, { kind: 'done', recipients: over });
    assert.equal(spool.counts().active.messages, 1);
    const again = await retry(() => put(spool, text(5000)));
    assert.deepEqual(await bodyOf(spool, again), text(5000));
    await spool.close();

    const reopened = await open(directory);
    assert.deepEqual((await reopened.list({})).map(message => message.id).sort(), [second, again].sort());
    assert.ok(events.some(event => event.event === 'disk-low'));
    assert.ok(events.some(event => event.event === 'disk-recovered'));
    assert.ok(!events.some(event => event.event === 'spool-failed'));
  });

  test('is no failed store when it is closed: the log cannot be written back, and the next start reads it', async t => {
    const directory = await smallVolume(t);
    if (directory === undefined) return t.skip('mounting a tmpfs is not permitted');
    const events: RelayEvent[] = [];
    const spool = await open(directory, events);
    const { kept } = await fillUp(spool);
    await occupyBytes(join(directory, '..'));
    await spool.close();
    assert.deepEqual(
      events.filter(({ event }) => event === 'spool-failed'),
      [],
    );
    const reopened = await open(directory);
    assert.deepEqual((await reopened.list({})).map(({ id }) => id).sort(), [...kept].sort());
  });

  test('at its reserve takes mail again when what it holds was sent, although the database stays as large', async t => {
    const directory = await smallVolume(t);
    if (directory === undefined) return t.skip('mounting a tmpfs is not permitted');
    const events: RelayEvent[] = [];
    const spool = await open(directory, events, 2_000_000);
    const { kept, refusal } = await fillUp(spool, 500);
    assert.equal((refusal as { kind?: string }).kind, 'disk-full');
    assert.ok(kept.length > 500, `${kept.length} kept`);
    for (const { id } of await spool.list({})) await spool.settle(id, { kind: 'done', recipients: over });
    // As often as it is filled: whatever is free in the database is as good as free on the volume.
    for (let round = 0; round < 3; round++) {
      await retry(() => put(spool, text(5000)));
      const again = await fillUp(spool, 500);
      assert.ok(again.kept.length > 500, `${again.kept.length} kept in round ${round}`);
      for (const { id } of await spool.list({})) await spool.settle(id, { kind: 'done', recipients: over });
    }
    await retry(() => put(spool, text(5000)));
    assert.equal(spool.failure(), undefined);
    assert.ok(events.some(event => event.event === 'disk-recovered'));
    await spool.close();
    const reopened = await open(directory, [], 2_000_000);
    assert.equal(reopened.disk().low, false, 'after a restart');
  });

  test('does not keep the store from starting with all that it holds', async t => {
    const directory = await smallVolume(t);
    if (directory === undefined) return t.skip('mounting a tmpfs is not permitted');
    const child = run({ directory, what: 'fill' });
    await child.said('refused');
    child.process.kill('SIGKILL');
    await child.ended;
    assert.ok((await assertKept(directory, child.lines)) > 100);
  });

  for (const [what, after] of [
    ['fill', ''],
    ['begin-and-fill', ', though a large message was never ended'],
  ] as const) {
    test(`does not keep it from starting when the ballast is used up and not a page is left${after}`, async t => {
      const directory = await smallVolume(t);
      if (directory === undefined) return t.skip('mounting a tmpfs is not permitted');
      const child = run({ directory, what });
      await child.said('refused');
      child.process.kill('SIGKILL');
      await child.ended;
      await rm(join(directory, 'ballast'), { force: true });
      await occupyBytes(join(directory, '..'));
      assert.ok((await assertKept(directory, child.lines)) > 100);
    });
  }
});

/** Until the next look at the disk new mail is refused; for half a minute where it was full twice. */
async function retry<T>(work: () => Promise<T>): Promise<T> {
  for (let left = 1200; ; left--) {
    try {
      return await work();
    } catch (error) {
      if (left === 0 || (error as { kind?: string }).kind !== 'disk-full') throw error;
      await new Promise(resolve => setTimeout(resolve, 50));
    }
  }
}
