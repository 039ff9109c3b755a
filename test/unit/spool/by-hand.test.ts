import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { bodyOf, bury, fail, namesIn, pending, put, START, scene, text } from './fixture.ts';

describe('listing', () => {
  test('chooses by every field, continues after an id, and stops at a limit', async t => {
    const { open, clock } = await scene(t);
    const spool = await open();
    const a = await put(spool, text(9), {
      sender: 'Alice@Example.org',
      recipients: ['x@one.com'],
      receivedAt: START - 5000,
    });
    const b = await put(spool, text(9), {
      sender: 'bob@example.org',
      recipients: ['y@two.com', 'Z@Three.com'],
    });
    const c = await put(spool, text(9), { sender: "o'neil%_@example.org", recipients: ['x@one.com'] });
    await fail(spool, c, START);
    clock.now = START + 1;
    const ids = async (filter: Parameters<typeof spool.list>[0]) => (await spool.list(filter)).map(m => m.id);
    assert.deepEqual(await ids({}), [a, b, c]);
    assert.deepEqual(await ids({ limit: 2 }), [a, b]);
    assert.deepEqual(await ids({ after: a, limit: 1 }), [b]);
    assert.deepEqual(await ids({ ids: [c, a, 'nonsense'] }), [a, c]);
    assert.deepEqual(await ids({ state: 'failed' }), [c]);
    assert.deepEqual(await ids({ sender: 'alice@' }), [a]);
    assert.deepEqual(await ids({ sender: "o'neil%_" }), [c]);
    const d = await put(spool, text(11), { sender: 'JÖRG@Exämple.org', recipients: ['ÜNÏ@例え.jp'] });
    assert.deepEqual(await ids({ sender: 'jörg@EXÄ' }), [d]);
    assert.deepEqual(await ids({ recipient: 'ünï@例え' }), [d]);
    assert.deepEqual(await ids({ recipient: 'three' }), [b]);
    assert.deepEqual(await ids({ olderThanMs: 3000 }), [a]);
    assert.deepEqual(await ids({ state: 'dead' }), []);
    assert.deepEqual(await ids({ limit: 0 }), []);
  });

  test('goes through more messages than one step looks at', async t => {
    const { open } = await scene(t);
    const spool = await open();
    const body = text(1);
    for (let i = 0; i < 10; i++) await Promise.all(Array.from({ length: 500 }, () => put(spool, body)));
    const last = await put(spool, body, { sender: 'needle@example.org' });
    assert.equal((await spool.list({})).length, 5001);
    assert.deepEqual(
      (await spool.list({ sender: 'needle' })).map(m => m.id),
      [last],
    );
    assert.equal(await spool.hold({ limit: 1200 }), 1200);
    assert.equal(spool.counts().held.messages, 1200);
    assert.equal(await spool.remove({ state: 'active' }), 3801);
  });
});

describe('changes by hand', () => {
  test('hold keeps a message from being claimed and unhold puts it back where it was', async t => {
    const { open } = await scene(t);
    const spool = await open();
    await put(spool, text(9));
    const failed = await put(spool, text(9));
    await fail(spool, failed, START);
    assert.equal(await spool.hold({}), 2);
    assert.equal(await spool.hold({}), 0);
    for (const state of ['active', 'failed'] as const) {
      assert.deepEqual(await spool.claim({ state, dueBefore: START + 1e9, limit: 9 }), []);
    }
    assert.equal((await spool.list({ state: 'held' }))[0]?.reason, 'held by hand');
    assert.equal(await spool.unhold({ ids: [failed] }), 1);
    assert.equal(await spool.unhold({}), 1);
    assert.equal(spool.counts().active.messages, 1);
    assert.equal(spool.counts().failed.messages, 1);
    assert.deepEqual(await bodyOf(spool, failed), text(9));
  });

  test('a message that is being sent is passed over and not counted', async t => {
    const { open } = await scene(t);
    const spool = await open();
    const id = await put(spool, text(9));
    await spool.claim({ state: 'active', dueBefore: START + 1, limit: 1 });
    assert.equal(await spool.hold({}), 0);
    assert.equal(await spool.remove({}), 0);
    assert.equal(await spool.resend({}), 0);
    await spool.release(id);
    assert.equal(await spool.remove({}), 1);
  });

  test('resend makes failed ones due now and dead ones alive, with who was given up pending again', async t => {
    const { open, clock, directory } = await scene(t);
    const spool = await open();
    const failed = await put(spool, text(9));
    const dead = await put(spool, text(10));
    await fail(spool, failed, START + 1e6);
    await spool.settle(dead, {
      kind: 'dead',
      recipients: [
        pending[0]!,
        { address: 'two@example.com', state: 'rejected', reply: '550 no', bounced: true },
      ],
      reason: 'rejected',
    });
    clock.now = START + 50;
    assert.equal(await spool.resend({}), 2);
    const [one, two] = await spool.list({});
    assert.equal(one?.dueAt, START + 50);
    assert.equal(two?.state, 'failed');
    assert.equal(two?.rounds, 0);
    assert.deepEqual(
      two?.recipients.map(r => [r.state, r.bounced]),
      [
        ['delivered', undefined],
        ['pending', undefined],
      ],
    );
    assert.deepEqual(await namesIn(directory, 'dead'), []);
    assert.deepEqual(await bodyOf(spool, dead), text(10));
    assert.equal((await spool.claim({ state: 'failed', dueBefore: clock.now, limit: 9 })).length, 2);
  });

  test('adopt takes a message in as failed and due at once, with what its recipients got', async t => {
    const { open, directory } = await scene(t);
    const spool = await open();
    for (const size of [40, 600_000]) {
      const body = text(size);
      const id = await spool.adopt(
        {
          envelope: { sender: 's@x', recipients: ['one@example.com'], eightBit: false, smtpUtf8: false },
          receivedAt: 77,
        },
        (async function* () {
          yield body.subarray(0, 10);
          yield body.subarray(10);
        })(),
        pending,
      );
      const [message] = await spool.list({ ids: [id] });
      assert.equal(message?.state, 'failed');
      assert.equal(message?.rounds, 0);
      assert.equal(message?.receivedAt, 77);
      assert.deepEqual(message?.recipients, pending);
      assert.deepEqual(await bodyOf(spool, id), body);
      assert.ok((await namesIn(directory, 'failed')).includes(`${id}.eml`));
    }
    assert.equal((await spool.claim({ state: 'failed', dueBefore: START, limit: 9 })).length, 2);
  });

  test('adopt forgets a message whose source breaks off', async t => {
    const { open } = await scene(t);
    const spool = await open();
    const broken = spool.adopt(
      { envelope: { sender: 's@x', recipients: ['a@b'], eightBit: false, smtpUtf8: false }, receivedAt: 77 },
      (async function* () {
        yield text(300_000);
        throw new Error('torn');
      })(),
      pending,
    );
    await assert.rejects(broken, /torn/);
    assert.deepEqual(await spool.list({}), []);
  });
});

describe('retention of the dead', () => {
  const cases = [
    { title: 'by age', retention: { ageMs: 25, maxMessages: 99, maxBytes: 1e9 }, left: 3 },
    {
      title: 'by number, the longest dead first',
      retention: { ageMs: 1e9, maxMessages: 3, maxBytes: 1e9 },
      left: 3,
    },
    { title: 'by bytes', retention: { ageMs: 1e9, maxMessages: 99, maxBytes: 150 }, left: 1 },
    {
      title: 'not at all while within bounds',
      retention: { ageMs: 1e9, maxMessages: 99, maxBytes: 1e9 },
      left: 5,
    },
  ];
  for (const { title, retention, left } of cases) {
    test(`removes ${title}`, async t => {
      const { open, clock, directory, events } = await scene(t);
      const spool = await open({ retention });
      const ids = [];
      for (let i = 0; i < 5; i++) {
        const id = await put(spool, text(100));
        clock.now = START + i * 10;
        await bury(spool, id);
        ids.push(id);
      }
      const active = await put(spool, text(100));
      assert.equal(await spool.sweep(clock.now), 5 - left);
      assert.deepEqual(
        (await spool.list({})).map(m => m.id),
        [...ids.slice(5 - left), active],
      );
      assert.equal((await namesIn(directory, 'dead')).length, left);
      const told = events
        .filter(event => event.event === 'dead-removed')
        .map(event => ('count' in event ? event.count : 0));
      assert.deepEqual(told, left === 5 ? [] : [5 - left]);
    });
  }
});

describe('counts', () => {
  test('hold messages, bytes and the age of the oldest of each state, also after a restart', async t => {
    const { open } = await scene(t);
    const first = await open();
    await put(first, text(10), { receivedAt: START - 50 });
    const failed = await put(first, text(20), { receivedAt: START - 40 });
    const dead = await put(first, text(30), { receivedAt: START - 30 });
    await put(first, text(40), { receivedAt: START - 20 });
    await fail(first, failed, START);
    await bury(first, dead);
    await first.hold({ state: 'failed' });
    const sums = (spool: typeof first) =>
      Object.entries(spool.counts()).map(([state, { messages, bytes }]) => [state, messages, bytes]);
    const expected = [
      ['active', 2, 50],
      ['failed', 0, 0],
      ['held', 1, 20],
      ['dead', 1, 30],
    ];
    assert.deepEqual(sums(first), expected);
    await first.close();
    const second = await open();
    assert.deepEqual(sums(second), expected);
    assert.equal(second.counts().active.oldestReceivedAt, START - 50);
    assert.equal(second.counts().held.oldestReceivedAt, START - 40);
    assert.equal(second.counts().dead.oldestReceivedAt, START - 30);
  });
});
