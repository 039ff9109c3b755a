/**
 * A volume that is full in other ways under the whole relay: by a backlog that
 * is sent in the end, with bounces that find no room, without inodes, and by a
 * quota (strace injects EDQUOT). Needs root to mount.
 */
import assert from 'node:assert/strict';
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import type { SmtpClient } from '../../smtp/client.ts';
import { until } from '../../smtp/wait.ts';
import { inject, straceMissing } from '../injection.ts';
import { mountingMissing, occupyBytes, occupyInodes } from '../volume.ts';
import type { Ledger } from './load.ts';
import { fill, offer, openRig, type Rig, recovers, takesMail } from './volume-rig.ts';

const bounces = { resend: { initialDelaySeconds: 1, maxDelaySeconds: 2, bounces: true } };

/** Refuses mail of that sender at the end of the message. */
const refusing = (sender: string) => ({
  dot: ({ transaction }: { transaction?: { sender: string } }) =>
    transaction?.sender === sender ? '550 5.7.1 not this' : undefined,
});

const badSender = 'bad@example.com';

/** Some small mails that will be refused. Resolves with their serials. */
async function offerBad(client: SmtpClient, ledger: Ledger): Promise<ReadonlySet<string>> {
  for (let count = 0; count < 20; count++) {
    assert.equal(await offer(client, ledger, { sender: badSender, most: 2000 }), undefined);
  }
  return new Set(ledger.acknowledged.keys());
}

const told = ({ provider }: Rig): string[] =>
  provider.messages
    .filter(({ sender }) => sender === '')
    .map(({ body }) => /^In-Reply-To: <(\S+)@example\.com>/m.exec(body.toString())?.[1] ?? '?');

async function queue({ relay }: Rig): Promise<Record<string, { messages: number }>> {
  const status = JSON.parse((await relay.http('/status')).text) as {
    queue: Record<string, { messages: number }>;
  };
  return status.queue;
}

describe('a volume that is full', { skip: mountingMissing }, () => {
  test('of mail that was held takes new mail when all of it was sent, the database being as large as before', async t => {
    const rig = await openRig(t, { config: { forwardSMTP: false } });
    assert.match((await fill(rig)).text, /^452 4\.3\.1 /);
    await rig.relay.configure({ forwardSMTP: true });
    await recovers(rig);
    assert.deepEqual(rig.relay.run.heard('spool-failed'), []);
  });

  test('at the reserve sends bounces all the same, and all else', async t => {
    const rig = await openRig(t, { config: bounces, script: refusing(badSender) });
    await rig.provider.down();
    const client = await rig.relay.connect();
    const refused = await offerBad(client, rig.ledger);
    assert.match((await fill(rig)).text, /^452 4\.3\.1 /);
    await rig.provider.up();
    await until(() => told(rig).length === refused.size, 'the bounces', 60_000);
    assert.deepEqual(new Set(told(rig)), refused);
    for (const serial of refused) rig.ledger.acknowledged.delete(serial);
    await recovers(rig);
  });

  test('to the last byte keeps owing bounces, over a kill, and sends each once when there is room', async t => {
    const rig = await openRig(t, {
      // More than twice of what the ballast gives up.
      config: { ...bounces, diskReserveBytes: 10_000_000 },
      script: refusing(badSender),
    });
    await rig.provider.down();
    const client = await rig.relay.connect();
    const refused = await offerBad(client, rig.ledger);
    rig.ledger.acknowledged.clear();
    for (let count = 0; count < 5; count++) {
      assert.equal(await offer(client, rig.ledger, { most: 20_000 }), undefined);
    }
    await client.quit();
    const other = await occupyBytes(rig.volume);
    await rig.provider.up();
    await until(() => rig.ledger.missing.length === 0, 'other mail to be sent', 60_000);
    await until(
      () => rig.relay.run.heard('recipient-rejected').length === refused.size,
      'the refusals',
      60_000,
    );
    await until(
      async () => (await queue(rig))['failed']?.messages === refused.size,
      'the refused ones to wait',
      60_000,
    );
    assert.deepEqual(told(rig), []);
    assert.deepEqual(rig.relay.run.heard('spool-failed'), []);
    await rig.relay.kill();
    await rig.relay.start();
    await rm(other);
    await until(() => told(rig).length >= refused.size, 'the bounces', 60_000);
    await until(
      async () => (await queue(rig))['dead']?.messages === refused.size,
      'the refused ones to end',
      60_000,
    );
    assert.equal((await rig.relay.halt()).code, 0);
    assert.deepEqual(rig.relay.run.heard('spool-failed'), []);
    assert.deepEqual(told(rig).sort(), [...refused].sort());
  });

  test('of inodes goes on taking and sending mail; what fails becomes a file when there is one', async t => {
    const rig = await openRig(t, { mount: ['nr_inodes=40'] });
    await rig.provider.down();
    const occupied = await occupyInodes(rig.volume);
    const client = await rig.relay.connect();
    for (let count = 0; count < 5; count++) assert.equal(await offer(client, rig.ledger), undefined);
    await client.quit();
    await until(async () => (await queue(rig))['failed']?.messages === 5, 'all to fail', 30_000);
    assert.deepEqual(rig.relay.run.heard('spool-failed'), []);
    await rig.relay.run.until('spool-trouble');
    // Neither a kill nor an orderly end needs an inode to start again.
    await rig.relay.kill();
    await rig.relay.start();
    assert.equal((await rig.relay.halt()).code, 0);
    await rig.relay.start();
    for (const path of occupied) await rm(path);
    await rig.provider.up();
    await recovers(rig);
    assert.deepEqual(rig.relay.run.heard('spool-failed'), []);
  });

  test('by a quota refuses mail with 452 4.3.1, and takes it again when the quota allows', {
    skip: straceMissing,
  }, async t => {
    const rig = await openRig(t);
    await takesMail(rig);
    const paths = ['queue.db-wal', 'room.tmp'].map(name => join(rig.volume, 'emails', name));
    const fault = { call: 'pwrite64,write', error: 'EDQUOT', paths };
    const quota = await inject(rig.relay.run.child.pid, fault, join(rig.relay.directory, 'trace'));
    const client = await rig.relay.connect();
    const refused = await offer(client, rig.ledger);
    assert.match(refused?.text ?? '', /^452 4\.3\.1 /);
    await rig.relay.run.until('disk-low');
    await client.quit();
    assert.equal((await rig.relay.http('/livez')).status, 200);
    await quota.lift();
    await recovers(rig);
    assert.deepEqual(rig.relay.run.heard('spool-failed'), []);
  });
});
