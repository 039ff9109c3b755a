/**
 * Steps of the wall clock under the whole relay, by libfaketime: what is due
 * goes by the clock of the wall, what runs goes by one that never steps.
 */
import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { rename, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, type TestContext, test } from 'node:test';
import { RelayProcess } from '../../clients/relay-process.ts';
import { type ScriptedProvider, startProvider } from '../../smtp/provider.ts';
import { until } from '../../smtp/wait.ts';

const LIBRARY = ['x86_64', 'aarch64']
  .map(machine => `/usr/lib/${machine}-linux-gnu/faketime/libfaketimeMT.so.1`)
  .find(existsSync);

interface Rig {
  readonly relay: RelayProcess;
  readonly provider: ScriptedProvider;
  /** Moves the relay's clock so far away from the machine's, as libfaketime writes it. */
  readonly step: (offset: string) => Promise<void>;
}

async function open(t: TestContext, config: Record<string, unknown> = {}): Promise<Rig> {
  const provider = await startProvider();
  const { host, port } = provider;
  const relay = await RelayProcess.create({ providers: [{ name: 'only', host, port }], config });
  t.after(async () => {
    await relay.remove();
    await provider.close();
  });
  const file = join(relay.directory, 'clock');
  const step = async (offset: string): Promise<void> => {
    await writeFile(`${file}.new`, `${offset}\n`);
    await rename(`${file}.new`, file);
  };
  await step('+0');
  await relay.start({
    env: {
      LD_PRELOAD: LIBRARY!,
      FAKETIME_TIMESTAMP_FILE: file,
      FAKETIME_NO_CACHE: '1',
      FAKETIME_DONT_FAKE_MONOTONIC: '1',
      DONT_FAKE_MONOTONIC: '1',
    },
  });
  return { relay, provider, step };
}

async function send(relay: RelayProcess): Promise<string> {
  const client = await relay.connect();
  const reply = await client.send({
    from: 'a@example.com',
    to: ['b@example.net'],
    body: 'Subject: x\r\n\r\nx\r\n',
  });
  const id = /queued as (\w+)/.exec(reply.text)?.[1];
  assert.ok(reply.code === 250 && id !== undefined, reply.text);
  await client.quit();
  return id;
}

/** The relay's clock, as its last log line has it. */
const clockOf = ({ relay }: Rig): number => Date.parse(String(relay.run.log.at(-1)?.['time']));

const HOUR = 3_600_000;

describe('a clock that steps', {
  skip: LIBRARY === undefined ? 'libfaketime is not installed' : false,
}, () => {
  test('forward: what then is due is sent within a minute', async t => {
    const rig = await open(t, { resend: { initialDelaySeconds: 3600, maxDelaySeconds: 3600 } });
    rig.provider.follow({ mail: Array(3).fill('451 4.3.0 later') });
    const id = await send(rig.relay);
    await rig.relay.run.until('round-failed', { id });
    assert.equal(rig.provider.messages.length, 0);
    await rig.step('+2h');
    await until(() => rig.provider.messages.length === 1, 'the mail', 60_000);
    await rig.relay.run.until('recipient-delivered', { id });
    assert.ok(clockOf(rig) > Date.now() + HOUR, 'the clock was stepped');
  });

  test('backward: mail goes on, and what failed before is sent when the provider is back', async t => {
    const rig = await open(t);
    await send(rig.relay);
    await until(() => rig.provider.messages.length === 1, 'a mail before the step');
    await rig.provider.down();
    const id = await send(rig.relay);
    await rig.relay.run.until('round-failed', { id });
    await rig.step('-2d');
    await rig.provider.up();
    await until(() => rig.provider.messages.length === 2, 'the failed mail', 60_000);
    await send(rig.relay);
    await until(() => rig.provider.messages.length === 3, 'a mail after the step', 30_000);
    assert.ok(clockOf(rig) < Date.now() - HOUR, 'the clock was stepped');
    assert.equal((await rig.relay.http('/readyz')).status, 200);
    assert.equal((await rig.relay.halt()).code, 0);
  });

  test('to and fro during delivery: no mail is lost or repeated', async t => {
    const rig = await open(t);
    for (let count = 1; count <= 12; count++) {
      await rig.step(['+3d', '-3d', '+0'][count % 3]!);
      await send(rig.relay);
    }
    await until(() => rig.provider.messages.length >= 12, 'all mail', 30_000);
    const { text } = await rig.relay.http('/status');
    const { queue } = JSON.parse(text) as { queue: Record<string, { messages: number }> };
    assert.equal(queue['failed']!.messages + queue['dead']!.messages, 0);
    assert.equal(rig.provider.messages.length, 12);
  });
});
