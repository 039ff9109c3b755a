import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { diskFull, ioError, makeCertificate, openRig, until } from './harness.ts';

const TRACE =
  /^Received: from client\.test \(\[127\.0\.0\.1\]\)\r\n\tby relay\.test with ESMTP id \d{17}\r\n\tfor <b@example\.com>;\r\n\tMon, 02 Nov 2026 00:00:00 \+0000\r\n/;

describe('the listener', () => {
  test('greets at once', async () => {
    await using rig = await openRig();
    const waitsMs: number[] = [];
    for (let nth = 0; nth < 10; nth++) {
      const client = await rig.client();
      const connectedAt = performance.now();
      await client.reply();
      waitsMs.push(performance.now() - connectedAt);
    }
    // The library waits 100 ms each time; of ten, one at least is not held up by anything else on the machine.
    assert.ok(Math.min(...waitsMs) < 80, `${waitsMs} ms`);
  });

  test('offers what it does, and only that', async () => {
    await using rig = await openRig();
    const client = await rig.client();
    assert.equal(await client.reply(), '220 relay.test ESMTP');
    assert.deepEqual((await client.say('EHLO client.test')).split('\r\n'), [
      '250-relay.test greets [127.0.0.1]',
      '250-PIPELINING',
      '250-SIZE 1000000',
      '250-8BITMIME',
      '250-SMTPUTF8',
      '250 ENHANCEDSTATUSCODES',
    ]);
    assert.equal(await client.say('STARTTLS'), '502 5.5.1 STARTTLS is not offered here');
    assert.equal(await client.say('AUTH PLAIN AAAA'), '502 5.5.1 AUTH is not offered here');
  });

  test('on every address takes clients of both families, and knows an IPv4 one by its own address', async () => {
    await using rig = await openRig({ host: '::' });
    for (const [host, shown] of [
      ['127.0.0.1', '[127.0.0.1]'],
      ['::1', '[IPv6:::1]'],
    ] as const) {
      const client = await rig.client(host);
      await client.hello();
      assert.match(await client.send('Subject: x\r\n\r\n'), /^250/);
      assert.ok(rig.spool.stored.at(-1)?.body.startsWith(`Received: from client.test (${shown})`));
    }
  });

  test('stores a message byte for byte behind one Received field, then says 250', async () => {
    await using rig = await openRig();
    const client = await rig.client();
    await client.hello();
    const body = 'Subject: x\r\nDate: now\r\nMessage-ID: <1@x>\r\n\r\nhello\r\n.dot\r\n\tend ';
    assert.equal(await client.send(body.replace('\r\n.', '\r\n..')), '250 2.0.0 queued as 00000000000000001');
    const [stored] = rig.spool.stored;
    assert.match(stored?.body ?? '', TRACE);
    assert.equal(stored?.body.replace(TRACE, ''), `${body}\r\n`);
    assert.deepEqual(stored?.arrival, {
      envelope: { sender: 'a@example.com', recipients: ['b@example.com'], eightBit: false, smtpUtf8: false },
      receivedAt: Date.UTC(2026, 10, 2),
    });
    const accepted = rig.events.find(event => event.event === 'message-accepted');
    assert.equal(accepted?.id, '00000000000000001');
    assert.equal(accepted?.size, stored?.body.length);
    assert.equal(rig.spool.open, 0);
  });

  test('gives a message without a header one, and keeps its text as the body', async () => {
    await using rig = await openRig();
    const client = await rig.client();
    await client.hello();
    assert.match(await client.send('just text'), /^250/);
    assert.match(rig.spool.stored[0]?.body ?? '', /Message-ID: <.*>\r\nDate: .*\r\n\r\njust text\r\n$/);
    assert.match(await client.send('\r\nstarts empty'), /^250/);
    assert.match(rig.spool.stored[1]?.body ?? '', /\r\nDate: [^\r]*\r\n\r\nstarts empty\r\n$/);
    client.write('MAIL FROM:<>\r\nRCPT TO:<b@example.com>\r\nDATA\r\n');
    for (let i = 0; i < 3; i++) await client.reply();
    assert.match(await client.say('.'), /^250/);
    assert.match(rig.spool.stored[2]?.body ?? '', /\r\nDate: [^\r]*\r\n$/);
  });

  test('answers pipelined commands in one segment', async () => {
    await using rig = await openRig();
    const client = await rig.client();
    await client.hello();
    client.segments = [];
    client.write(
      'MAIL FROM:<a@example.com>\r\nRCPT TO:<b@example.com>\r\nRCPT TO:<c@example.com>\r\nDATA\r\n',
    );
    for (let i = 0; i < 4; i++) assert.match(await client.reply(), /^(250|354)/);
    assert.equal(client.segments.length, 1);
    client.segments = [];
    client.write('x\r\n.\r\nMAIL FROM:<a@example.com>\r\nRSET\r\nQUIT\r\n');
    for (const expected of [/queued/, /Sender ok/, /Flushed/, /^221/])
      assert.match(await client.reply(), expected);
    await client.closed();
    assert.ok(client.segments.length <= 2);
    assert.equal(rig.spool.stored.length, 1);
  });

  test('takes a whole session in one piece from a client that then closes its side', async () => {
    await using rig = await openRig();
    const client = await rig.client();
    client.socket.end(
      'EHLO x\r\nMAIL FROM:<a@b.c>\r\nRCPT TO:<d@e.f>\r\nDATA\r\nSubject: y\r\n\r\nz\r\n.\r\n',
    );
    for (const code of ['220', '250', '250', '250', '354', '250'])
      assert.ok((await client.reply()).startsWith(code));
    await client.closed();
    assert.equal(rig.spool.stored.length, 1);
  });

  test('says nothing about a message before it is on disk, and counts it when the client has gone meanwhile', async () => {
    await using rig = await openRig();
    let release = (): void => undefined;
    rig.spool.beforeCommit = () =>
      new Promise(resolve => {
        release = resolve;
      });
    const client = await rig.client();
    await client.hello();
    client.write('MAIL FROM:<a@b.c>\r\nRCPT TO:<d@e.f>\r\nDATA\r\nx\r\n.\r\n');
    for (let i = 0; i < 3; i++) await client.reply();
    await until(() => rig.spool.written > 0, 'written');
    const { written } = rig.spool;
    client.socket.resetAndDestroy();
    await until(() => rig.listener.connections() === 0, 'closed');
    release();
    await until(() => rig.spool.stored.length === 1, 'stored');
    await until(() => rig.events.some(event => event.event === 'message-accepted'), 'told');
    assert.ok(written > 0);
  });

  test('keeps addresses as written, quoted, international, without domain', async () => {
    await using rig = await openRig();
    const client = await rig.client();
    await client.hello();
    await client.say('MAIL FROM:<"a b"@XN--BCHER-KVA.example> SMTPUTF8 BODY=8BITMIME');
    for (const to of ['postmaster', 'ü@bücher.example', 'A@b.c', 'a@b.c', 'a@b.c']) {
      assert.match(await client.say(`RCPT TO:<${to}>`), /^250/);
    }
    await client.say('DATA');
    await client.say('x\r\n.');
    assert.deepEqual(rig.spool.stored[0]?.arrival.envelope, {
      sender: '"a b"@XN--BCHER-KVA.example',
      recipients: ['postmaster', 'ü@bücher.example', 'A@b.c', 'a@b.c'],
      eightBit: true,
      smtpUtf8: true,
    });
  });

  test('refuses international addresses without SMTPUTF8', async () => {
    await using rig = await openRig();
    const client = await rig.client();
    await client.hello();
    assert.match(await client.say('MAIL FROM:<ü@example.com>'), /^553 5\.6\.7 /);
    await client.say('MAIL FROM:<a@example.com>');
    assert.match(await client.say('RCPT TO:<ü@example.com>'), /^553 5\.6\.7 /);
  });

  test('answers wrong commands with the exact code', async () => {
    await using rig = await openRig({ maxRecipients: 2 });
    const client = await rig.client();
    await client.reply();
    assert.match(await client.say('MAIL FROM:<a@b.c>'), /^503 5\.5\.1 /);
    assert.match(await client.say('EHLO'), /^501 /);
    await client.say('HELO x');
    assert.match(await client.say('RCPT TO:<a@b.c>'), /^503 5\.5\.1 /);
    assert.match(await client.say('DATA'), /^503 5\.5\.1 /);
    assert.match(await client.say('FOO'), /^500 5\.5\.2 /);
    assert.match(await client.say('EXPN x'), /^502 5\.5\.1 /);
    assert.match(await client.say('MAIL FROM:a@b.c'), /^501 5\.1\.7 /);
    assert.match(await client.say('MAIL FROM:<a@b.c> SIZE=x'), /^501 5\.5\.4 /);
    assert.match(await client.say('MAIL FROM:<a@b.c> BODY=BINARYMIME'), /^501 5\.5\.4 /);
    assert.match(await client.say('MAIL FROM:<a@b.c> RET=FULL'), /^555 5\.5\.4 /);
    assert.match(await client.say('MAIL FROM:<a@b.c> SIZE=10 AUTH=<>'), /^250 2\.1\.0 /);
    assert.match(await client.say('MAIL FROM:<a@b.c>'), /^503 5\.5\.1 /);
    assert.match(await client.say('DATA'), /^554 5\.5\.1 /);
    assert.match(await client.say('RCPT TO:<>'), /^501 5\.1\.3 /);
    assert.match(await client.say('RCPT TO:<a@b.c> NOTIFY=NEVER'), /^555 5\.5\.4 /);
    await client.say('RCPT TO:<a@b.c>');
    await client.say('RCPT TO:<b@b.c>');
    assert.equal(
      await client.say('RCPT TO:<c@b.c>'),
      '452 4.5.3 Too many recipients, at most 2 in one message',
    );
    assert.match(await client.say('DATA x'), /^501 5\.5\.4 /);
    assert.match(await client.say('NOOP'), /^250 2\.0\.0 /);
    assert.match(await client.say('VRFY x'), /^252 /);
    assert.match(await client.say('QUIT'), /^221 2\.0\.0 /);
    assert.deepEqual(rig.spool.open, 0);
  });

  test('closes after too many mistakes, and on a line that is too long, and on HTTP', async () => {
    await using rig = await openRig();
    const careless = await rig.client();
    await careless.hello();
    for (let i = 0; i < 19; i++) assert.match(await careless.say('FOO'), /^500/);
    careless.write('FOO\r\nNOOP\r\n');
    assert.match(await careless.reply(), /^500/);
    assert.equal(await careless.reply(), '421 4.7.0 20 errors on this connection, closing it');
    assert.equal(await careless.reply(), '');
    const long = await rig.client();
    await long.hello();
    assert.equal(await long.say('x'.repeat(70_000)), '500 5.5.2 Command line too long, at most 12288 bytes');
    await long.closed();
    const browser = await rig.client();
    await browser.reply();
    assert.match(await browser.say('POST / HTTP/1.1'), /^421/);
  });

  test('a list with many bad recipients still reaches the good ones', async () => {
    await using rig = await openRig({ maxRecipients: 100 });
    const client = await rig.client();
    await client.hello();
    await client.say('MAIL FROM:<a@b.c>');
    for (let i = 0; i < 30; i++) assert.match(await client.say('RCPT TO:<nobody>'), /^501 5\.1\.3/);
    assert.match(await client.say('RCPT TO:<b@b.c>'), /^250/);
  });

  test('says it is full at MAIL, and at the end of data when the disk fills up meanwhile', async () => {
    await using rig = await openRig();
    const client = await rig.client();
    await client.hello();
    rig.spool.low = true;
    assert.match(await client.say('MAIL FROM:<a@b.c>'), /^452 4\.3\.1 /);
    rig.spool.low = false;
    rig.spool.failBegin = diskFull();
    assert.match(await client.send('x'), /^452 4\.3\.1 /);
    rig.spool.failBegin = undefined;
    await client.say('RSET');
    rig.spool.failWrite = diskFull();
    assert.match(await client.send('x'), /^452 4\.3\.1 /);
    rig.spool.failWrite = undefined;
    rig.spool.failCommit = diskFull();
    assert.match(await client.send('x'), /^452 4\.3\.1 /);
    rig.spool.failCommit = undefined;
    assert.match(await client.send('x'), /^250 /);
    assert.deepEqual(rig.refusals(), ['disk-full', 'disk-full', 'disk-full', 'disk-full']);
    assert.equal(rig.spool.open, 0);
  });

  test('never says 250 when the store fails', async () => {
    await using rig = await openRig();
    const client = await rig.client();
    await client.hello();
    rig.spool.failCommit = ioError();
    assert.match(await client.send('x'), /^451 4\.3\.0 /);
    rig.spool.failCommit = new Error('a bug');
    assert.match(await client.send('x'), /^451 4\.3\.0 /);
    rig.spool.failed = 'fsync failed';
    assert.match(await client.send('x'), /^451 4\.3\.0 /);
    assert.equal(rig.spool.stored.length, 0);
    assert.equal(rig.spool.open, 0);
  });

  test('refuses mail that has come around too often', async () => {
    await using rig = await openRig();
    const client = await rig.client();
    await client.hello();
    assert.match(await client.send(`${'Received: x\r\n'.repeat(3)}\r\n`), /^250/);
    assert.equal(
      await client.send(`${'Received: x\r\n'.repeat(4)}\r\n${'body\r\n'.repeat(50_000)}`),
      '554 5.4.6 Mail loop: 4 Received fields, at most 3',
    );
    assert.equal(rig.spool.stored.length, 1);
    assert.equal(rig.spool.open, 0);
  });

  test('keeps reading no faster than the spool takes', async () => {
    await using rig = await openRig({ maxMessageBytes: 50_000_000 });
    let release = (): void => undefined;
    rig.spool.beforeWrite = () =>
      new Promise(resolve => {
        release = resolve;
      });
    const client = await rig.client();
    await client.hello();
    for (const line of ['MAIL FROM:<a@b.c>', 'RCPT TO:<d@e.f>', 'DATA']) await client.say(line);
    const block = Buffer.from(`${'x'.repeat(98)}\r\n`.repeat(10_000));
    for (let i = 0; i < 30; i++) client.write(block);
    await new Promise(resolve => setTimeout(resolve, 100));
    assert.equal(rig.spool.written, 0);
    assert.ok(client.socket.writableLength > 10_000_000, 'the client is held back');
    rig.spool.beforeWrite = undefined;
    release();
    assert.match(await client.say('.'), /^250/);
    assert.equal(rig.spool.stored[0]?.body.length, rig.spool.written);
  });

  test('offers STARTTLS and then AUTH, forgets what was said in clear, takes the new certificate', async () => {
    const accounts = [{ username: 'app', password: 'secret' }];
    await using rig = await openRig({ tls: makeCertificate('first.test'), accounts, requireAuth: true });
    const client = await rig.client();
    const offers = await client.hello();
    assert.match(offers, /STARTTLS/);
    assert.doesNotMatch(offers, /AUTH/);
    assert.match(await client.say('AUTH PLAIN AGFwcABzZWNyZXQ='), /^538 5\.7\.11 /);
    assert.match(await client.say('MAIL FROM:<a@b.c>'), /^530 5\.7\.0 /);
    await client.startTls();
    assert.match(await client.say('MAIL FROM:<a@b.c>'), /^503 /);
    const secure = await client.say('EHLO again');
    assert.match(secure, /AUTH PLAIN LOGIN/);
    assert.doesNotMatch(secure, /STARTTLS/);
    assert.match(await client.say('MAIL FROM:<a@b.c>'), /^530 5\.7\.0 /);
    assert.match(await client.say('AUTH PLAIN AGFwcABzZWNyZXQ='), /^235 2\.7\.0 /);
    assert.match(await client.send('x'), /^250/);
    assert.match(rig.spool.stored[0]?.body ?? '', /with ESMTPSA id/);
    rig.listener.reconfigure({ ...rig.config, tls: makeCertificate('second.test') });
    const next = await rig.client();
    await next.hello();
    await next.startTls();
    assert.equal(
      (next.socket as import('node:tls').TLSSocket).getPeerCertificate().subject.CN,
      'second.test',
    );
    assert.match(await client.say('NOOP'), /^250/);
  });

  test('drops commands that were pipelined in clear behind STARTTLS', async () => {
    await using rig = await openRig({ tls: makeCertificate() });
    const client = await rig.client();
    await client.hello();
    client.write('STARTTLS\r\nMAIL FROM:<evil@b.c>\r\nRCPT TO:<x@y.z>\r\n');
    assert.match(await client.reply(), /^220 /);
    client.segments = [];
    client.write('this is no handshake either\r\n');
    await client.closed();
    assert.doesNotMatch(client.segments.join(''), /\d{3} /);
    assert.ok(rig.events.some(event => event.event === 'client-error'));
    assert.equal(rig.refusals().length, 0);
    assert.equal(rig.spool.stored.length, 0);
  });

  test('reconfigures all or nothing', async () => {
    await using rig = await openRig();
    const before = await rig.client();
    await before.hello();
    assert.throws(
      () => rig.listener.reconfigure({ ...rig.config, allowedNetworks: ['10.0.0.0/99'] }),
      /10\.0\.0\.0\/99/,
    );
    const broken = { certificate: 'no', key: 'no' };
    assert.throws(
      () => rig.listener.reconfigure({ ...rig.config, tls: broken, maxRecipients: 1 }),
      /certificate or key/,
    );
    assert.match(await before.send('x', 'a@b.c', ['a@b.c', 'b@b.c']), /^250/);
    rig.listener.reconfigure({ ...rig.config, maxRecipients: 1, maxMessageBytes: 77 });
    assert.match(await before.send('x', 'a@b.c', ['a@b.c', 'b@b.c']), /^452/);
    assert.match(await before.say('EHLO x'), /SIZE 77/);
  });

  test('does not start with a bad address, network or certificate', async () => {
    await assert.rejects(openRig({ host: '192.0.2.1' }));
    await assert.rejects(openRig({ allowedNetworks: ['home'] }), /"home" is neither/);
    await assert.rejects(openRig({ tls: { certificate: 'x', key: 'y' } }));
  });
});
