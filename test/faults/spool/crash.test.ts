/**
 * SIGKILL right after each step of each commit order; the tables in
 * docs/spool.md name these tests. After each, a new process must find every
 * message in exactly one place, whole, in the state named here.
 */
import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, type TestContext, test } from 'node:test';
import type { MessageId, Recipient } from '../../../relay/spool/message.ts';
import { type OpenSpool, openSpool } from '../../../relay/spool/open.ts';
import type { RelayEvent } from '../../../relay/telemetry/events.ts';
import { bodyOf, namesIn, over, pending, text } from '../../unit/spool/fixture.ts';
import { run } from './process.ts';

async function place(t: TestContext): Promise<string> {
  const root = await mkdtemp(join(tmpdir(), 'spool-crash-'));
  t.after(() => rm(root, { recursive: true }));
  return root;
}

async function reopen(
  t: TestContext,
  directory: string,
): Promise<{ spool: OpenSpool; events: RelayEvent[] }> {
  const events: RelayEvent[] = [];
  const spool = await openSpool({
    directory,
    maxMessageBytes: 50_000_000,
    reserveBytes: 0,
    retention: { ageMs: 1, maxMessages: 1, maxBytes: 1 },
    now: Date.now,
    emit: event => events.push(event),
  });
  t.after(() => spool.close());
  return { spool, events };
}

/** Every message in exactly one place, nothing beside. */
async function assertOrder(spool: OpenSpool, directory: string): Promise<void> {
  const messages = await spool.list({});
  const files = (state: string) => messages.filter(m => m.state === state).map(m => `${m.id}.eml`);
  assert.deepEqual(await namesIn(directory, 'failed'), files('failed'));
  assert.deepEqual(await namesIn(directory, 'dead'), files('dead'));
  assert.deepEqual(await namesIn(directory, 'quarantine'), []);
  for (const message of messages) assert.deepEqual(await bodyOf(spool, message.id), text(message.size));
}

/** what, step, states of all messages afterwards. */
const CASES: readonly [what: string, step: string, after: readonly string[]][] = [
  ['accept', 'before-commit', ['active']],
  ['accept', 'after-commit', ['active', 'active']],
  ['accept-large', 'after-commit', ['active']],
  ['accept-large', 'before-commit#2', ['active']],
  ['progress', 'before-commit', ['active']],
  ['progress', 'after-commit', ['active']],
  ['done', 'before-commit', ['active']],
  ['done', 'after-commit', []],
  ['done-large', 'before-commit', ['active']],
  ['done-large', 'after-commit', []],
  ['failed', 'file-created', ['active']],
  ['failed', 'file-written', ['active']],
  ['failed', 'file-synced', ['active']],
  ['failed', 'file-renamed', ['active']],
  ['failed', 'directory-synced', ['active']],
  ['failed', 'before-commit#2', ['active']],
  ['failed', 'after-commit#2', ['failed']],
  ['failed-large', 'file-written', ['active']],
  ['failed-large', 'directory-synced', ['active']],
  ['failed-large', 'after-commit#2', ['failed']],
  ['dead', 'file-renamed', ['active']],
  ['dead', 'directory-synced', ['active']],
  ['dead', 'after-commit#2', ['dead']],
  ['dead-of-failed', 'file-renamed', ['failed']],
  ['dead-of-failed', 'directory-synced', ['failed']],
  ['dead-of-failed', 'before-commit#2', ['failed']],
  ['dead-of-failed', 'after-commit#2', ['dead']],
  ['done-of-failed', 'before-commit', ['failed']],
  ['done-of-failed', 'after-commit', []],
  ['done-of-failed', 'file-unlinked', []],
  ['done-of-failed', 'unlink-synced', []],
  ['done-of-failed', 'after-commit#2', []],
  ['resend-of-dead', 'file-renamed', ['dead']],
  ['resend-of-dead', 'directory-synced', ['dead']],
  ['resend-of-dead', 'after-commit#3', ['failed']],
  ['remove-of-dead', 'before-commit', ['dead']],
  ['remove-of-dead', 'after-commit', []],
  ['remove-of-dead', 'file-unlinked', []],
];

/** What each recipient got is on disk before the body begins to move: nobody who was delivered to is sent to again. */
const KEEPS: Readonly<Record<string, readonly Recipient[]>> = {
  failed: pending,
  'failed-large': pending,
  dead: over,
  'dead-of-failed': over,
};

describe('a crash right after a step', { concurrency: 2 }, () => {
  for (const [what, step, after] of CASES) {
    test(`${what}, ${step}: ${after.join(' and ') || 'nothing'} remains`, async t => {
      const root = await place(t);
      const directory = join(root, 'emails');
      const child = run({ directory, what, step, arm: join(root, 'arm') });
      assert.equal(await child.ended, 'SIGKILL', child.lines.join('\n'));
      assert.ok(!child.lines.includes('done'));
      const { spool, events } = await reopen(t, directory);
      const messages = await spool.list({});
      assert.deepEqual(
        messages.map(message => message.state),
        after,
      );
      await assertOrder(spool, directory);
      if (KEEPS[what] !== undefined) assert.deepEqual(messages[0]?.recipients, KEEPS[what]);
      assert.ok(events.some(event => event.event === 'spool-recovered'));
      assert.ok(!events.some(event => event.event === 'spool-quarantined' || event.event === 'message-dead'));
      const counts = spool.counts();
      for (const state of ['active', 'failed', 'held', 'dead'] as const) {
        assert.equal(counts[state].messages, after.filter(one => one === state).length);
      }
    });
  }

  test('none: the same work ends well when nothing is killed', async t => {
    const root = await place(t);
    const directory = join(root, 'emails');
    for (const what of new Set(CASES.map(([one]) => one))) {
      const child = run({ directory: join(directory, what), what, arm: join(root, `arm-${what}`) });
      assert.equal(await child.ended, 0, what);
      assert.ok(child.lines.includes('done'), what);
    }
  });
});

/** What the killed processes said was promised. */
interface Promised {
  readonly kept: Map<string, number>;
  readonly failed: Set<string>;
  readonly settled: Set<string>;
}

function note(promised: Promised, lines: readonly string[]): void {
  for (const line of lines) {
    const [word = '', id = '', rest = ''] = line.split(' ');
    if (word === 'kept') promised.kept.set(id, Number(rest));
    if (word === 'failed') promised.failed.add(id);
    if (word === 'giving') promised.settled.add(rest);
  }
}

async function assertPromises(promised: Promised, spool: OpenSpool): Promise<void> {
  const found = new Map((await spool.list({})).map(message => [message.id as string, message]));
  for (const [id, size] of promised.kept) {
    if (promised.settled.has(id)) continue;
    assert.ok(found.has(id), `acknowledged ${id} is gone`);
    assert.deepEqual(await bodyOf(spool, id as MessageId), text(size));
    if (promised.failed.has(id)) assert.equal(found.get(id)?.state, 'failed');
  }
}

describe('kill -9 under load', () => {
  test('twenty times in a row loses no acknowledged message and no byte', async t => {
    const directory = join(await place(t), 'emails');
    const promised: Promised = { kept: new Map(), failed: new Set(), settled: new Set() };
    for (let round = 0; round < 20; round++) {
      const child = run({ directory, what: 'flood' });
      // Different depths of the flood, by what it has done and not by time.
      await child.saidLines(2 + ((round * 37) % 150));
      child.process.kill('SIGKILL');
      assert.equal(await child.ended, 'SIGKILL');
      note(promised, child.lines);
    }
    const { spool, events } = await reopen(t, directory);
    await assertPromises(promised, spool);
    await assertOrder(spool, directory);
    assert.ok(!events.some(event => event.event === 'spool-quarantined'));
    t.diagnostic(`${promised.kept.size} acknowledged in 20 runs, ${promised.settled.size} of them settled`);
  });
});
