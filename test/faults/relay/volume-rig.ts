/** The whole relay on a small volume of its own, with one scripted provider, and a client that fills it. */
import assert from 'node:assert/strict';
import type { TestContext } from 'node:test';
import { RelayProcess } from '../../clients/relay-process.ts';
import type { ClientReply, SmtpClient } from '../../smtp/client.ts';
import { type ScriptedProvider, startProvider } from '../../smtp/provider.ts';
import type { Script } from '../../smtp/script.ts';
import { until } from '../../smtp/wait.ts';
import { smallVolume } from '../volume.ts';
import { Ledger, numbered } from './load.ts';

const MEGABYTE = 1024 * 1024;

export interface Rig {
  readonly relay: RelayProcess;
  readonly provider: ScriptedProvider;
  readonly ledger: Ledger;
  readonly volume: string;
}

export interface RigSetup {
  readonly config?: Readonly<Record<string, unknown>>;
  /** Further options of the mount. */
  readonly mount?: readonly string[];
  readonly script?: Script;
}

/** Everything is ended and removed with the test. */
export async function openRig(t: TestContext, { config, mount = [], script }: RigSetup = {}): Promise<Rig> {
  const ledger = new Ledger();
  const provider = await startProvider({
    ...(script === undefined ? {} : { script }),
    // Bounces are no part of the ledger.
    onMessage: mail => {
      if (mail.sender !== '') ledger.received('only', mail);
    },
  });
  const volume = await smallVolume(...mount);
  const { host, port } = provider;
  const relay = await RelayProcess.create({
    providers: [{ name: 'only', host, port }],
    dataDir: volume.path,
    config: { listener: { hostname: 'relay.test', maxMessageBytes: MEGABYTE }, ...config },
  });
  t.after(async () => {
    await relay.remove();
    await volume.remove();
    await provider.close();
  });
  await relay.start();
  return { relay, provider, ledger, volume: volume.path };
}

/** Hands over one mail of up to 700 KB; resolves with what refused it, at whatever step. */
export async function offer(
  client: SmtpClient,
  ledger: Ledger,
  { sender = 'load@example.com', most = 700_000 } = {},
): Promise<ClientReply | undefined> {
  const { serial, body } = numbered(most);
  for (const line of [`MAIL FROM:<${sender}>`, 'RCPT TO:<a@example.net>']) {
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
export async function fill({ relay, ledger }: Rig): Promise<ClientReply> {
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
export async function recovers(rig: Rig): Promise<void> {
  const { ledger } = rig;
  await until(() => ledger.missing.length === 0, 'all acknowledged mail to arrive', 60_000);
  await takesMail(rig);
  await until(() => ledger.missing.length === 0, 'that mail to arrive', 30_000);
  assert.deepEqual(ledger.corrupt, []);
}

/** Waits until it is ready and takes one more. */
export async function takesMail({ relay, ledger }: Rig): Promise<void> {
  await until(async () => (await relay.http('/readyz')).status === 200, 'the relay to be ready', 90_000);
  const client = await relay.connect();
  const taken = async (): Promise<boolean> => (await offer(client, ledger)) === undefined;
  await until(taken, 'mail to be taken again', 90_000);
  await client.quit();
}
