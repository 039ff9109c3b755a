/**
 * A disk that answers EIO under the whole relay (strace injects it): from
 * then on nobody gets a 250, and the relay asks to be restarted. A start on a
 * sound disk sends all that was acknowledged, and nothing
 * that had been sent already. Skipped, and counted as skipped, without strace.
 */
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { describe, type TestContext, test } from 'node:test';
import { RelayProcess } from '../../clients/relay-process.ts';
import { type ScriptedProvider, startProvider } from '../../smtp/provider.ts';
import type { TransactionRecord } from '../../smtp/record.ts';
import type { Script } from '../../smtp/script.ts';
import { until } from '../../smtp/wait.ts';
import { failures, inject, straceMissing } from '../injection.ts';
import { Ledger, Load } from './load.ts';

/** What fails: a call, on which files below emails/ (none: on any). */
const FAULTS: readonly (readonly [call: string, files: readonly string[]])[] = [
  ['fsync', ['queue.db-wal']],
  ['pwrite64', ['queue.db-wal']],
  ['ftruncate', ['queue.db']],
  ['rename', []],
  ['unlink', []],
];

/** Puts off every third message for a whole round, so that its body becomes a file and later goes away. */
function hesitant(): Script {
  const tries = new Map<string, number>();
  const dot = ({ transaction }: { transaction?: TransactionRecord }): string | undefined => {
    const id = transaction?.messageId ?? '';
    const before = tries.get(id) ?? 0;
    tries.set(id, before + 1);
    return Number(/\d+/.exec(id)?.[0]) % 3 === 0 && before < 3 ? '451 4.3.0 not now' : undefined;
  };
  return { dot };
}

interface Rig {
  readonly relay: RelayProcess;
  readonly provider: ScriptedProvider;
  readonly ledger: Ledger;
  readonly load: Load;
}

async function open(t: TestContext): Promise<Rig> {
  const ledger = new Ledger();
  const provider = await startProvider({
    script: hesitant(),
    onMessage: mail => ledger.received('only', mail),
  });
  t.after(() => provider.close());
  const { host, port } = provider;
  const relay = await RelayProcess.create({
    providers: [{ name: 'only', host, port }],
    // What may have arrived before the kill is to go within the test.
    config: { resend: { initialDelaySeconds: 1 } },
  });
  t.after(() => relay.remove());
  ledger.begin();
  await relay.start();
  const load = new Load({ connect: () => relay.connect(), ledger, clients: 6, most: 60_000 });
  t.after(() => load.stop());
  return { relay, provider, ledger, load };
}

/** Mail is refused, and the probes ask for another relay and for a restart of this one. */
async function assertStopped({ relay, ledger, load }: Rig): Promise<void> {
  await relay.run.until('spool-failed');
  const { status, text } = await relay.http('/readyz');
  assert.equal(status, 503, text);
  // A restart is what helps: nothing else makes the store trusted again.
  assert.equal((await relay.http('/livez')).status, 503);
  const client = await relay.connect();
  const { code, text: reply } = await client.command('MAIL FROM:<a@example.com>');
  assert.ok(code >= 400 && code < 500, reply);
  await client.quit();
  const [before, refused] = [ledger.acknowledged.size, refusals(load)];
  await until(() => refusals(load) > refused + 20, 'the clients to be refused');
  assert.equal(ledger.acknowledged.size, before, 'a 250 after the store has failed');
}

const refusals = (load: Load): number => [...load.refusals.values()].reduce((sum, count) => sum + count, 0);

async function queued(relay: RelayProcess): Promise<number> {
  const { queue } = JSON.parse((await relay.http('/status')).text) as {
    queue: Record<string, { messages: number }>;
  };
  return queue['active']!.messages + queue['failed']!.messages;
}

describe('EIO under the whole relay', { skip: straceMissing }, () => {
  for (const [call, files] of FAULTS) {
    test(`${call}: never a false 250, nothing is lost, nothing is sent twice`, async t => {
      const rig = await open(t);
      const { relay, provider, ledger, load } = rig;
      await until(() => ledger.arrivals.size > 30, 'mail to arrive', 30_000);
      const trace = join(relay.directory, 'trace');
      const paths = files.map(name => join(relay.dataDir, 'emails', name));
      const injection = await inject(relay.run.child.pid, { call, paths }, trace);
      await assertStopped(rig);
      await load.stop();
      await relay.kill();
      await injection.ended;
      assert.ok((await failures(trace)) > 0, `no ${call} failed`);

      // Nothing but mail that is put off may be left by now, and a provider that refuses all is left alone.
      provider.follow({});
      ledger.begin();
      await relay.start();
      await until(async () => (await queued(relay)) === 0, 'the queue to be empty', 60_000);
      assert.deepEqual([ledger.missing, ledger.corrupt], [[], []]);
      const ambiguous = new Set(
        relay.runs.flatMap(run => run.heard('delivery-ambiguous').map(line => line['id'])),
      );
      const twice = ledger.repeated.filter(([, [first]]) => !ambiguous.has(first?.id));
      assert.deepEqual(twice, []);
      assert.equal((await relay.halt()).code, 0);
      t.diagnostic(
        `${ledger.acknowledged.size} acknowledged, ${ambiguous.size} ambiguous, ${[...load.refusals.keys()].join()}`,
      );
    });
  }
});
