import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdir, readFile, symlink, unlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import type { Claim, Spool } from '../../../relay/spool/spool.ts';
import { bodyOf, bury, fail, namesIn, over, pending, put, START, scene, text } from './fixture.ts';

const CHUNK = 256 * 1024;
const later = START + 1e9;

describe('accepting', () => {
  for (const size of [0, 1, 4096, CHUNK - 1, CHUNK, CHUNK + 1, 3 * CHUNK, 2_000_003]) {
    test(`a body of ${size} bytes is read back byte by byte, also after a restart`, async t => {
      const { open } = await scene(t);
      const first = await open();
      const body = text(size);
      const id = await put(first, body);
      assert.deepEqual(await bodyOf(first, id), body);
      await first.close();
      const second = await open();
      assert.deepEqual(await bodyOf(second, id), body);
      assert.equal((await second.list({}))[0]?.size, size);
    });
  }

  test('keeps envelope, flags and times', async t => {
    const { open } = await scene(t);
    const spool = await open();
    const draft = spool.begin();
    await draft.write(Buffer.from('x\r\n'));
    const envelope = { sender: '', recipients: ['ä@example.com'], eightBit: false, smtpUtf8: true };
    await draft.commit({ envelope, receivedAt: START + 7 });
    assert.deepEqual(await spool.list({}), [
      {
        id: draft.id,
        state: 'active',
        sender: '',
        recipients: [{ address: 'ä@example.com', state: 'pending' }],
        eightBit: false,
        smtpUtf8: true,
        size: 3,
        receivedAt: START + 7,
        dueAt: START + 7,
        rounds: 0,
        reason: '',
      },
    ]);
  });

  test('an aborted message leaves nothing, and abort after commit changes nothing', async t => {
    const { open } = await scene(t);
    const spool = await open();
    const small = spool.begin();
    await small.write(text(100));
    small.abort();
    const large = spool.begin();
    await large.write(text(CHUNK));
    await large.write(text(CHUNK));
    large.abort();
    large.abort();
    await assert.rejects(large.write(text(1)), { kind: 'closed' });
    const draft = spool.begin();
    await draft.write(text(10));
    await draft.commit({
      envelope: { sender: 'a', recipients: ['b'], eightBit: false, smtpUtf8: false },
      receivedAt: 1,
    });
    draft.abort();
    assert.deepEqual(
      (await spool.list({})).map(message => message.id),
      [draft.id],
    );
  });

  test('many messages at once are all there, each with its own body', async t => {
    const { open } = await scene(t);
    const spool = await open();
    const sizes = Array.from({ length: 300 }, (_, index) => index * 37);
    const ids = await Promise.all(sizes.map(size => put(spool, text(size))));
    assert.equal(new Set(ids).size, 300);
    const bodies = await Promise.all(ids.map(id => bodyOf(spool, id)));
    for (const [index, size] of sizes.entries()) assert.deepEqual(bodies[index], text(size));
    assert.equal(spool.counts().active.messages, 300);
    assert.equal(
      spool.counts().active.bytes,
      sizes.reduce((sum, size) => sum + size, 0),
    );
  });

  test('hands a message over at its commit, claimed and with its body, while the taker wants it', async t => {
    const { open } = await scene(t);
    const spool = await open();
    const taken: Claim[] = [];
    spool.onArrival({ wanted: size => size < 1000, take: claim => taken.push(claim) });
    const id = await put(spool, text(500));
    const other = await put(spool, text(2000));
    assert.deepEqual(
      taken.map(claim => [claim.message.id, claim.body]),
      [[id, text(500)]],
    );
    const claims = await spool.claim({ state: 'active', dueBefore: later, limit: 10 });
    assert.deepEqual(
      claims.map(claim => claim.message.id),
      [other],
    );
  });

  test('a large message is handed over without body and can be read', async t => {
    const { open } = await scene(t);
    const spool = await open();
    const taken: Claim[] = [];
    spool.onArrival({ wanted: () => true, take: claim => taken.push(claim) });
    const id = await put(spool, text(CHUNK * 2 + 5));
    assert.equal(taken[0]?.body, undefined);
    assert.deepEqual(await bodyOf(spool, id), text(CHUNK * 2 + 5));
  });

  test('one refused operation does not fail those that travel with it', async t => {
    const { open } = await scene(t);
    const spool = await open();
    const id = await put(spool, text(10));
    const results = await Promise.allSettled([
      put(spool, text(20)),
      spool.settle('0'.repeat(17) as typeof id, { kind: 'done', recipients: over }),
      spool.settle('0'.repeat(17) as typeof id, { kind: 'progress', recipients: over }),
      spool.settle(id, { kind: 'progress', recipients: pending }),
      // Another message under an id that exists: the database itself refuses.
      Object.assign(spool.begin(), {}).commit({
        envelope: { sender: null as unknown as string, recipients: [], eightBit: false, smtpUtf8: false },
        receivedAt: 1,
      }),
      put(spool, text(30)),
    ]);
    assert.deepEqual(
      results.map(result => result.status),
      ['fulfilled', 'rejected', 'rejected', 'fulfilled', 'rejected', 'fulfilled'],
    );
    assert.equal(spool.counts().active.messages, 3);
    assert.equal(spool.failure(), undefined);
    assert.deepEqual((await spool.list({ ids: [id] }))[0]?.recipients, pending);
  });
});

describe('claiming', () => {
  test('takes the oldest due first, each once, until released', async t => {
    const { open } = await scene(t);
    const spool = await open();
    const ids = [];
    for (const receivedAt of [30, 10, 20]) ids.push(await put(spool, text(9), { receivedAt }));
    const query = { state: 'active' as const, dueBefore: 25, limit: 10 };
    const claims = await spool.claim(query);
    assert.deepEqual(
      claims.map(claim => claim.message.id),
      [ids[1], ids[2]],
    );
    assert.deepEqual(claims[0]?.body, text(9));
    assert.deepEqual(await spool.claim(query), []);
    assert.equal(await spool.nextDue('active'), 30);
    await spool.release(ids[2] ?? ids[0]!);
    assert.equal(await spool.nextDue('active'), 20);
    assert.equal((await spool.claim(query)).length, 1);
  });

  test('two claims at once never share a message', async t => {
    const { open } = await scene(t);
    const spool = await open();
    for (let i = 0; i < 20; i++) await put(spool, text(9));
    const query = { state: 'active' as const, dueBefore: later, limit: 12 };
    const [a, b] = await Promise.all([spool.claim(query), spool.claim(query)]);
    const ids = [...(a ?? []), ...(b ?? [])].map(claim => claim.message.id);
    assert.equal(ids.length, 20);
    assert.equal(new Set(ids).size, 20);
  });

  test('a restart releases all', async t => {
    const { open } = await scene(t);
    const first = await open();
    await put(first, text(9));
    assert.equal((await first.claim({ state: 'active', dueBefore: later, limit: 1 })).length, 1);
    await first.close();
    const second = await open();
    assert.equal((await second.claim({ state: 'active', dueBefore: later, limit: 1 })).length, 1);
  });

  test('a drain by triedBefore reaches every waiting message once, due or not', async t => {
    const { open, clock } = await scene(t);
    const spool = await open();
    const all = [];
    for (let i = 0; i < 5; i++) {
      const id = await put(spool, text(9));
      await fail(spool, id, START + 1e8 * i);
      all.push(id);
    }
    clock.now += 1000;
    const drain = { state: 'failed' as const, dueBefore: 0, triedBefore: clock.now, limit: 2 };
    const reached = [];
    for (;;) {
      const claims = await spool.claim(drain);
      if (claims.length === 0) break;
      for (const { message } of claims) {
        reached.push(message.id);
        await fail(spool, message.id, clock.now + 5);
      }
    }
    assert.deepEqual(reached.sort(), all.sort());
  });
});

describe('settling', () => {
  test('progress is kept and the claim stays', async t => {
    const { open } = await scene(t);
    const spool = await open();
    const id = await put(spool, text(9));
    await spool.claim({ state: 'active', dueBefore: later, limit: 1 });
    await spool.settle(id, { kind: 'progress', recipients: pending });
    assert.deepEqual((await spool.list({}))[0]?.recipients, pending);
    assert.equal(await spool.nextDue('active'), undefined);
  });

  test('failed: the body is a file that people can read, the round is counted, the time set', async t => {
    const { open, directory } = await scene(t);
    const spool = await open();
    for (const size of [0, 4096, 3 * CHUNK + 7]) {
      const id = await put(spool, text(size));
      await fail(spool, id, START + 60_000);
      assert.deepEqual(await readFile(join(directory, 'failed', `${id}.eml`)), text(size));
      assert.deepEqual(await bodyOf(spool, id), text(size));
      const [message] = await spool.list({ ids: [id] });
      assert.equal(message?.state, 'failed');
      assert.equal(message?.rounds, 1);
      assert.equal(message?.dueAt, START + 60_000);
      assert.equal(message?.reason, 'no provider');
      await fail(spool, id, START + 120_000);
      assert.equal((await spool.list({ ids: [id] }))[0]?.rounds, 2);
    }
    assert.equal(spool.counts().failed.messages, 3);
    assert.equal(spool.counts().active.messages, 0);
    assert.equal(await spool.nextDue('failed'), START + 120_000);
  });

  test('done: nothing is left, of an active message and of a failed one', async t => {
    const { open, directory } = await scene(t);
    const spool = await open();
    const active = await put(spool, text(100));
    const failed = await put(spool, text(100));
    await fail(spool, failed, START);
    await spool.settle(active, { kind: 'done', recipients: over });
    await spool.settle(failed, { kind: 'done', recipients: over });
    assert.deepEqual(await spool.list({}), []);
    await assert.rejects(bodyOf(spool, active), { kind: 'not-found' });
    await spool.close();
    assert.deepEqual(await namesIn(directory, 'failed'), []);
    assert.deepEqual(await namesIn(directory, 'quarantine'), []);
    for (const state of ['active', 'failed', 'held', 'dead'] as const) {
      assert.deepEqual(spool.counts()[state], { messages: 0, bytes: 0 });
    }
  });

  test('dead: the body goes to emails/dead, from the database and from emails/failed', async t => {
    const { open, directory } = await scene(t);
    const spool = await open();
    const active = await put(spool, text(100));
    const failed = await put(spool, text(200));
    await fail(spool, failed, START);
    await bury(spool, active);
    await bury(spool, failed);
    assert.deepEqual(await namesIn(directory, 'dead'), [`${active}.eml`, `${failed}.eml`]);
    assert.deepEqual(await namesIn(directory, 'failed'), []);
    assert.deepEqual(await bodyOf(spool, failed), text(200));
    assert.deepEqual((await spool.list({ state: 'dead' }))[0]?.recipients, over);
  });

  test('hundreds at once end in their places', async t => {
    const { open, directory } = await scene(t);
    const spool = await open();
    const ids = await Promise.all(Array.from({ length: 400 }, () => put(spool, text(50))));
    await Promise.all(ids.map((id, index) => (index % 2 ? fail(spool, id, START) : bury(spool, id))));
    assert.equal((await namesIn(directory, 'failed')).length, 200);
    assert.equal((await namesIn(directory, 'dead')).length, 200);
    assert.equal(await spool.remove({}), 400);
    assert.deepEqual([...(await namesIn(directory, 'failed')), ...(await namesIn(directory, 'dead'))], []);
  });

  test('a body that cannot become a file stays in the database, failed, readable, and is told', async t => {
    const { open, directory, events } = await scene(t);
    const spool = await open();
    const id = await put(spool, text(100));
    // A directory in the way of the file's name.
    await mkdir(join(directory, 'failed', `${id}.eml`));
    await fail(spool, id, START + 5);
    assert.equal((await spool.list({}))[0]?.state, 'failed');
    assert.deepEqual(await bodyOf(spool, id), text(100));
    assert.ok(events.some(event => event.event === 'spool-trouble' && event.message.includes(id)));
    assert.equal(spool.failure(), undefined);
    assert.deepEqual(await namesIn(directory, 'failed'), [`${id}.eml`]);
  });
});

describe('reading what one has claimed', () => {
  const drained = async (spool: Spool): Promise<Buffer> => {
    const [claim] = await spool.claim({ state: 'failed', dueBefore: START + 9, limit: 1 });
    assert.ok(claim);
    const chunks: Buffer[] = [];
    for await (const chunk of spool.read(claim.message.id, claim)) chunks.push(chunk);
    return Buffer.concat(chunks);
  };

  for (const size of [100, 4095, 4096, 4097, 131_071, 131_072, 300_000]) {
    test(`gives the ${size} bytes of a failed message from its file`, async t => {
      const { open } = await scene(t);
      const spool = await open();
      await fail(spool, await put(spool, text(size)), START);
      assert.deepEqual(await drained(spool), text(size));
    });
  }

  for (const size of [50, 9000]) {
    test(`gives all of a file of 4,200 bytes that somebody made one of ${size}`, async t => {
      const { open, directory } = await scene(t);
      const spool = await open();
      const id = await put(spool, text(4200));
      await fail(spool, id, START);
      await writeFile(join(directory, 'failed', `${id}.eml`), text(size));
      assert.deepEqual(await drained(spool), text(size));
    });
  }

  test('gives a body from the database that found no room in emails/failed', async t => {
    const { open, directory } = await scene(t);
    const spool = await open();
    const id = await put(spool, text(100));
    await mkdir(join(directory, 'failed', `${id}.eml`));
    await fail(spool, id, START);
    assert.deepEqual(await drained(spool), text(100));
  });
});

describe('reading a file that people touched', () => {
  test('gives canonical line ends', async t => {
    const { open, directory } = await scene(t);
    const spool = await open();
    const id = await put(spool, text(100));
    await fail(spool, id, START);
    await writeFile(join(directory, 'failed', `${id}.eml`), 'Subject: edited\n\nby hand');
    assert.equal(String(await bodyOf(spool, id)), 'Subject: edited\r\n\r\nby hand\r\n');
  });

  test('says that it is missing, and never follows a link put in its place', async t => {
    const { open, directory } = await scene(t);
    const spool = await open();
    const id = await put(spool, text(100));
    await fail(spool, id, START);
    const path = join(directory, 'failed', `${id}.eml`);
    await unlink(path);
    await assert.rejects(bodyOf(spool, id), { kind: 'not-found' });
    await symlink('/etc/passwd', path);
    await assert.rejects(bodyOf(spool, id), { kind: 'not-found' });
  });

  test('that is no file is as good as missing, and nobody waits for it', async t => {
    const { directory, open } = await scene(t);
    const spool = await open();
    const id = await put(spool, text(5000));
    await fail(spool, id, START);
    const path = join(directory, 'failed', `${id}.eml`);
    await unlink(path);
    execFileSync('mkfifo', [path]);
    await assert.rejects(bodyOf(spool, id), { name: 'SpoolError', kind: 'not-found' });
    await unlink(path);
    await mkdir(path);
    await assert.rejects(bodyOf(spool, id), { name: 'SpoolError', kind: 'not-found' });
  });

  test('of a dead one whose file was taken away settles it as body missing', async t => {
    const { open, directory } = await scene(t);
    const spool = await open();
    const id = await put(spool, text(100));
    await fail(spool, id, START);
    await unlink(join(directory, 'failed', `${id}.eml`));
    await bury(spool, id);
    const [message] = await spool.list({});
    assert.equal(message?.state, 'dead');
    assert.match(message?.reason ?? '', /body missing/);
    assert.equal(await spool.resend({}), 0);
    assert.equal(await spool.remove({}), 1);
  });
});

describe('closing', () => {
  test('finishes what waits, then refuses everything', async t => {
    const { open } = await scene(t);
    const spool = await open();
    const id = await put(spool, text(10));
    const failing = fail(spool, id, START);
    const closing = spool.close();
    await failing;
    await closing;
    await spool.close();
    assert.throws(() => spool.begin(), { kind: 'closed' });
    await assert.rejects(spool.claim({ state: 'active', dueBefore: 1, limit: 1 }), { kind: 'closed' });
    const again = await open();
    assert.equal(again.counts().failed.messages, 1);
  });
});
