/** The running program takes a new configuration, or keeps the one it has. */
import assert from 'node:assert/strict';
import { hostname } from 'node:os';
import { type TestContext, test } from 'node:test';
import { RelayProcess } from '../../clients/relay-process.ts';
import { dial } from '../../smtp/client.ts';
import { type ScriptedProvider, startProvider } from '../../smtp/provider.ts';
import { until } from '../../smtp/wait.ts';

interface Rig {
  readonly relay: RelayProcess;
  readonly first: ScriptedProvider;
  readonly second: ScriptedProvider;
}

const entry = (name: string, { host, port }: ScriptedProvider) => ({ name, host, port });

async function open(t: TestContext): Promise<Rig> {
  const [first, second] = await Promise.all([startProvider(), startProvider()]);
  const relay = await RelayProcess.create({ providers: [entry('first', first), entry('second', second)] });
  t.after(async () => {
    await relay.remove();
    await Promise.all([first.close(), second.close()]);
  });
  await relay.start();
  return { relay, first, second };
}

async function send(relay: RelayProcess): Promise<void> {
  const client = await relay.connect();
  const reply = await client.send({
    from: 'a@example.com',
    to: ['b@example.net'],
    body: 'Subject: x\r\n\r\nx\r\n',
  });
  assert.equal(reply.code, 250);
  await client.quit();
}

test('SIGHUP loads config.json again without losing a connection', async t => {
  const { relay } = await open(t);
  const client = await relay.connect();
  relay.run.signal('SIGHUP');
  await until(() => relay.run.heard('config-loaded').length >= 2, 'the second load');
  assert.equal((await client.command('NOOP')).code, 250);
  await client.quit();
  assert.equal(relay.run.ending, undefined);
});

test('many SIGHUPs at once do no harm', async t => {
  const { relay, first } = await open(t);
  for (let index = 0; index < 50; index++) relay.run.signal('SIGHUP');
  await send(relay);
  await until(() => first.messages.length === 1, 'the mail');
  assert.equal((await relay.halt()).code, 0);
});

test('an edit that turns the order around takes effect without a restart', async t => {
  const { relay, first, second } = await open(t);
  await send(relay);
  await until(() => first.messages.length === 1, 'the mail at the first');
  await relay.configure({ forwardProviders: [entry('second', second), entry('first', first)] });
  await until(() => relay.run.heard('config-loaded').length >= 2, 'the second load');
  await send(relay);
  await until(() => second.messages.length === 1, 'the mail at the second');
  assert.equal(first.messages.length, 1);
});

test('an edit with a mistake keeps the old configuration, says so, and is forgotten once mended', async t => {
  const { relay, first } = await open(t);
  await relay.configure({ forwardProviders: [{ host: 'mail.example.com', port: 0 }] });
  const { errors } = await relay.run.until('config-rejected');
  assert.match(String((errors as string[])[0]), /forwardProviders\[0\]\.port/);
  await send(relay);
  await until(() => first.messages.length === 1, 'the mail by the old configuration');
  const told = JSON.parse((await relay.http('/status')).text) as { lastConfigError?: { errors: string[] } };
  assert.match(told.lastConfigError?.errors[0] ?? '', /forwardProviders\[0\]\.port/);
  assert.match((await relay.http('/metrics')).text, /^mailrelay_config_refused 1$/m);
  assert.equal((await relay.http('/readyz')).status, 200);
  await relay.configure();
  const mended = async (): Promise<boolean> =>
    !('lastConfigError' in (JSON.parse((await relay.http('/status')).text) as object));
  await until(mended, 'the trouble to be forgotten');
  assert.match((await relay.http('/metrics')).text, /^mailrelay_config_refused 0$/m);
});

test('forwardSMTP false holds the mail, true sends it', async t => {
  const { relay, first } = await open(t);
  await relay.configure({ forwardSMTP: false });
  await until(() => relay.run.heard('config-loaded').length >= 2, 'the second load');
  await send(relay);
  const held = async (): Promise<boolean> => {
    const { queue } = JSON.parse((await relay.http('/status')).text) as {
      queue: Record<string, { messages: number }>;
    };
    return queue['held']!.messages === 1;
  };
  await until(held, 'the mail to be held');
  assert.equal(first.counters.transactions, 0);
  await relay.configure();
  await until(() => first.messages.length === 1, 'the mail');
});

test('a relay that starts while it is to go takes no mail from the first moment, and some once that is called off', async t => {
  const { relay, first } = await open(t);
  await relay.halt();
  await relay.configure({
    draining: [hostname()],
    shutdown: { graceSeconds: 30, deadlineSeconds: 1 },
  });
  await relay.start();
  const client = await dial({ host: '127.0.0.1', port: relay.smtpPort });
  assert.equal((await client.reply()).code, 421);
  client.destroy();
  assert.equal((await relay.http('/readyz')).status, 503);
  await relay.configure();
  await until(async () => (await relay.http('/readyz')).status === 200, 'it is ready');
  await send(relay);
  await until(() => first.messages.length === 1, 'the mail');
});
