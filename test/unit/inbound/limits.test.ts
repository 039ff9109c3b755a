import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { MAX_DISCARDED } from '../../../relay/inbound/reception.ts';
import { makeCertificate, openRig, until } from './harness.ts';

const plain = (user: string, password: string): string =>
  `AUTH PLAIN ${Buffer.from(`\0${user}\0${password}`).toString('base64')}`;

describe('who may send', () => {
  test('is not a client outside the allowed networks, and the reply names its address', async () => {
    await using rig = await openRig({ allowedNetworks: ['10.0.0.0/8'] });
    const client = await rig.client();
    await client.hello();
    assert.equal(
      await client.say('MAIL FROM:<a@b.c>'),
      '550 5.7.1 Client 127.0.0.1 may not send here: it is in none of the allowed networks',
    );
    assert.deepEqual(rig.refusals(), ['network-not-allowed']);
    rig.listener.reconfigure({ ...rig.config, allowedNetworks: ['127.0.0.1'] });
    assert.match(await client.say('MAIL FROM:<a@b.c>'), /^250/);
  });

  test('is a client outside that has authenticated, with PLAIN or LOGIN', async () => {
    await using rig = await openRig({
      allowedNetworks: [],
      accounts: [{ username: 'ü', password: 'pass wörd' }],
      allowClearTextAuth: true,
    });
    const client = await rig.client();
    assert.match(await client.hello(), /AUTH PLAIN LOGIN/);
    assert.match(await client.say('MAIL FROM:<a@b.c>'), /^550 5\.7\.1 .* and has not authenticated/);
    assert.equal(await client.say('AUTH LOGIN'), '334 VXNlcm5hbWU6');
    assert.equal(await client.say(Buffer.from('ü').toString('base64')), '334 UGFzc3dvcmQ6');
    assert.match(await client.say(Buffer.from('pass wörd').toString('base64')), /^235 2\.7\.0 /);
    assert.match(await client.say(plain('ü', 'pass wörd')), /^503 /);
    assert.match(await client.send('x'), /^250/);
    assert.equal(rig.events.find(event => event.event === 'message-accepted')?.authenticated, true);
    assert.doesNotMatch(await client.say('EHLO x'), /AUTH/);
  });

  test('is decided anew after STARTTLS', async () => {
    await using rig = await openRig({ allowedNetworks: [], tls: makeCertificate() });
    const client = await rig.client();
    await client.hello();
    await client.startTls();
    await client.say('EHLO x');
    assert.match(await client.say('MAIL FROM:<a@b.c>'), /^550 5\.7\.1 /);
  });

  test('is not who guesses: three wrong passwords end the connection, twenty block the name at that address for a while', async () => {
    await using rig = await openRig({
      accounts: [
        { username: 'app', password: 'right' },
        { username: 'neighbour', password: 'also right' },
      ],
      allowClearTextAuth: true,
    });
    const one = await rig.client();
    await one.hello();
    assert.match(await one.say(plain('app', 'wrong')), /^535 5\.7\.8 /);
    assert.match(await one.say(plain('nobody', 'right')), /^535 5\.7\.8 /);
    assert.equal(await one.say(plain('app', '')), '421 4.7.0 3 failed logins on this connection, closing it');
    await one.closed();
    const guessers = await Promise.all(Array.from({ length: 18 }, () => rig.client()));
    await Promise.all(
      guessers.map(async guesser => {
        await guesser.hello();
        await guesser.say(plain('app', 'wrong'));
      }),
    );
    const last = await rig.client();
    await last.hello();
    assert.match(
      await last.say(plain('app', 'right')),
      /^454 4\.7\.0 Too many failed logins as this user from 127\.0\.0\.1, try again in \d+ seconds$/,
    );
    // Behind one address may be many programs.
    const neighbour = await rig.client();
    await neighbour.hello();
    assert.match(await neighbour.say(plain('neighbour', 'also right')), /^235/);
    rig.now += 11 * 60_000;
    assert.match(await last.say(plain('app', 'right')), /^235/);
    const told = JSON.stringify(rig.events);
    assert.doesNotMatch(told, /nobody|right/);
  });
});

describe('the size limit', () => {
  test('refuses a declared size at MAIL', async () => {
    await using rig = await openRig();
    const client = await rig.client();
    await client.hello();
    assert.equal(
      await client.say('MAIL FROM:<a@b.c> SIZE=1000001'),
      '552 5.3.4 Message too large, at most 1000000 bytes',
    );
    assert.match(await client.say('MAIL FROM:<a@b.c> SIZE=1000000'), /^250/);
    assert.deepEqual(rig.refusals(), ['too-large']);
  });

  test('drops an undeclared too large message at once, and the connection goes on', async () => {
    await using rig = await openRig({ maxMessageBytes: 1000 });
    const client = await rig.client();
    await client.hello();
    assert.match(await client.send('x'.repeat(998)), /^250/);
    assert.equal(await client.send('x'.repeat(999)), '552 5.3.4 Message too large, at most 1000 bytes');
    assert.match(await client.send('x'), /^250/);
    assert.equal(rig.spool.open, 0);
    assert.equal(rig.spool.stored.length, 2);
  });

  test('does not read an endless message to its end', async () => {
    await using rig = await openRig({ maxMessageBytes: 100_000 });
    const client = await rig.client();
    await client.hello();
    for (const line of ['MAIL FROM:<a@b.c>', 'RCPT TO:<d@e.f>', 'DATA']) await client.say(line);
    const block = Buffer.from(`${'x'.repeat(98)}\r\n`.repeat(10_000));
    let sent = 0;
    const pump = (): void => {
      if (client.ended || client.socket.destroyed) return;
      sent += block.length;
      client.socket.write(block, pump);
    };
    pump();
    await until(() => rig.spool.aborted === 1, 'draft dropped');
    assert.equal(await client.reply(), '552 5.3.4 Message too large, at most 100000 bytes');
    await client.closed();
    assert.ok(sent > MAX_DISCARDED && sent < 4 * MAX_DISCARDED, `${sent}`);
    assert.ok(rig.spool.written < 200_000);
  });

  test('holds for the header too', async () => {
    await using rig = await openRig({ maxMessageBytes: 10_000_000 });
    const client = await rig.client();
    await client.hello();
    assert.match(
      await client.send(`X: ${'y'.repeat(400_000)}\r\n\r\n`),
      /^552 5\.3\.4 Message header too large, at most 262144 bytes/,
    );
    assert.match(await client.send(`X: ${'y'.repeat(240_000)}\r\n\r\ntext`), /^250 /);
    assert.equal(rig.spool.open, 0);
  });
});

describe('the connection limits', () => {
  test('answer with 421 and the number, per client and in all, and let others in when one has gone', async () => {
    await using rig = await openRig({ maxConnections: 3, maxConnectionsPerClient: 2 });
    const first = await rig.client();
    await first.hello();
    await (await rig.client()).hello();
    const third = await rig.client();
    assert.equal(
      await third.reply(),
      '421 4.7.0 Too many connections from 127.0.0.1, at most 2 at a time; try again later',
    );
    await third.closed();
    rig.listener.reconfigure({ ...rig.config, maxConnections: 2, maxConnectionsPerClient: 9 });
    assert.equal(
      await (await rig.client()).reply(),
      '421 4.7.0 Too many connections, at most 2 at a time; try again later',
    );
    assert.equal(rig.listener.connections(), 2);
    await first.say('QUIT');
    first.destroy();
    await until(() => rig.listener.connections() === 1, 'gone');
    assert.match(await (await rig.client()).reply(), /^220/);
    assert.deepEqual(rig.refusals(), ['too-many-connections', 'too-many-connections']);
  });
});

describe('the command limit', () => {
  test('ends a connection that goes on and on without a message, and starts anew with each', async () => {
    await using rig = await openRig({ maxRecipients: 2000 });
    const talker = await rig.client();
    await talker.hello();
    const nothing = async (count: number) => {
      talker.write('NOOP\r\n'.repeat(count));
      for (let i = 0; i < count; i++) assert.match(await talker.reply(), /^250/);
    };
    await nothing(990);
    const many = Array.from({ length: 1500 }, (_, i) => `b${i}@example.com`);
    assert.match(await talker.send('a: b\r\n\r\nc', 'a@example.com', many), /^250 2\.0\.0 queued/);
    await nothing(1000);
    const last = await talker.say('NOOP');
    assert.equal(last, '421 4.7.0 1000 commands without a message on this connection, closing it');
    assert.equal(await talker.reply(), '');
    assert.deepEqual(rig.refusals(), ['syntax']);
  });
});

describe('the sender rate', () => {
  test('answers 450 with the number, counts what was stored only, and slides', async () => {
    await using rig = await openRig({ senderRates: { maxPerHour: 2, maxPerDay: 3 } });
    const client = await rig.client();
    await client.hello();
    await client.say('MAIL FROM:<A@b.c>');
    await client.say('RSET');
    assert.match(await client.send('x', 'a@b.c'), /^250/);
    assert.match(await client.send('x', 'A@B.c'), /^250/);
    assert.match(
      await client.send('x', 'a@b.c'),
      /^450 4\.7\.1 Sender <a@b\.c> has reached 2 messages per hour, try again in 3\d\d\d seconds$/,
    );
    assert.match(await client.send('x', 'other@b.c'), /^250/);
    rig.now += 3_660_000;
    assert.match(await client.send('x', 'a@b.c'), /^250/);
    assert.match(await client.send('x', 'a@b.c'), /^450 4\.7\.1 .* 3 messages per day/);
    assert.deepEqual(rig.refusals(), ['rate-limited', 'rate-limited']);
  });

  test('cannot be passed by opening transactions at the same time', async () => {
    await using rig = await openRig({ senderRates: { maxPerHour: 2, maxPerDay: 100 } });
    const clients = await Promise.all([rig.client(), rig.client(), rig.client()]);
    await Promise.all(clients.map(client => client.hello()));
    const replies = await Promise.all(clients.map(client => client.say('MAIL FROM:<a@b.c>')));
    assert.deepEqual(replies.map(reply => reply.slice(0, 3)).sort(), ['250', '250', '450']);
  });
});

describe('the time limits', () => {
  test('end an idle client, one that drips single bytes, and a message that takes too long', async () => {
    await using rig = await openRig({ idleTimeoutMs: 150, dataTimeoutMs: 400 });
    const idle = await rig.client();
    await idle.hello();
    const dripping = await rig.client();
    await dripping.hello();
    const drip = setInterval(() => dripping.write('N'), 20);
    const slow = await rig.client();
    await slow.hello();
    for (const line of ['MAIL FROM:<a@b.c>', 'RCPT TO:<d@e.f>', 'DATA']) await slow.say(line);
    const loris = setInterval(() => slow.write('x\r\n'), 20);
    try {
      assert.equal(
        await idle.reply(),
        '421 4.4.2 Nothing complete received for 1 seconds, closing the connection',
      );
      assert.match(await dripping.reply(), /^421 4\.4\.2 Nothing/);
      assert.equal(
        await slow.reply(),
        '421 4.4.2 The message took longer than 1 seconds, closing the connection',
      );
      await Promise.all([idle.closed(), dripping.closed(), slow.closed()]);
    } finally {
      clearInterval(drip);
      clearInterval(loris);
    }
    assert.equal(rig.spool.open, 0);
    assert.deepEqual(rig.refusals(), ['timeout']);
  });

  test('do not count while the client waits for the store', async () => {
    await using rig = await openRig({ idleTimeoutMs: 50, dataTimeoutMs: 100 });
    rig.spool.beforeCommit = () => new Promise(resolve => setTimeout(resolve, 250));
    const client = await rig.client();
    await client.hello();
    assert.match(await client.send('x'), /^250/);
  });
});

describe('shutting down', () => {
  test('tells idle and new clients, lets a running transaction finish, then is gone', async () => {
    await using rig = await openRig();
    const idle = await rig.client();
    await idle.hello();
    const busy = await rig.client();
    await busy.hello();
    await busy.say('MAIL FROM:<a@b.c>');
    rig.listener.stopAccepting();
    assert.equal(await idle.reply(), '421 4.3.2 The relay is shutting down, try again');
    assert.match(await (await rig.client()).reply(), /^421 4\.3\.2 /);
    const closing = rig.listener.close(5000);
    await busy.say('RCPT TO:<d@e.f>');
    await busy.say('DATA');
    assert.match(await busy.say('x\r\n.'), /^250/);
    assert.match(await busy.reply(), /^421 4\.3\.2 /);
    await closing;
    assert.equal(rig.listener.connections(), 0);
    assert.equal(rig.spool.stored.length, 1);
  });

  test('can be called off before it is complete, not after', async () => {
    await using rig = await openRig();
    rig.listener.stopAccepting();
    assert.match(await (await rig.client()).reply(), /^421 4\.3\.2 /);
    rig.listener.resumeAccepting();
    const client = await rig.client();
    await client.hello();
    assert.match(await client.send('x'), /^250/);
    const closing = rig.listener.close(1000);
    rig.listener.resumeAccepting();
    assert.match(await client.reply(), /^421 4\.3\.2 /);
    await closing;
  });

  test('drops what is not finished at the deadline, but answers a commit that has begun', async () => {
    await using rig = await openRig();
    let release = (): void => undefined;
    rig.spool.beforeCommit = () =>
      new Promise(resolve => {
        release = resolve;
      });
    const sending = await rig.client();
    await sending.hello();
    for (const line of ['MAIL FROM:<a@b.c>', 'RCPT TO:<d@e.f>', 'DATA']) await sending.say(line);
    const committing = await rig.client();
    await committing.hello();
    const answer = committing.send('x');
    await until(() => rig.spool.written > 0, 'written');
    const closing = rig.listener.close(20);
    assert.match(await sending.reply(), /^421 4\.3\.2 /);
    release();
    assert.match(await answer, /^250/);
    await closing;
    assert.equal(rig.spool.open, 0);
    assert.equal(rig.spool.stored.length, 1);
  });
});
