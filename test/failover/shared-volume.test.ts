/** Mail of relays that are gone, on a volume that several share: people reach it through the relay that adopted it. */
import assert from 'node:assert/strict';
import { mkdtemp, open, readFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import type { MessageJson } from '../../relay/admin/message-json.ts';
import { openSpool } from '../../relay/spool/open.ts';
import { until } from '../smtp/wait.ts';
import { put } from '../unit/spool/fixture.ts';
import { type RelayUnderTest, withRelay } from './relay-under-test.ts';

const small = (n: number) => Buffer.from(`Subject: ${n}\r\n\r\nhello\r\n`);

/** Damages the chain of pages that the body of message `n` is on. */
async function damage(database: string, n: number): Promise<void> {
  const bytes = await readFile(database);
  const page = Math.floor(bytes.indexOf(`marker${n}x`, bytes.indexOf(`marker${n}x`) + 20_000) / 8192);
  const file = await open(database, 'r+');
  await file.write(Buffer.from([0x7f, 0xff, 0xff, 0xff]), 0, 4, page * 8192);
  await file.close();
}

async function isReady(test: RelayUnderTest): Promise<boolean> {
  const { health } = test.relay.endpoints;
  return (await fetch(`http://${health?.host}:${health?.port}/readyz`)).ok;
}

/** A directory whose slot-1 holds mail, and the ids of it. */
async function abandoned(count: number, content = small): Promise<{ directory: string; ids: string[] }> {
  const directory = await mkdtemp(join(tmpdir(), 'mailrelay-shared-'));
  const spool = await openSpool({
    directory: join(directory, 'slot-1', 'emails'),
    maxMessageBytes: 1_000_000,
    retention: { ageMs: 1e9, maxMessages: 1000, maxBytes: 1e9 },
    now: Date.now,
    emit: () => undefined,
  });
  const ids: string[] = [];
  for (let n = 0; n < count; n += 1) {
    ids.push(await put(spool, content(n), { receivedAt: Date.now() }));
  }
  await spool.close();
  return { directory, ids };
}

async function ask<T>(test: RelayUnderTest, path: string, body?: object): Promise<T> {
  const { host, port } = test.relay.endpoints.admin;
  const response = await fetch(`http://${host}:${port}/v1/queue${path}`, {
    ...(body !== undefined && {
      method: 'POST',
      headers: { 'Content-Type': 'application/json' },
      body: JSON.stringify(body),
    }),
  });
  assert.equal(response.status, 200, path);
  return (await response.json()) as T;
}

async function listed(test: RelayUnderTest, query = ''): Promise<readonly MessageJson[]> {
  return (await ask<{ messages: readonly MessageJson[] }>(test, query)).messages;
}

async function statusCount(test: RelayUnderTest, state: string): Promise<number> {
  const { health } = test.relay.endpoints;
  const status = await (await fetch(`http://${health?.host}:${health?.port}/status`)).json();
  const { queue } = status as { queue: Record<string, { messages: number }> };
  assert.equal(await test.metric('mailrelay_queue_messages', { state }), queue[state]?.messages);
  return queue[state]?.messages ?? -1;
}

describe('the queue of a relay that has adopted a slot', { concurrency: true }, () => {
  test('is its own mail and the adopted: listed, counted, shown, held, released and sent again', async () => {
    const { directory, ids } = await abandoned(3);
    const script = { mail: '451 4.3.0 later' };
    await withRelay({ directory, providers: [{ script }], config: { sharedDataDir: true } }, async relay => {
      const own = await relay.send();
      await relay.roundEnd(own);
      assert.equal((await listed(relay)).length, 1, 'nothing is adopted yet');
      await relay.relay.parts.adoption?.look();
      for (const id of ids) await relay.until('round-failed', 1, id);

      const all = [...ids, own];
      assert.deepEqual(
        (await listed(relay)).map(({ id }) => id),
        all,
      );
      assert.deepEqual(
        (await listed(relay, '?limit=2')).map(({ id }) => id),
        all.slice(0, 2),
      );
      assert.equal(await statusCount(relay, 'failed'), 4);
      assert.equal((await ask<MessageJson>(relay, `/${ids[1]}`)).id, ids[1]);

      assert.deepEqual(await ask(relay, '/hold', { ids }), { operation: 'hold', count: 3 });
      await relay.relay.parts.adoption?.look();
      assert.equal(await statusCount(relay, 'held'), 3, 'a slot with held mail is not given back');
      assert.deepEqual(
        (await listed(relay, '?state=held')).map(({ id }) => id),
        ids,
      );
      assert.deepEqual(await ask(relay, '/release', { state: 'held' }), { operation: 'release', count: 3 });

      await relay.provider().follow({});
      assert.deepEqual(await ask(relay, '/resend', { all: true }), { operation: 'resend', count: 4 });
      await relay.until('recipient-delivered', 7);
      assert.deepEqual(await listed(relay), []);
      await relay.relay.parts.adoption?.look();
      assert.equal(relay.relay.spools.length, 1, 'the empty slot is given back');
    });
  });

  test('with forwardSMTP false is shown as held by the list as by the counts', async () => {
    const { directory, ids } = await abandoned(2);
    await withRelay({ directory, config: { sharedDataDir: true, forwardSMTP: false } }, async relay => {
      const own = await relay.send();
      await relay.relay.parts.adoption?.look();
      assert.equal(await statusCount(relay, 'held'), 3);
      const held = await listed(relay, '?state=held');
      assert.deepEqual(
        held.map(({ id }) => id),
        [...ids, own],
      );
      assert.ok(held.every(({ state }) => state === 'held'));
      assert.deepEqual(await listed(relay, '?state=active'), []);
      assert.deepEqual(await ask(relay, '/delete', { ids: [ids[0]] }), { operation: 'delete', count: 1 });
      await relay.reconfigure(config => ({ ...config, forwardSMTP: true }));
      await relay.until('recipient-delivered', 3);
    });
  });
});

test('a slot that is damaged is told of, given back and not taken again; the relay goes on with its own mail', async () => {
  const large = (n: number) => Buffer.from(`Subject: ${n}\r\n\r\n${`marker${n}x`.repeat(30_000)}\r\n`);
  const { directory } = await abandoned(5, large);
  await damage(join(directory, 'slot-1', 'emails', 'queue.db'), 3);
  await withRelay({ directory, config: { sharedDataDir: true } }, async relay => {
    const { adoption, spool } = relay.relay.parts;
    await adoption?.look();
    await relay.until('spool-trouble');
    await until(() => relay.relay.spools.length === 1, 'the slot is given back');
    assert.match(relay.heard('spool-trouble')[0]?.message ?? '', /^slot-1: .*malformed.* another relay/);
    assert.equal(spool.failure(), undefined);
    assert.ok(await isReady(relay));
    assert.equal(await relay.metric('mailrelay_spool_failed'), 0);
    const own = await relay.send();
    await relay.until('recipient-delivered', 1, own);
    await adoption?.look();
    assert.equal(relay.relay.spools.length, 1);
    assert.equal(relay.heard('spool-adopted').length, 1);
    assert.equal(relay.heard('spool-trouble').length, 1, 'told once');
    assert.deepEqual(relay.heard('spool-failed'), []);
  });
});
