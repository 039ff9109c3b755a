/**
 * SIGKILL right after each step of each commit order; the tables in
 * docs/spool.md name these tests. After each, a new process must find every
 * message in exactly one place, whole, in the state named here.
 */
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import type { Recipient } from '../../../relay/spool/message.ts';
import { over, pending, told } from '../../unit/spool/fixture.ts';
import { run } from './process.ts';
import { Promises } from './promises.ts';
import { assertOrder, place, reopen } from './restart.ts';

/** what, step, states of all messages afterwards. */
const CASES: readonly [what: string, step: string, after: readonly string[]][] = [
  ['accept', 'before-commit', ['active']],
  ['accept', 'after-commit', ['active', 'active']],
  ['accept-large', 'after-commit', ['active']],
  ['accept-large', 'before-commit#2', ['active']],
  ['progress', 'before-commit', ['active']],
  ['progress', 'after-commit', ['active']],
  ['bounce', 'before-commit', ['active']],
  ['bounce', 'after-commit', ['active', 'active']],
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
  // A bounce is there if and only if it is known to be.
  'bounce, before-commit': [
    { address: 'one@example.com', state: 'pending' },
    { address: 'two@example.com', state: 'pending' },
  ],
  'bounce, after-commit': told,
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
      const kept = KEEPS[what] ?? KEEPS[`${what}, ${step}`];
      if (kept !== undefined) assert.deepEqual(messages[0]?.recipients, kept);
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

describe('kill -9 under load', () => {
  test('twenty times in a row loses no acknowledged message and no byte', async t => {
    const directory = join(await place(t), 'emails');
    const promises = new Promises();
    for (let round = 0; round < 20; round++) {
      const child = run({ directory, what: 'flood' });
      // Different depths of the flood, by what it has done and not by time.
      await child.saidLines(2 + ((round * 37) % 150));
      child.process.kill('SIGKILL');
      assert.equal(await child.ended, 'SIGKILL');
      promises.hear(child.lines);
    }
    const { spool, events } = await reopen(t, directory);
    await promises.check(spool);
    await assertOrder(spool, directory);
    assert.ok(!events.some(event => event.event === 'spool-quarantined'));
    t.diagnostic(`20 runs: ${promises}`);
  });
});
