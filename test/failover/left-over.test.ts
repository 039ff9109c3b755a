/** What /status says of mail that is over, and who says it: by this the operator knows whether a volume may be removed. */
import assert from 'node:assert/strict';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { hostname, tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { parseRelayStatus, type RelayStatus } from '../../operator/reconcile/relay-status.ts';
import { until } from '../smtp/wait.ts';
import { type RelayUnderTest, withRelay } from './relay-under-test.ts';

async function statusOf({ relay }: RelayUnderTest): Promise<RelayStatus> {
  const { health } = relay.endpoints;
  return parseRelayStatus(await (await fetch(`http://${health?.host}:${health?.port}/status`)).text());
}

describe('the status of a relay', () => {
  test('says whose it is by the name with which the relay is told to drain', async () => {
    await withRelay({}, async relay => {
      const before = await statusOf(relay);
      assert.deepEqual([before.host, before.draining], [hostname(), false]);
      await relay.reconfigure(config => ({ ...config, draining: [before.host] }));
      await until(async () => (await statusOf(relay)).draining, 'it drains');
    });
  });

  test('says whether new clients may hand in mail, which ends with the grace time of one that is to go', async () => {
    await withRelay({}, async relay => {
      const { host, listener } = await statusOf(relay);
      assert.deepEqual(listener, { connections: 0, accepts: true });
      const shutdown = { graceSeconds: 0 };
      await relay.reconfigure(config => ({ ...config, shutdown, draining: [host] }));
      await until(async () => (await statusOf(relay)).listener?.accepts === false, 'it takes no more');
      await relay.reconfigure(config => ({ ...config, draining: [] }));
      assert.equal((await statusOf(relay)).listener?.accepts, true);
    });
  });

  test('counts dead letters until they are sent again, expire or are deleted', async () => {
    const script = { rcpt: '550 5.1.1 no such user' };
    await withRelay({ providers: [{ script }] }, async relay => {
      for (const count of [1, 2]) {
        await relay.send();
        await relay.until('message-dead', count);
      }
      await until(async () => (await statusOf(relay)).queue.dead.messages === 2, 'two are counted');
      await relay.relay.queue.remove({ state: 'dead', limit: 1 });
      assert.equal((await statusOf(relay)).queue.dead.messages, 1);
      await relay.provider().follow({});
      await relay.relay.queue.resend({ state: 'dead' });
      relay.pass(0);
      await relay.until('recipient-delivered');
      await until(async () => (await statusOf(relay)).queue.dead.messages === 0, 'none is left');
    });
  });

  test('counts what lies in quarantine: moved there at this start or before, and not yet taken out', async () => {
    const directory = await mkdtemp(join(tmpdir(), 'mailrelay-quarantine-'));
    const emails = join(directory, 'emails');
    await mkdir(join(emails, 'failed'), { recursive: true });
    await writeFile(join(emails, 'failed', 'copied.eml'), 'Subject: copied here by somebody\r\n\r\n');
    await withRelay({ directory }, async relay => {
      assert.deepEqual((await statusOf(relay)).quarantine, { files: 1 });
      await relay.halt();
      await relay.start();
      assert.deepEqual((await statusOf(relay)).quarantine, { files: 1 });
      await rm(join(emails, 'quarantine', 'copied.eml'));
      await until(
        async () => (await statusOf(relay)).quarantine?.files === 0,
        'the status says that it was taken out',
        20_000,
      );
    });
  });
});
