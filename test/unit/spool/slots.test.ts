import assert from 'node:assert/strict';
import { cp, mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { type TestContext, test } from 'node:test';
import type { MessageId } from '../../../relay/spool/message.ts';
import { openSpool } from '../../../relay/spool/open.ts';
import type { OpenSpool } from '../../../relay/spool/settings.ts';
import { AbandonedSlots, type OpenIn, takeSlot } from '../../../relay/spool/slots.ts';
import { SpoolError } from '../../../relay/spool/spool.ts';

const open: OpenIn = directory =>
  openSpool({
    directory,
    maxMessageBytes: 1_000_000,
    retention: { ageMs: 1e9, maxMessages: 1000, maxBytes: 1e9 },
    now: Date.now,
    emit: () => undefined,
  });

async function volume(t: TestContext): Promise<{ root: string; closing: (spool: OpenSpool) => void }> {
  const root = await mkdtemp(join(tmpdir(), 'mailrelay-slots-'));
  const spools: OpenSpool[] = [];
  t.after(async () => {
    await Promise.all(spools.map(spool => spool.close()));
    await rm(root, { recursive: true, force: true });
  });
  return { root, closing: spool => spools.push(spool) };
}

async function putOne(spool: OpenSpool): Promise<string> {
  const draft = spool.begin();
  await draft.write(Buffer.from('Subject: hello\r\n\r\nhello\r\n'));
  await draft.commit({
    envelope: { sender: 'a@x.test', recipients: ['b@x.test'], eightBit: false, smtpUtf8: false },
    receivedAt: Date.now(),
  });
  return draft.id;
}

test('each relay takes the first slot that nobody owns', async t => {
  const { root, closing } = await volume(t);
  const first = await takeSlot(root, open);
  const second = await takeSlot(root, open);
  closing(second.spool);
  assert.deepEqual([first.name, second.name], ['slot-0', 'slot-1']);
  await first.spool.close();
  const third = await takeSlot(root, open);
  closing(third.spool);
  assert.equal(third.name, 'slot-0', 'a slot that was given back is taken again');
});

test('a slot whose database is not sound is passed over, left as it is and told of', async t => {
  const { root, closing } = await volume(t);
  const database = join(root, 'slot-0', 'emails', 'queue.db');
  await mkdir(dirname(database), { recursive: true });
  const garbage = 'no database '.repeat(1000);
  await writeFile(database, garbage);
  const taken = await takeSlot(root, open);
  closing(taken.spool);
  assert.equal(taken.name, 'slot-1');
  assert.equal(await readFile(database, 'utf8'), garbage);
  const abandoned = new AbandonedSlots(root, open, Date.now).next(new Set([taken.name]));
  await assert.rejects(abandoned, /slot-0\S*queue\.db is not a sound database/);
});

test('what ails the volume itself is not passed over', async t => {
  const { root } = await volume(t);
  const failing: OpenIn = () => Promise.reject(new SpoolError('io', 'input/output error'));
  await assert.rejects(takeSlot(root, failing), /input\/output error/);
});

test('a slot with mail whose relay is gone is found and opened, its mail as it was', async t => {
  const { root, closing } = await volume(t);
  const own = await takeSlot(root, open);
  const gone = await takeSlot(root, open);
  closing(own.spool);
  const id = await putOne(gone.spool);
  await gone.spool.close();
  const found = await new AbandonedSlots(root, open, Date.now).next(new Set([own.name]));
  assert.ok(found);
  closing(found.spool);
  assert.equal(found.name, gone.name);
  assert.deepEqual(
    (await found.spool.list({})).map(message => message.id),
    [id],
  );
});

test('a slot that was found empty is looked at again when a relay has been killed on it', async t => {
  const { root, closing } = await volume(t);
  const own = await takeSlot(root, open);
  const empty = await takeSlot(root, open);
  closing(own.spool);
  await empty.spool.close();
  const slots = new AbandonedSlots(root, open, Date.now);
  assert.equal(await slots.next(new Set([own.name])), undefined);

  const killed = await takeSlot(root, open);
  const id = await putOne(killed.spool);
  // What a kill leaves: the files as they are now, the log not yet in the database.
  const directory = join(root, killed.name);
  const asKilled = { recursive: true, preserveTimestamps: true };
  await cp(directory, join(root, 'kept'), asKilled);
  await killed.spool.close();
  await rm(directory, { recursive: true });
  await cp(join(root, 'kept'), directory, asKilled);
  const found = await slots.next(new Set([own.name]));
  assert.ok(found);
  closing(found.spool);
  assert.deepEqual(
    (await found.spool.list({})).map(message => message.id),
    [id],
  );
});

test('slots that are owned, empty or not slots at all are left alone', async t => {
  const { root, closing } = await volume(t);
  const own = await takeSlot(root, open);
  const owned = await takeSlot(root, open);
  const empty = await takeSlot(root, open);
  closing(own.spool);
  closing(owned.spool);
  await putOne(owned.spool);
  await empty.spool.close();
  const slots = new AbandonedSlots(root, open, Date.now);
  assert.equal(await slots.next(new Set([own.name])), undefined);
  assert.equal(await slots.next(new Set([own.name])), undefined, 'nor on a second look');
  assert.deepEqual((await readdir(root)).sort(), ['slot-0', 'slot-1', 'slot-2']);
});

test('an error other than being owned is told, not taken for an owner', async t => {
  const { root } = await volume(t);
  const broken: OpenIn = () => Promise.reject(new Error('EIO'));
  await assert.rejects(takeSlot(root, broken), /EIO/);
});

test('a slot that cannot be opened is told of, once the mail in the others has been found', async t => {
  const { root, closing } = await volume(t);
  const [own, broken, gone] = [
    await takeSlot(root, open),
    await takeSlot(root, open),
    await takeSlot(root, open),
  ];
  closing(own.spool);
  await putOne(gone.spool);
  await broken.spool.close();
  await gone.spool.close();
  await writeFile(join(root, broken.name, 'emails', 'queue.db'), 'no database'.repeat(100));
  const slots = new AbandonedSlots(root, open, Date.now);
  const found = await slots.next(new Set([own.name]));
  assert.equal(found?.name, gone.name);
  closing(found!.spool);
  await assert.rejects(slots.next(new Set([own.name, gone.name])), { kind: 'corrupt' });
});

test('a slot with held mail is found, so that people can release it', async t => {
  const { root, closing } = await volume(t);
  const gone = await takeSlot(root, open);
  const id = await putOne(gone.spool);
  await gone.spool.hold({ ids: [id] });
  await gone.spool.close();
  const found = await new AbandonedSlots(root, open, Date.now).next(new Set());
  assert.equal(found?.name, gone.name);
  closing(found!.spool);
});

test('dead mail beyond retention goes from a slot that nobody owns, the rest stays there', async t => {
  const { root, closing } = await volume(t);
  const keepOne: OpenIn = directory =>
    openSpool({
      directory,
      maxMessageBytes: 1_000_000,
      retention: { ageMs: 1e9, maxMessages: 1, maxBytes: 1e9 },
      now: Date.now,
      emit: () => undefined,
    });
  const gone = await takeSlot(root, keepOne);
  for (let n = 0; n < 3; n += 1) {
    const id = await putOne(gone.spool);
    const recipients = [{ address: 'b@x.test', state: 'rejected' }] as const;
    await gone.spool.settle(id as MessageId, { kind: 'dead', recipients, reason: 'refused' });
  }
  await gone.spool.close();
  assert.equal(await new AbandonedSlots(root, keepOne, Date.now).next(new Set()), undefined);
  const again = await takeSlot(root, keepOne);
  closing(again.spool);
  assert.equal(again.name, gone.name);
  assert.equal(again.spool.counts().dead.messages, 1);
});
