/** One queue over several real spools. */
import assert from 'node:assert/strict';
import { mkdir, rename, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import type { MessageId, QueueState } from '../../../relay/spool/message.ts';
import type { OpenSpool } from '../../../relay/spool/settings.ts';
import { WholeQueue } from '../../../relay/whole-queue.ts';
import { until } from '../../smtp/wait.ts';
import { put, START, scene, text } from '../spool/fixture.ts';

interface Setting {
  readonly queue: WholeQueue;
  readonly spools: OpenSpool[];
  /** Puts one message into a spool, a minute after the one before. */
  readonly add: (spool: number, state?: QueueState) => Promise<MessageId>;
  readonly forward: (on: boolean) => void;
}

async function setting(t: TestContext, count = 3): Promise<Setting> {
  const clock = { now: START };
  const spools: OpenSpool[] = [];
  for (let n = 0; n < count; n += 1) spools.push(await (await scene(t)).open({ now: () => clock.now }));
  let forwarding = true;
  const add = async (index: number, state: QueueState = 'failed'): Promise<MessageId> => {
    const spool = spools[index]!;
    clock.now += 60_000;
    const id = await put(spool, text(100 + index));
    const recipients = [{ address: 'b@x.test', state: 'pending' }] as const;
    if (state === 'failed') {
      await spool.settle(id, { kind: 'failed', recipients, dueAt: clock.now + 1e6, reason: 'no provider' });
    } else if (state === 'dead') await spool.settle(id, { kind: 'dead', recipients, reason: 'refused' });
    else if (state === 'held') await spool.hold({ ids: [id] });
    return id;
  };
  const forward = (on: boolean): void => {
    forwarding = on;
  };
  const queue = new WholeQueue({ spools: () => spools, forwarding: () => forwarding });
  return { queue, spools, add, forward };
}

const ids = (messages: readonly { readonly id: string }[]): string[] => messages.map(({ id }) => id);

test('lists the messages of all spools in order of ids, a page at a time', async t => {
  const { queue, add } = await setting(t);
  const all: string[] = [];
  for (const spool of [2, 0, 1, 1, 0, 2, 0]) all.push(await add(spool));
  assert.deepEqual(ids(await queue.list({})), all);
  const pages: string[][] = [];
  for (let after: string | undefined; ; ) {
    const page = ids(await queue.list({ limit: 3, ...(after !== undefined && { after }) }));
    pages.push(page);
    after = page.at(-1);
    if (page.length < 3) break;
  }
  assert.deepEqual(pages, [all.slice(0, 3), all.slice(3, 6), all.slice(6)]);
  assert.deepEqual(ids(await queue.list({ ids: [all[3]!, all[0]!], limit: 1 })), [all[0]]);
});

test('reads a body from the spool that has it', async t => {
  const { queue, add } = await setting(t);
  await add(0);
  const id = await add(2);
  assert.deepEqual(Buffer.concat(await Array.fromAsync(queue.read(id))), text(102));
  await assert.rejects(Array.fromAsync(queue.read('0'.repeat(17) as MessageId)), { kind: 'not-found' });
});

test('a change reaches all spools and counts in all', async t => {
  const { queue, add } = await setting(t);
  const first = await add(0);
  const second = await add(1);
  await add(2, 'dead');
  assert.equal(await queue.resend({ state: 'failed' }), 2);
  assert.ok((await queue.list({ state: 'failed' })).every(({ dueAt }) => dueAt < START + 1e6));
  assert.equal(await queue.hold({ ids: [second] }), 1);
  assert.deepEqual(ids(await queue.list({ state: 'held' })), [second]);
  assert.equal(await queue.unhold({ state: 'held' }), 1);
  assert.equal(await queue.remove({ state: 'dead' }), 1);
  assert.deepEqual(ids(await queue.list({})), [first, second]);
});

test('a change with a limit takes the first ones of all spools together', async t => {
  const { queue, add } = await setting(t);
  const all: string[] = [];
  for (const spool of [2, 0, 1, 2, 0]) all.push(await add(spool));
  assert.equal(await queue.remove({ limit: 3 }), 3);
  assert.deepEqual(ids(await queue.list({})), all.slice(3));
  assert.equal(await queue.hold({ limit: 10 }), 2);
  // Those that the change does not concern do not use up the limit.
  const fresh = await add(0);
  assert.equal(await queue.hold({ limit: 1 }), 1);
  assert.deepEqual(ids(await queue.list({ state: 'held' })), [...all.slice(3), fresh]);
});

test('counts are those of the list, of all spools', async t => {
  const { queue, add } = await setting(t);
  await add(0);
  await add(1, 'active');
  await add(2, 'dead');
  await add(1, 'held');
  await add(2);
  for (const state of ['active', 'failed', 'held', 'dead'] as const) {
    const listed = await queue.list({ state });
    const { messages, bytes } = queue.counts()[state];
    assert.deepEqual(
      [messages, bytes],
      [listed.length, listed.reduce((sum, { size }) => sum + size, 0)],
      state,
    );
  }
});

test('with forwarding off what would be sent is listed, counted and chosen as held', async t => {
  const { queue, add, forward } = await setting(t, 2);
  const active = await add(0, 'active');
  const held = await add(1, 'held');
  const failed = await add(1);
  forward(false);
  assert.equal(queue.counts().held.messages, 2);
  assert.equal(queue.counts().active.messages, 0);
  assert.deepEqual(await queue.list({ state: 'active' }), []);
  const listed = await queue.list({ state: 'held' });
  assert.deepEqual(ids(listed), [active, held]);
  assert.deepEqual(
    (await queue.list({})).map(({ state }) => state),
    ['held', 'held', 'failed'],
  );
  assert.equal(listed[0]?.reason, 'forwardSMTP is false');
  assert.equal(await queue.remove({ state: 'active' }), 0);
  assert.equal(await queue.remove({ state: 'held', limit: 1 }), 1);
  assert.equal(await queue.remove({ state: 'held' }), 1);
  assert.deepEqual(ids(await queue.list({})), [failed]);
});

test('an adopted spool that was given back meanwhile has nothing to say; the own one has', async t => {
  const { queue, spools, add } = await setting(t, 2);
  const id = await add(0);
  await add(1);
  await spools[1]!.close();
  assert.deepEqual(ids(await queue.list({})), [id]);
  assert.equal(await queue.resend({ state: 'failed' }), 1);
  await add(0, 'dead');
  await queue.sweep(START + 1e9);
  assert.equal(spools[0]!.counts().dead.messages, 0);
  await spools[0]!.close();
  await assert.rejects(queue.list({}), { kind: 'closed' });
});

test('counts what lies in the quarantine of all spools, as far as it is known of all', async t => {
  const scenes = await Promise.all([scene(t), scene(t)]);
  const spools: OpenSpool[] = [];
  for (const { directory, open } of scenes) {
    await mkdir(join(directory, 'failed'), { recursive: true });
    await writeFile(join(directory, 'failed', 'notes.txt'), 'mine');
    spools.push(await open());
  }
  const queue = new WholeQueue({ spools: () => spools, forwarding: () => true });
  assert.equal(queue.quarantined(), 2);
  const path = join(scenes[1]!.directory, 'quarantine');
  await rename(path, `${path}.away`);
  await writeFile(path, 'no directory');
  await until(() => queue.quarantined() === undefined, 'nobody knows', 20_000);
});
