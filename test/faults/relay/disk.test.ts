/**
 * A volume that fills up under the whole relay (a small tmpfs): new mail is
 * refused in time, what was promised is sent, and all is well again when there
 * is room. Needs root to mount.
 */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { appendFile, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, type TestContext, test } from 'node:test';
import { RelayProcess } from '../../clients/relay-process.ts';
import type { ClientReply, SmtpClient } from '../../smtp/client.ts';
import { type ScriptedProvider, startProvider } from '../../smtp/provider.ts';
import { until } from '../../smtp/wait.ts';
import { Ledger, numbered } from './load.ts';

const MEGABYTE = 1024 * 1024;

/** Why no volume can be made here. */
function missing(): string | false {
  if (process.getuid?.() !== 0) return 'mounting needs root';
  return spawnSync('unshare', ['-m', 'true']).status === 0 ? false : 'this machine does not allow mounting';
}

interface Rig {
  readonly relay: RelayProcess;
  readonly provider: ScriptedProvider;
  readonly ledger: Ledger;
  readonly volume: string;
}

async function open(t: TestContext, config: Record<string, unknown> = {}): Promise<Rig> {
  const ledger = new Ledger();
  const provider = await startProvider({ onMessage: mail => ledger.received('only', mail) });
  const volume = await mkdtemp(join(tmpdir(), 'mailrelay-volume-'));
  const { host, port } = provider;
  const relay = await RelayProcess.create({
    providers: [{ name: 'only', host, port }],
    dataDir: volume,
    config: { listener: { hostname: 'relay.test', maxMessageBytes: MEGABYTE }, ...config },
  });
  const { status, stderr } = spawnSync('mount', ['-t', 'tmpfs', '-o', 'size=24m', 'tmpfs', volume]);
  t.after(async () => {
    await relay.remove();
    if (status === 0) spawnSync('umount', [volume]);
    await rm(volume, { recursive: true });
    await provider.close();
  });
  assert.equal(status, 0, String(stderr));
  await relay.start();
  return { relay, provider, ledger, volume };
}

/** Hands over one mail of up to 700 KB; resolves with what refused it, at whatever step. */
async function offer(client: SmtpClient, ledger: Ledger): Promise<ClientReply | undefined> {
  const { serial, body } = numbered(700_000);
  for (const line of ['MAIL FROM:<load@example.com>', 'RCPT TO:<a@example.net>']) {
    const reply = await client.command(line);
    if (reply.code !== 250) return reply;
  }
  const [data] = await client.pipeline(['DATA']);
  if (data?.code !== 354) return data;
  client.write(Buffer.concat([Buffer.from(stuffed(body)), Buffer.from('.\r\n')]));
  const reply = await client.reply();
  const id = /queued as (\w+)/.exec(reply.text)?.[1];
  if (reply.code !== 250 || id === undefined) return reply;
  ledger.acknowledged.set(serial, id);
  return undefined;
}

const stuffed = (body: Buffer): Buffer =>
  Buffer.from(body.toString('latin1').replaceAll('\r\n.', '\r\n..'), 'latin1');

/** Until one is refused. */
async function fill({ relay, ledger }: Rig): Promise<ClientReply> {
  const client = await relay.connect();
  try {
    for (let count = 0; count < 500; count++) {
      const refused = await offer(client, ledger);
      if (refused !== undefined) return refused;
    }
    throw new Error('500 mails went on a volume of 24 MB');
  } finally {
    client.destroy();
  }
}

/** Everything acknowledged has arrived, and mail is taken again. */
async function recovers(rig: Rig): Promise<void> {
  const { relay, ledger } = rig;
  await until(() => ledger.missing.length === 0, 'all acknowledged mail to arrive', 60_000);
  await until(async () => (await relay.http('/readyz')).status === 200, 'the relay to be ready', 30_000);
  const client = await relay.connect();
  const taken = async (): Promise<boolean> => (await offer(client, ledger)) === undefined;
  await until(taken, 'mail to be taken again', 30_000);
  await client.quit();
  await until(() => ledger.missing.length === 0, 'that mail to arrive', 30_000);
  assert.deepEqual(ledger.corrupt, []);
}

/** Takes all that is free, whoever else is writing. */
async function occupy(volume: string): Promise<string> {
  const path = join(volume, 'something-else');
  for (let block = 64 * 1024; block >= 4096; block /= 16) {
    const full = await appendFile(path, Buffer.alloc(block)).catch(() => 'full');
    if (full === undefined) block *= 16;
  }
  return path;
}

describe('a volume that fills up', { skip: missing() }, () => {
  test('at the reserve MAIL gets 452 4.3.1, readiness 503, and what waits is sent when it can be', async t => {
    const rig = await open(t);
    await rig.provider.down();
    const refused = await fill(rig);
    assert.match(refused.text, /^452 4\.3\.1 /);
    await until(async () => (await rig.relay.http('/readyz')).status === 503, 'the relay not to be ready');
    assert.match((await rig.relay.http('/readyz')).text, /disk/);
    assert.equal((await rig.relay.http('/livez')).status, 200);
    assert.deepEqual(rig.relay.run.heard('spool-failed'), []);
    const low = await rig.relay.run.until('disk-low');
    assert.match(String(low['message']), /\d/);
    const client = await rig.relay.connect();
    assert.match((await client.command('MAIL FROM:<a@example.com>')).text, /^452 4\.3\.1 /);
    await client.quit();
    await rig.provider.up();
    await recovers(rig);
    await rig.relay.run.until('disk-recovered');
  });

  test('filled by someone else it refuses, goes on sending, and recovers when there is room', async t => {
    const rig = await open(t);
    await rig.provider.down();
    const client = await rig.relay.connect();
    for (let count = 0; count < 5; count++) assert.equal(await offer(client, rig.ledger), undefined);
    const other = await occupy(rig.volume);
    await until(async () => (await rig.relay.http('/readyz')).status === 503, 'the relay not to be ready');
    assert.match((await client.command('MAIL FROM:<a@example.com>')).text, /^452 4\.3\.1 /);
    await client.quit();
    await rig.provider.up();
    await until(() => rig.ledger.missing.length === 0, 'what waits to be sent from a full volume', 60_000);
    await rm(other);
    await recovers(rig);
  });

  test('without a reserve the volume is really full: never a false 250, and all that was promised arrives', async t => {
    const rig = await open(t, { diskReserveBytes: 0 });
    await rig.provider.down();
    const refused = await fill(rig);
    assert.match(refused.text, /^45[12] 4\.3\./);
    await rig.relay.kill();
    await rig.provider.up();
    await rig.relay.start();
    await recovers(rig);
  });
});
