/** Nobody reads the relay's standard output any more, and its pipe is full: it ends all the same. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { type TestContext, test } from 'node:test';
import { RelayProcess, type Run } from '../../clients/relay-process.ts';
import { type ScriptedProvider, startProvider } from '../../smtp/provider.ts';
import { wait } from '../../smtp/script.ts';
import { gate, until } from '../../smtp/wait.ts';

/** Its lines are more than a pipe and what reads it here hold. */
const MAILS = 600;

async function unread(t: TestContext, provider: ScriptedProvider): Promise<RelayProcess> {
  const { host, port } = provider;
  const relay = await RelayProcess.create({ providers: [{ name: 'p', host, port }] });
  t.after(async () => {
    relay.run.child.stdout?.destroy();
    await relay.remove();
    await provider.close();
  });
  const run = await relay.start();
  run.child.stdout?.pause();
  return relay;
}

async function fill(relay: RelayProcess): Promise<void> {
  const client = await relay.connect();
  for (let count = 0; count < MAILS; count++) {
    const mail = { from: 'a@example.com', to: ['b@example.net'], body: 'Subject: x\r\n\r\nx\r\n' };
    assert.equal((await client.send(mail)).code, 250);
  }
  client.destroy();
}

/** The process is gone; its output stays unread. */
async function gone({ child }: Run): Promise<unknown> {
  const [code] = await once(child, 'exit', { signal: AbortSignal.timeout(30_000) });
  return code;
}

test('a stop ends with 0 when nobody reads the log', async t => {
  const provider = await startProvider();
  const relay = await unread(t, provider);
  await fill(relay);
  await until(() => provider.messages.length === MAILS, 'the mails');
  const ended = gone(relay.run);
  relay.run.signal('SIGTERM');
  assert.equal(await ended, 0);
});

test('a second SIGTERM ends a stop with 1 when nobody reads the log', async t => {
  const held = gate();
  let dots = 0;
  const provider = await startProvider({
    script: { dot: () => (++dots > MAILS ? wait(held.opened) : undefined) },
  });
  t.after(() => held.open());
  const relay = await unread(t, provider);
  await fill(relay);
  await until(() => provider.messages.length === MAILS, 'the mails');
  const client = await relay.connect();
  await client.send({ from: 'a@example.com', to: ['b@example.net'], body: 'Subject: x\r\n\r\nx\r\n' });
  await until(() => dots > MAILS, 'a transaction that does not end');
  const ended = gone(relay.run);
  relay.run.signal('SIGTERM');
  await until(async () => (await relay.http('/readyz')).status === 503, 'the stop');
  relay.run.signal('SIGTERM');
  assert.equal(await ended, 1);
});
