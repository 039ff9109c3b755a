/** One owner at a time, with real processes. */
import assert from 'node:assert/strict';
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { hostname, tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, type TestContext, test } from 'node:test';
import { openSpool } from '../../../relay/spool/open.ts';
import { Ownership } from '../../../relay/spool/owner.ts';
import { run } from './process.ts';

async function place(t: TestContext): Promise<string> {
  const root = await mkdtemp(join(tmpdir(), 'spool-owner-'));
  t.after(() => rm(root, { recursive: true }));
  return root;
}

describe('ownership of a directory', () => {
  test('a second process is refused at once and told who owns it; kill -9 of the owner frees it', async t => {
    const directory = join(await place(t), 'emails');
    const owner = run({ directory, what: 'hold' });
    assert.equal(await owner.said('open'), 'open');
    const second = run({ directory, what: 'hold' });
    assert.equal(await second.ended, 3);
    const refusal = second.lines.find(line => line.startsWith('refused')) ?? '';
    assert.match(refusal, /^refused owned the spool directory .*emails is in use by process /);
    assert.ok(refusal.includes(`process ${owner.process.pid} on ${hostname()}`), refusal);
    assert.ok(refusal.includes(directory), refusal);
    owner.process.kill('SIGKILL');
    await owner.ended;
    const third = run({ directory, what: 'hold' });
    assert.equal(await third.said('open'), 'open');
    third.process.kill('SIGKILL');
    await third.ended;
  });

  test('a second spool of the same process is refused too, and the first goes on', async t => {
    const directory = join(await place(t), 'emails');
    const options = {
      directory,
      maxMessageBytes: 1000,
      reserveBytes: 0,
      retention: { ageMs: 1, maxMessages: 1, maxBytes: 1 },
      now: Date.now,
      emit: () => undefined,
    };
    const spool = await openSpool(options);
    await assert.rejects(openSpool(options), { name: 'SpoolError', kind: 'owned' });
    await assert.rejects(openSpool(options), { kind: 'owned' });
    assert.deepEqual(await spool.list({}), []);
    await spool.close();
    await (await openSpool(options)).close();
  });

  test('the directory is given up also where the file that says so cannot be removed', async t => {
    const directory = await place(t);
    const ownership = new Ownership({ directory, now: Date.now });
    await ownership.take();
    await rm(join(directory, 'owner.json'));
    await mkdir(join(directory, 'owner.json'));
    ownership.release();
  });

  test('over a network file system an owner on another host is believed while its heartbeat goes on', async t => {
    const directory = await place(t);
    const timing = { directory, now: () => 0, network: true, watchMs: 400, beatMs: 50 };
    const elsewhere = new Ownership({ ...timing, host: 'pod-a' });
    assert.equal(await elsewhere.take(), false);
    t.after(() => elsewhere.release());
    const here = new Ownership({ ...timing, host: 'pod-b' });
    await assert.rejects(here.take(), { kind: 'owned', message: /process \d+ on pod-a since 1970/ });
    elsewhere.release();
    assert.equal(await here.take(), false);
    here.release();
  });

  test('over a network file system a dead owner elsewhere is waited for and then replaced', async t => {
    const directory = await place(t);
    const dead = { pid: 7, host: 'pod-a', since: 'long ago', beat: 12 };
    await writeFile(join(directory, 'owner.json'), JSON.stringify(dead));
    const here = new Ownership({
      directory,
      now: () => 0,
      network: true,
      host: 'pod-b',
      watchMs: 100,
      beatMs: 50,
    });
    assert.equal(await here.take(), true);
    const file = JSON.parse(await readFile(join(directory, 'owner.json'), 'utf8'));
    assert.equal(file.host, 'pod-b');
    here.release();
  });
});
