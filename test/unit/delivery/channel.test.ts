import assert from 'node:assert/strict';
import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Socket } from 'node:net';
import { describe, type TestContext, test } from 'node:test';
import { Channel } from '../../../relay/delivery/channel.ts';

/** A channel, the peer that its bytes go to, and a clock for both to stand by. */
async function pair(t: TestContext): Promise<{ channel: Channel; peer: Socket; clock: { now: number } }> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const socket = connect((server.address() as AddressInfo).port, '127.0.0.1');
  const [[peer]] = (await Promise.all([once(server, 'connection'), once(socket, 'connect')])) as [
    [Socket],
    unknown[],
  ];
  const clock = { now: 1000 };
  t.mock.method(performance, 'now', () => clock.now);
  t.after(() => {
    socket.destroy();
    peer.destroy();
    server.close();
  });
  return { channel: new Channel(socket), peer, clock };
}

describe('the silence of a channel', () => {
  test('begins with what was sent last, once a slow line has had the time to take it', async t => {
    const { channel, clock } = await pair(t);
    channel.write(Buffer.alloc(128 * 1024));
    clock.now += 2000;
    assert.equal(channel.quietMs, 0);
    clock.now += 500;
    assert.equal(channel.quietMs, 500);
    channel.write(Buffer.alloc(64 * 1024));
    channel.write(Buffer.alloc(64 * 1024));
    clock.now += 2500;
    assert.equal(channel.quietMs, 500, 'what is written before all has gone adds up');
  });

  test('begins at most about a minute after the last byte, however much was sent: no kernel holds it all', async t => {
    const { channel, clock } = await pair(t);
    channel.write(Buffer.alloc(32 * 1024 * 1024));
    clock.now += 64_000;
    assert.equal(channel.quietMs, 0);
    clock.now += 500;
    assert.equal(channel.quietMs, 500);
  });

  test('begins anew with what comes: an answer says that all has arrived', async t => {
    const { channel, peer, clock } = await pair(t);
    channel.write(Buffer.alloc(1024 * 1024));
    clock.now += 500;
    peer.write('250 ok\r\n');
    await channel.next(10_000);
    clock.now += 100;
    assert.equal(channel.quietMs, 100);
  });
});
