import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import process from 'node:process';
import { createInterface } from 'node:readline';
import { after, afterEach, before, describe, test } from 'node:test';
import { type ApiServer, startApiServer } from '../cluster/api-server.ts';
import { waitUntil } from './wait-until.ts';

/** A process that wants the lease, and what it said when. */
interface Holder {
  child: ChildProcess;
  said: { line: string; at: number }[];
}

// Slow: a lease's times are what is tested (15 s until a dead holder's lease may be taken).
describe('a lease between two processes [slow]', () => {
  let server: ApiServer;
  const holders: Holder[] = [];

  before(async () => {
    server = await startApiServer();
  });
  afterEach(async () => {
    for (const { child } of holders.splice(0)) {
      if (child.exitCode !== null || child.signalCode !== null) continue;
      child.kill('SIGKILL');
      await once(child, 'exit');
    }
    await server.kubectl(['delete', 'lease', 'kit-test', '--ignore-not-found']);
  });
  after(() => server?.stop());

  function start(identity: string): Holder {
    const program = join(import.meta.dirname, 'lease-holder.ts');
    const child = spawn(process.execPath, [program, server.kubeconfig, identity], {
      stdio: ['pipe', 'pipe', 'inherit'],
    });
    const holder: Holder = { child, said: [] };
    createInterface({ input: child.stdout! }).on('line', line =>
      holder.said.push({ line, at: performance.now() }),
    );
    holders.push(holder);
    return holder;
  }
  const said = (holder: Holder, line: string) => holder.said.find(entry => entry.line === line)?.at;
  const waitFor = async (holder: Holder, line: string, timeoutMs = 10_000): Promise<number> => {
    await waitUntil(`"${line}"`, () => said(holder, line) !== undefined, timeoutMs);
    return said(holder, line)!;
  };
  async function leaderAndCandidate(): Promise<[Holder, Holder]> {
    const leader = start('first');
    await waitFor(leader, 'started');
    const candidate = start('second');
    await waitFor(candidate, 'sees first');
    return [leader, candidate];
  }

  test('is given back at SIGTERM, so that nobody waits until it has run out', async () => {
    const [leader, candidate] = await leaderAndCandidate();
    leader.child.kill('SIGTERM');
    await once(leader.child, 'exit');
    const ended = performance.now();
    assert.deepEqual(
      leader.said.map(({ line }) => line).filter(line => !line.startsWith('sees')),
      ['started', 'stopped released'],
    );
    const taken = await waitFor(candidate, 'started', 30_000);
    // How soon is measured in bench/; a lease that was not given back holds for 12.5 s at least.
    assert.ok(taken - ended < 12_500, `${Math.round(taken - ended)} ms`);
  });

  test('is taken over after kill -9, and not before the lease has run out', async () => {
    const [leader, candidate] = await leaderAndCandidate();
    const killed = performance.now();
    leader.child.kill('SIGKILL');
    const took = (await waitFor(candidate, 'started', 60_000)) - killed;
    assert.ok(took >= 12_500, `${Math.round(took)} ms`);
  });

  test('is not believed by a holder whose event loop stood still, before any timer ran', async () => {
    const [leader, candidate] = await leaderAndCandidate();
    leader.child.stdin!.write('stall 19000\n');
    const taken = await waitFor(candidate, 'started', 20_000);
    assert.equal(said(leader, 'woke leading'), undefined);
    const woke = await waitFor(leader, 'woke not leading', 20_000);
    assert.ok(woke > taken, 'it was still stalled when the other began');
    await waitFor(leader, 'stopped lost');
    assert.deepEqual(
      leader.said.map(({ line }) => line).filter(line => !line.startsWith('sees')),
      ['started', 'woke not leading', 'stopped lost'],
    );
  });
});
