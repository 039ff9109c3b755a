/**
 * EIO from every system call by which the store touches its files: one at a
 * time on the file that it is about, and now and then under load. Nothing is
 * said to be done that is not, nothing that was acknowledged is lost, nothing
 * that is over comes back, and a restart puts all in order. Each test counts
 * the calls that really failed. Skipped, and counted as skipped, where strace
 * is not to be had.
 */
import assert from 'node:assert/strict';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, type TestContext, test } from 'node:test';
import { callsOn, failing, failures, inject, naming, straceMissing } from '../injection.ts';
import { run } from './process.ts';
import { Promises } from './promises.ts';
import { assertOrder, place, reopen } from './restart.ts';

/** Calls that are made to fail under load. */
const FAILING = [
  'openat',
  'close',
  'read',
  'pread64',
  'pwrite64',
  'fsync',
  'ftruncate',
  'rename',
  'unlink',
] as const;

/** The log is read back, and the file cut to its length, every 8 MB only. */
const RARE: readonly string[] = ['pread64', 'ftruncate'];

interface Case {
  /** What child.ts does to a message. */
  readonly what: string;
  readonly call: string;
  /** Below the directory; ID stands for that of the message. */
  readonly file: string;
  /**
   * refused: whoever asked is told. done: it was on disk already, and only
   * tidying up is left undone. either: that, and then a look at whether there
   * is more to do, which may come before the fault or after it.
   */
  readonly said: 'refused' | 'done' | 'either';
  /** The store says that it is no longer trusted. */
  readonly told: boolean;
  /** States of all messages after a restart. */
  readonly after: readonly string[];
}

const SAID = { refused: /^refused io /m, done: /^done$/m, either: /^(refused io .*|done)$/m } as const;

const temporary = 'failed/ID.eml.tmp';

/** While the body goes from the database to its file: it stays where it is. */
const filing: readonly Case[] = ['openat', 'write', 'fsync', 'close', 'rename'].map(call => ({
  what: 'failed',
  call,
  file: temporary,
  said: 'refused',
  told: true,
  after: ['active'],
}));

const cases: readonly Case[] = [
  ...filing,
  row('failed', 'openat', 'failed', 'refused', true, ['active']),
  row('failed', 'fsync', 'failed', 'refused', true, ['active']),
  row('dead-of-failed', 'rename', 'failed/ID.eml', 'refused', true, ['failed']),
  row('dead-of-failed', 'fsync', 'dead', 'refused', true, ['failed']),
  row('resend-of-dead', 'rename', 'dead/ID.eml', 'refused', true, ['dead']),
  // The tombstone is on disk: the file goes at the next start.
  row('end-of-failed', 'unlink', 'failed/ID.eml', 'done', true, []),
  row('remove-of-dead', 'unlink', 'dead/ID.eml', 'either', true, []),
  row('end-of-failed', 'fsync', 'failed', 'done', true, []),
  // Closing writes the log back and cuts it off. All is in the log until it has been.
  row('accept', 'pwrite64', 'queue.db', 'done', true, ['active', 'active']),
  row('accept', 'fsync', 'queue.db', 'done', true, ['active', 'active']),
  row('accept', 'ftruncate', 'queue.db', 'done', true, ['active', 'active']),
  row('done', 'ftruncate', 'queue.db', 'done', true, []),
  row('accept', 'ftruncate', 'queue.db-wal', 'done', true, ['active', 'active']),
  // Neither is missed: what is left behind makes the next start look closer.
  row('accept', 'unlink', 'queue.db-wal', 'done', false, ['active', 'active']),
  row('accept', 'unlink', 'owner.json', 'done', false, ['active', 'active']),
  row('accept', 'close', 'in-flight', 'done', false, ['active', 'active']),
];

function row(
  what: string,
  call: string,
  file: string,
  ...[said, told, after]: [Case['said'], boolean, readonly string[]]
): Case {
  return { what, call, file, said, told, after };
}

interface Scene {
  readonly directory: string;
  readonly trace: string;
  /** What the child said. */
  readonly lines: string;
  readonly code: string | number | null;
}

/** Brings a message to where the work begins, and lets it begin when the call fails. */
async function play(t: TestContext, { what, call, file }: Case): Promise<Scene> {
  const root = await place(t);
  const [directory, trace, go] = [join(root, 'emails'), join(root, 'trace'), join(root, 'go')];
  const child = run({ directory, what, arm: join(root, 'arm'), wait: go });
  const id = (await child.said('prepared'))?.split(' ')[1] ?? '';
  const fault = { call, paths: [join(directory, file.replace('ID', id))] };
  const injection = await inject(child.process.pid, fault, trace);
  await writeFile(go, '');
  const [code] = await Promise.all([child.ended, injection.ended]);
  return { directory, trace, lines: child.lines.join('\n'), code };
}

describe('EIO from one call', { skip: straceMissing, concurrency: 2 }, () => {
  for (const each of cases) {
    const { what, call, file, said, told, after } = each;
    test(`${call} of ${file} in ${what}: ${said}, and ${after.join(' and ') || 'nothing'} after a restart`, async t => {
      const { directory, trace, lines, code } = await play(t, each);
      assert.ok((await failures(trace)) > 0, `no ${call} failed`);
      assert.match(lines, SAID[said]);
      assert.equal(code, /^done$/m.test(lines) ? 0 : 3);
      assert.equal(/^event \{"event":"spool-failed"/m.test(lines), told, lines);
      const { spool, events } = await reopen(t, directory);
      assert.deepEqual(
        (await spool.list({})).map(message => message.state),
        after,
      );
      await assertOrder(spool, directory);
      assert.ok(!events.some(({ event }) => event === 'spool-quarantined' || event === 'message-dead'));
    });
  }
});

describe('EIO from a call now and then under load', { skip: straceMissing }, () => {
  for (const call of FAILING) {
    test(`${call}: nothing that was acknowledged is lost`, async t => {
      const root = await place(t);
      const [directory, trace] = [join(root, 'emails'), join(root, 'trace')];
      const child = run({ directory, what: 'flood' });
      await child.saidLines(40);
      const [when, lines] = RARE.includes(call) ? ['1+', 3000] : ['5+11', 300];
      const injection = await inject(child.process.pid, { call, when }, trace);
      await Promise.race([child.saidLines(child.lines.length + lines), child.ended]);
      child.process.kill('SIGKILL');
      await Promise.all([child.ended, injection.ended]);
      const promises = new Promises();
      promises.hear(child.lines);
      const { spool } = await reopen(t, directory);
      await promises.check(spool);
      await assertOrder(spool, directory);
      assert.ok(promises.kept.size > 10, `${promises}`);
      const failed = await failures(trace);
      assert.ok(failed > 0, `no ${call} failed`);
      t.diagnostic(`${failed} failed calls; ${promises}`);
    });
  }
});

/** Files that the store opens by itself, below its directory. */
const FILES = [
  ...['', 'queue.db', 'queue.db-wal', 'in-flight', 'failed', 'dead', 'quarantine'],
  ...['owner.json', 'owner.json.tmp', 'ballast', 'ballast.tmp'],
];

/** Calls that are made to fail while the store opens. Those of node itself on other files go well. */
const OPENING = [
  ...['openat', 'close', 'read', 'pread64', 'write', 'pwrite64', 'fsync', 'rename', 'unlink', 'ftruncate'],
  ...['mkdir', 'getdents64', 'fcntl', 'fchown', 'statfs', 'stat,lstat,fstat,newfstatat,statx'],
];

/** None: the call fails for whatever file. */
function filesFor(call: string): readonly string[] {
  if (call === 'rename' || call === 'unlink') return [];
  // Node.js itself ends the process when it cannot close a file that it has read.
  return call === 'close' ? FILES.filter(name => name !== 'owner.json') : FILES;
}

/** A directory as its killed owner left it, with messages in files and in the database, and half of one. */
async function abandoned(root: string): Promise<{ directory: string; promises: Promises }> {
  const directory = join(root, 'emails');
  const child = run({ directory, what: 'flood' });
  await child.saidLines(150);
  child.process.kill('SIGKILL');
  await child.ended;
  const promises = new Promises();
  promises.hear(child.lines);
  await writeFile(join(directory, 'failed', '0aaaaaaaaaaaaaaaa.eml.tmp'), 'left by a write that was cut off');
  return { directory, promises };
}

describe('EIO from a call while the store opens', { skip: straceMissing, concurrency: 2 }, () => {
  for (const call of OPENING) {
    test(`${call}: it says so or does without, and the next start finds all that was acknowledged`, async t => {
      const root = await place(t);
      const { directory, promises } = await abandoned(root);
      const trace = join(root, 'trace');
      const paths = filesFor(call).map(name => join(directory, name));
      const under = failing({ call, paths }, trace);
      const child = run({ directory, what: 'accept', arm: join(root, 'arm'), under });
      await child.ended;
      assert.ok((await failures(trace)) > 0, `no ${call} failed`);
      const outcome = child.lines.find(line => line === 'open' || line.startsWith('refused'));
      assert.match(outcome ?? 'nothing', /^(open|refused io .+)$/);
      t.diagnostic(outcome ?? '');
      const { spool } = await reopen(t, directory);
      await promises.check(spool);
      await assertOrder(spool, directory);
    });
  }
});

test('the store touches its files by no other call than those', { skip: straceMissing }, async t => {
  const root = await place(t);
  const [directory, trace] = [join(root, 'emails'), join(root, 'trace')];
  for (const what of ['a-while', 'dead-of-failed', 'resend-of-dead', 'remove-of-dead']) {
    const child = run({ directory, what, arm: join(root, 'arm'), under: naming(trace) });
    assert.equal(await child.ended, 0);
  }
  const covered = new Set([
    ...FAILING,
    ...OPENING.flatMap(call => call.split(',')),
    ...cases.map(({ call }) => call),
  ]);
  const used = await callsOn(directory, trace);
  assert.ok(used.size > 10, [...used].join());
  assert.deepEqual(
    [...used].filter(call => !covered.has(call)),
    [],
  );
});
