/**
 * SIGKILL of the whole process, again and again, while clients hand over mail
 * and providers fail now and then. What got its 250 arrives, whole; what
 * arrives twice was either counted as ambiguous or was under way when a kill
 * came between the provider's 250 and the relay's commit.
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
  const relay = await RelayProcess.create({ providers });
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
 * Each arrival that was not the last needs an ambiguity of that message, or a
 * kill of the run that brought it; a kill may also take the log line about it.
 */
function assertRepeatsExplained(t: TestContext, relay: RelayProcess, ledger: Ledger): void {
  const ambiguous = new Set(
    relay.runs.flatMap(run => run.heard('delivery-ambiguous').map(line => line['id'])),
  );
  const byKill = new Map<number, string[]>();
  let counted = 0;
  for (const [serial, arrivals] of ledger.repeated) {
    for (const arrival of arrivals.slice(0, -1)) {
      counted++;
      if (ambiguous.has(arrival.id)) continue;
      assert.ok(arrival.run <= KILLS, `${serial} repeated without a kill: ${JSON.stringify(arrivals)}`);
      byKill.set(arrival.run, [...(byKill.get(arrival.run) ?? []), serial]);
    }
  }
  // A connection takes the next message while the last one's 250 is being committed (about 3 repeats a kill are seen).
  const most = MAX_CONNECTIONS * 2 * 3;
  for (const [run, serials] of byKill) {
    assert.ok(
      serials.length <= most,
      `kill ${run}: ${serials.length} repeats, at most ${most} were under way`,
    );
  }
  const byKills = [...byKill.values()].flat().length;
  t.diagnostic(
    `${KILLS} kills, ${ledger.acknowledged.size} acknowledged, ${ledger.arrivals.size} arrived, ${counted} repeats: ${byKills} by a kill, ${counted - byKills} ambiguous`,
  );
}

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
    assert.ok(performance.now() - asked < 10_000, 'within its deadline');
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
  assert.ok(performance.now() - asked < 5000);
  client.destroy();
  provider.follow({});
  await relay.start();
  await until(() => provider.messages.length > 0, 'the mail after the restart', 30_000);
});
