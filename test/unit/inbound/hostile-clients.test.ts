import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { describe, test } from 'node:test';
import { defaults, makeCertificate, openRig, type Rig, until } from './harness.ts';

describe('mail smuggling', () => {
  const ends = ['', '\r', '\n', '\r\n', '\n\r', '\r\r\n', '\0', '\r\0', '\0\n', '\r\0\n', ' \r\n', '\r\n '];
  for (const bareNewlines of ['refuse', 'normalize'] as const) {
    test(`is impossible with anything around the dot (${bareNewlines})`, async () => {
      await using rig = await openRig({ bareNewlines, maxConnectionsPerClient: 500, maxConnections: 500 });
      const wires = ends.flatMap(before => ends.map(after => `line${before}.${after}`));
      const doubtful = wires.filter(wire => !wire.includes('\r\n.\r\n'));
      assert.ok(doubtful.length > 130);
      await Promise.all(
        doubtful.map(async wire => {
          const client = await rig.client();
          await client.hello();
          for (const line of ['MAIL FROM:<a@b.c>', 'RCPT TO:<d@e.f>', 'DATA']) await client.say(line);
          client.write(
            `Subject: x\r\n\r\n${wire}MAIL FROM:<smuggled@b.c>\r\nRCPT TO:<victim@e.f>\r\nDATA\r\nevil\r\n.\r\n`,
          );
          const reply = await client.reply();
          assert.match(reply, /^(250 2\.0\.0 queued|550 5\.6\.11)/, JSON.stringify(wire));
          client.write('QUIT\r\n');
          const next = await client.reply();
          assert.match(next, /^(221|$)/, `${JSON.stringify(wire)} was answered ${next}`);
          client.destroy();
        }),
      );
      assert.deepEqual(
        [...new Set(rig.spool.stored.map(({ arrival }) => arrival.envelope.sender))],
        ['a@b.c'],
      );
      for (const { body } of rig.spool.stored) assert.doesNotMatch(body, /\r(?!\n)|(?<!\r)\n/);
      if (bareNewlines === 'normalize') assert.equal(rig.spool.stored.length, doubtful.length);
      else assert.equal(rig.spool.open, 0);
    });
  }

  test('finds no foothold in what follows a message with broken line ends: the connection ends', async () => {
    await using rig = await openRig();
    const client = await rig.client();
    await client.hello();
    for (const line of ['MAIL FROM:<a@b.c>', 'RCPT TO:<d@e.f>', 'DATA']) await client.say(line);
    client.write('x\r\r\n.\r\nMAIL FROM:<smuggled@b.c>\r\nRCPT TO:<v@e.f>\r\nDATA\r\nevil\r\n.\r\n');
    assert.match(await client.reply(), /^550 5\.6\.11 /);
    assert.equal(await client.reply(), '');
    assert.equal(rig.spool.stored.length, 0);
  });
});

describe('a connection that breaks', () => {
  const session =
    'EHLO x\r\nMAIL FROM:<a@b.c>\r\nRCPT TO:<d@e.f>\r\nDATA\r\nSubject: s\r\n\r\nbody\r\n..dot\r\n.\r\nQUIT\r\n';
  const complete = session.indexOf('\r\n.\r\n') + 5;

  async function cutAt(rig: Rig, length: number, how: 'end' | 'reset'): Promise<void> {
    const client = await rig.client();
    await client.reply();
    await new Promise(resolve => client.socket.write(session.slice(0, length), resolve));
    const stored = Math.max(0, length - complete + 1);
    // A reset may overtake the bytes before it; what was complete must have arrived to be counted here.
    if (how === 'reset') await until(() => rig.spool.stored.length === stored, `stored at ${length}`);
    if (how === 'end') client.socket.end();
    else client.socket.resetAndDestroy();
    await client.closed();
    await until(() => rig.listener.connections() === 0, `closed at ${length}`);
    assert.equal(rig.spool.open, 0, `a draft leaks at byte ${length}`);
    assert.equal(rig.spool.stored.length, stored, `at byte ${length}`);
  }

  for (const how of ['end', 'reset'] as const) {
    test(`at any byte of a session leaves nothing behind, and stores only what was complete (${how})`, async () => {
      await using rig = await openRig();
      for (let length = 0; length <= session.length; length++) await cutAt(rig, length, how);
    });
  }
});

describe('garbage', () => {
  const prefaces = [
    '',
    'EHLO x\r\nMAIL FROM:<a@b.c>\r\nRCPT TO:<d@e.f>\r\nDATA\r\n',
    'EHLO x\r\nSTARTTLS\r\n',
  ];

  async function garble(rig: Rig, round: number): Promise<void> {
    const bytes = createHash('shake256', { outputLength: (round * 97) % 3000 })
      .update(`${round}`)
      .digest();
    const client = await rig.client();
    client.write(prefaces[round % 3] as string);
    client.write(bytes);
    if (round % 2 === 0) client.socket.end();
    else client.socket.resetAndDestroy();
  }

  test('of any kind is answered or dropped, and others are served meanwhile', async () => {
    await using rig = await openRig({
      tls: makeCertificate(),
      maxConnections: 300,
      maxConnectionsPerClient: 300,
    });
    const good = await rig.client();
    await good.hello();
    for (let round = 0; round < 60; round++) await garble(rig, round);
    await until(() => rig.listener.connections() === 1, 'only the good one is left');
    assert.match(await good.send('x'), /^250/);
    assert.equal(rig.spool.open, 0);
    assert.equal(rig.spool.stored.length, 1);
  });

  test('in a TLS session that stalls in its handshake ends with the idle time', async () => {
    await using rig = await openRig({ tls: makeCertificate(), idleTimeoutMs: 100 });
    const client = await rig.client();
    await client.hello();
    await client.say('STARTTLS');
    await client.closed();
    await until(() => rig.listener.connections() === 0, 'gone');
  });

  test('is answered no faster than its replies are read', async () => {
    await using rig = await openRig({ idleTimeoutMs: 300, maxRecipients: 1 });
    const client = await rig.client();
    await client.hello();
    await client.say('MAIL FROM:<a@b.c>');
    await client.say('RCPT TO:<b@b.c>');
    client.socket.pause();
    // One too many each time: a long reply, so that few fill the socket.
    const flood = Buffer.from('RCPT TO:<c@b.c>\r\n'.repeat(40_000));
    for (let i = 0; i < 40; i++) client.write(flood);
    await new Promise(resolve => setTimeout(resolve, 150));
    assert.ok(client.socket.writableLength > 1_000_000, 'held back');
    await until(() => rig.listener.connections() === 0, 'given up');
  });

  test('of eight megabytes of dots costs no more than its bytes do', async () => {
    await using rig = await openRig({ maxMessageBytes: 20_000_000 });
    const client = await rig.client();
    await client.hello();
    for (const line of ['MAIL FROM:<a@b.c>', 'RCPT TO:<d@e.f>', 'DATA']) await client.say(line);
    const before = process.cpuUsage();
    client.write('\r\n');
    client.write(Buffer.from('..\r\n'.repeat(2_000_000)));
    assert.match(await client.say('.'), /^250/);
    const { user } = process.cpuUsage(before); // of the client, too; the loop over bytes that this replaces took 9 s
    assert.ok(user < 3_000_000, `${user} µs`);
    assert.equal(rig.spool.stored[0]?.body.split('\r\n.\r\n').length, 1_000_001);
    assert.equal(defaults.bareNewlines, 'refuse');
  });
});
