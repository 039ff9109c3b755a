import assert from 'node:assert/strict';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { openListener } from '../../../relay/inbound/listener.ts';
import { openSpool } from '../../../relay/spool/open.ts';
import type { RelayEvent } from '../../../relay/telemetry/events.ts';
import { Client, defaults } from './harness.ts';

async function readAll(chunks: AsyncIterable<Buffer>): Promise<string> {
  const parts: Buffer[] = [];
  for await (const chunk of chunks) parts.push(chunk);
  return Buffer.concat(parts).toString('latin1');
}

test('what got its 250 is in the real spool, small and large, byte for byte, and what did not is not', async () => {
  const directory = await mkdtemp(join(tmpdir(), 'mailrelay-inbound-'));
  const events: RelayEvent[] = [];
  const emit = (event: RelayEvent): number => events.push(event);
  const now = (): number => Date.now();
  const retention = { ageMs: 1e9, maxMessages: 10, maxBytes: 1e9 };
  const config = { ...defaults, maxMessageBytes: 5_000_000 };
  const spool = await openSpool({
    directory,
    now,
    emit,
    maxMessageBytes: 5_000_000,
    reserveBytes: 1,
    retention,
  });
  try {
    const listener = await openListener(config, { spool, emit, now });
    const client = await Client.open(listener.address.port);
    await client.hello();
    const head = 'Subject: x\r\nDate: d\r\nMessage-ID: <m@x>\r\n\r\n';
    const bodies = [`${head}small\r\n`, `${head}${'0123456789abcde\r\n'.repeat(200_000)}`, `${head}\r\n`];
    const ids: string[] = [];
    for (const body of bodies) {
      const reply = await client.send(body.slice(0, -2));
      ids.push(/^250 2\.0\.0 queued as ([0-9a-z]{17})$/.exec(reply)?.[1] ?? reply);
    }
    assert.match(await client.send('x'.repeat(5_000_001)), /^552/);
    const dropped = await Client.open(listener.address.port);
    await dropped.hello();
    for (const line of ['MAIL FROM:<a@b.c>', 'RCPT TO:<d@e.f>', 'DATA']) await dropped.say(line);
    dropped.write('y\r\n'.repeat(300_000));
    dropped.destroy();
    const listed = await spool.list({});
    assert.deepEqual(
      listed.map(({ id }) => id),
      ids,
    );
    for (const [index, message] of listed.entries()) {
      const stored = await readAll(spool.read(message.id));
      assert.equal(stored.length, message.size);
      assert.equal(stored.replace(/^Received: [^\r]*\r\n(?:\t[^\r]*\r\n)*/, ''), bodies[index]);
    }
    client.destroy();
    await once(client.socket, 'close');
    await listener.close(1000);
    assert.equal(events.filter(event => event.event === 'message-accepted').length, 3);
  } finally {
    await spool.close();
    await rm(directory, { recursive: true });
  }
});
