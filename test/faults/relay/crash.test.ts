/**
 * SIGKILL of the whole process, again and again, while clients hand over mail
 * and providers fail now and then. What got its 250 arrives, whole; what
 * arrives twice was counted as ambiguous, also when the kill came between the
 * final dot and the relay's commit.
 */
import assert from 'node:assert/strict';
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { RelayProcess } from '../../clients/relay-process.ts';
import { startProvider } from '../../smtp/provider.ts';
import { drop, type Script, take } from '../../smtp/script.ts';
import { until } from '../../smtp/wait.ts';
import { Ledger, Load } from './load.ts';

const KILLS = 16;
const CLIENTS = 8;
const MAX_CONNECTIONS = 4;

/** Every so many-th time, from an own count, so that a run is like the next. */
function every(count: number): () => boolean {
  let seen = 0;
  return () => ++seen % count === 0;
}

/** Fails now and then at MAIL, before and after the dot, and once in a while takes a message without a word. */
function moody(): Script {
  const [mail, refuse, lose, silent] = [every(41), every(23), every(53), every(97)];
  return {
    mail: () => (mail() ? '451 4.3.0 not now' : undefined),
    dot: () => {
      if (refuse()) return '451 4.3.2 try again';
      if (lose()) return drop;
      return silent() ? take(drop) : undefined;
    },
  };
}

async function startMoody(t: TestContext, ledger: Ledger, name: string, script: Script) {
  const provider = await startProvider({
    keep: 'all',
    script,
    onMessage: mail => ledger.received(name, mail),
  });
  t.after(() => provider.close());
  return {
    name,
    host: provider.host,
    port: provider.port,
    limits: { maxConnections: MAX_CONNECTIONS },
  };
}

async function queued(relay: RelayProcess): Promise<number> {
  const { text } = await relay.http('/status');
  const { queue } = JSON.parse(text) as { queue: Record<string, { messages: number }> };
  return queue['active']!.messages + queue['failed']!.messages;
}

test('nothing acknowledged is lost and nothing is corrupted by SIGKILL at any instant', async t => {
  const ledger = new Ledger();
  const providers = [
    await startMoody(t, ledger, 'first', moody()),
    await startMoody(t, ledger, 'second', {}),
  ];
  const relay = await RelayProcess.create({ providers, config: { resend: { initialDelaySeconds: 1 } } });
  t.after(() => relay.remove());
  const load = new Load({ connect: () => relay.connect(), ledger, clients: CLIENTS });
  t.after(() => load.stop());
  for (let kill = 1; kill <= KILLS; kill++) {
    ledger.begin();
    await relay.start();
    const before = ledger.acknowledged.size;
    const wanted = before + 10 + Math.floor(Math.random() * 90);
    await until(() => ledger.acknowledged.size >= wanted, 'mail to be acknowledged', 30_000);
    const { signal } = await relay.kill();
    assert.equal(signal, 'SIGKILL');
  }
  await load.stop();
  ledger.begin();
  await relay.start();
  await until(async () => (await queued(relay)) === 0, 'the queue to be empty', 60_000);
  assert.deepEqual(ledger.corrupt, []);
  assert.deepEqual(ledger.missing, []);
  assertRepeatsExplained(t, relay, ledger);
  assert.equal((await relay.halt()).code, 0);
  for (const place of ['failed', 'dead', 'quarantine']) {
    assert.deepEqual(await readdir(join(relay.dataDir, 'emails', place)), [], place);
  }
});

/**
 * Each arrival that was not the last needs an ambiguity of that message that
 * was told, by the run itself or, after a kill, by the next one. A kill may
 * take the log line about it with it, which is rarer than one in a kill.
 */
function assertRepeatsExplained(t: TestContext, relay: RelayProcess, ledger: Ledger): void {
  const ambiguous = new Set(
    relay.runs.flatMap(run => run.heard('delivery-ambiguous').map(line => line['id'])),
  );
  const repeats = ledger.repeated.flatMap(([, arrivals]) => arrivals.slice(0, -1));
  const untold = repeats.filter(({ id }) => !ambiguous.has(id));
  t.diagnostic(
    `${KILLS} kills, ${ledger.acknowledged.size} acknowledged, ${ledger.arrivals.size} arrived, ${repeats.length} repeats, ${untold.length} without a line about it`,
  );
  assert.ok(untold.every(({ run }) => run <= KILLS) && untold.length < KILLS, JSON.stringify(untold));
}

test('killed before a message was answered: that one waits for its first resend and is counted, what waited behind it goes at once', async t => {
  const provider = await startProvider({ script: { dot: { do: 'stall' } } });
  t.after(() => provider.close());
  const { host, port } = provider;
  const relay = await RelayProcess.create({
    providers: [{ name: 'silent', host, port, limits: { maxConnections: 1 } }],
    config: { resend: { initialDelaySeconds: 3, jitter: 0 } },
  });
  t.after(() => relay.remove());
  await relay.start();
  const client = await relay.connect();
  const send = async (subject: string): Promise<void> => {
    const body = `Subject: ${subject}\r\nMessage-ID: <${subject}@example.com>\r\n\r\nx\r\n`;
    const { code } = await client.send({ from: 'a@example.com', to: ['b@example.net'], body });
    assert.equal(code, 250);
  };
  await send('first');
  await until(() => provider.transactions.some(({ complete }) => complete), 'the dot');
  for (const subject of ['second', 'third']) await send(subject);
  await relay.kill();
  client.destroy();
  provider.follow({});
  await relay.start();
  const startedAt = performance.now();
  const subjects = (): string[] =>
    provider.messages.map(({ body }) => /Message-ID: <(\w+)@/.exec(body.toString())?.[1] ?? '');
  await until(() => provider.messages.length === 2, 'what waited behind it');
  assert.deepEqual(subjects().sort(), ['second', 'third']);
  await relay.run.until('delivery-ambiguous', { provider: 'silent', recipients: 1 });
  assert.match((await relay.http('/metrics')).text, /^mailrelay_ambiguous_total 1$/m);
  await until(() => provider.messages.length === 3, 'the resend', 30_000);
  assert.ok(performance.now() - startedAt > 2500, 'not before its first resend');
  assert.equal(subjects().at(-1), 'first');
});

test('SIGTERM under load ends with 0 in time; nothing is lost, nothing arrives twice', async t => {
  const ledger = new Ledger();
  const provider = await startMoody(t, ledger, 'only', {});
  const relay = await RelayProcess.create({ providers: [provider] });
  t.after(() => relay.remove());
  const load = new Load({ connect: () => relay.connect(), ledger, clients: CLIENTS });
  t.after(() => load.stop());
  for (let round = 1; round <= 3; round++) {
    await relay.start();
    const wanted = ledger.acknowledged.size + 150;
    await until(() => ledger.acknowledged.size >= wanted, 'mail to be acknowledged', 30_000);
    const asked = performance.now();
    assert.deepEqual(await relay.halt(), { code: 0, signal: null });
    assert.ok(performance.now() - asked < 30_000, 'without being killed');
    assert.equal(relay.run.stderr, '');
    assert.equal(relay.run.heard('stopped').length, 1);
  }
  await load.stop();
  await relay.start();
  await until(async () => (await queued(relay)) === 0, 'the queue to be empty', 60_000);
  assert.deepEqual([ledger.missing, ledger.repeated, ledger.corrupt], [[], [], []]);
});

test('SIGTERM waits no longer than its deadline for a provider that is silent after the dot', async t => {
  const provider = await startProvider({ script: { dot: { do: 'stall' } } });
  t.after(() => provider.close());
  const { host, port } = provider;
  const relay = await RelayProcess.create({
    providers: [{ name: 'silent', host, port }],
    config: { shutdown: { graceSeconds: 0, deadlineSeconds: 1 } },
  });
  t.after(() => relay.remove());
  await relay.start();
  const client = await relay.connect();
  const reply = await client.send({
    from: 'a@example.com',
    to: ['b@example.net'],
    body: 'Subject: x\r\n\r\nx\r\n',
  });
  assert.equal(reply.code, 250);
  await until(() => provider.transactions.some(({ complete }) => complete), 'the dot');
  const asked = performance.now();
  assert.deepEqual(await relay.halt(), { code: 0, signal: null });
  assert.ok(performance.now() - asked < 30_000);
  client.destroy();
  provider.follow({});
  await relay.start();
  await until(() => provider.messages.length > 0, 'the mail after the restart', 30_000);
});
