import assert from 'node:assert/strict';
import { after, describe, test } from 'node:test';
import { authority } from '../../smtp/certificates.ts';
import { dial, hello } from '../../smtp/client.ts';
import { type ProviderOptions, type ScriptedProvider, startProvider } from '../../smtp/provider.ts';
import { drop, partial, stall, take, wait } from '../../smtp/script.ts';
import { gate, until } from '../../smtp/wait.ts';

const open: ScriptedProvider[] = [];
after(() => Promise.all(open.map(each => each.close())));

async function provider(options: ProviderOptions = {}): Promise<ScriptedProvider> {
  const started = await startProvider(options);
  open.push(started);
  return started;
}

const mail = { from: 'a@b.test', to: ['c@d.test'], body: 'Message-ID:\r\n <1@x>\r\n\r\n.dot\r\n..\r\nend' };

describe('the scripted provider', () => {
  test('receives mail, un-stuffs it and finds its headers', async () => {
    const started = await provider();
    const client = await hello(started);
    assert.equal((await client.send(mail)).code, 250);
    const [message] = started.messages;
    assert.equal(message?.body.toString(), `${mail.body}\r\n`);
    assert.equal(message?.messageId, '<1@x>');
    await client.quit();
  });

  test('finds the final dot however its bytes are cut', async () => {
    const started = await provider();
    const client = await hello(started);
    for (let length = 1; length < 9; length++) {
      await client.pipeline(['MAIL FROM:<>', 'RCPT TO:<x@y.test>', 'DATA']);
      const body = Buffer.from('abc\r\n..\r\n.\r\n');
      for (let at = 0; at < body.length; at += length) {
        client.write(body.subarray(at, at + length));
        await new Promise(resolve => setTimeout(resolve, 2));
      }
      assert.equal((await client.reply()).code, 250);
      assert.equal(started.messages.at(-1)?.body.toString(), 'abc\r\n.\r\n');
    }
    client.destroy();
  });

  test('speaks STARTTLS and AUTH, with passwords that can change', async () => {
    const started = await provider({ tls: 'starttls', users: { u: 'old' } });
    const client = await hello(started);
    await client.startTls({ ca: authority().certificate, host: '127.0.0.1' });
    assert.ok((await client.command('EHLO x')).lines.includes('AUTH PLAIN LOGIN'));
    started.users.set('u', 'new');
    assert.equal((await client.login('u', 'old')).code, 535);
    assert.equal((await client.command('MAIL FROM:<>')).code, 530);
    assert.equal((await client.login('u', 'new')).code, 235);
    assert.equal(started.sessions[0]?.user, 'u');
    client.destroy();
  });

  test('refuses while down and keeps its port', async () => {
    const started = await provider();
    const client = await hello(started);
    await started.down();
    await until(() => client.closed, 'the connection to end');
    await assert.rejects(dial(started), { code: 'ECONNREFUSED' });
    await started.up();
    (await hello(started)).destroy();
    assert.equal(started.counters.connections, 2);
  });

  test('counts a taken message although nobody was told', async () => {
    const started = await provider({ script: { dot: take(drop) } });
    const client = await hello(started);
    await assert.rejects(client.send(mail));
    assert.equal(started.counters.messages, 1);
    assert.equal(started.messages[0]?.reply, undefined);
  });

  test('follows a list once, a gate when it opens, a stall until released', async () => {
    const { opened, open: letGo } = gate();
    const started = await provider({ script: { noop: ['451 first', wait(opened, '452 second'), stall] } });
    const client = await hello(started);
    assert.equal((await client.command('NOOP')).code, 451);
    const second = client.command('NOOP');
    letGo();
    assert.equal((await second).code, 452);
    const third = client.command('NOOP');
    await until(() => started.sessions[0]?.commands.length === 4, 'the third NOOP to arrive');
    started.release();
    assert.equal((await third).code, 250);
    assert.equal((await client.command('NOOP')).code, 250);
    client.destroy();
  });

  test('ends in the middle of a reply', async () => {
    const started = await provider({ script: { greeting: partial(7) } });
    const client = await dial(started);
    let bytes = 0;
    client.socket.on('data', (chunk: Buffer) => {
      bytes += chunk.length;
    });
    await assert.rejects(client.reply());
    assert.equal(bytes, 7);
  });

  for (const [title, by, heard] of [
    ['breaks off', 'end', '220 b.test ESMTP\r\n25'],
    ['falls silent', 'silence', '220 b.test ESMTP\r\n25'],
    [
      'turns into garbage',
      'garbage',
      '220 b.test ESMTP\r\n25\u0001\u0002\n\u0001\u0002\n\u0001\u0002\n\u0001',
    ],
    ['has one wrong byte', 0x58, '220 b.test ESMTP\r\n25X b.test\r\n'],
  ] as const) {
    test(`${title} at the byte that it is told`, async () => {
      const started = await provider({ hostname: 'b.test', extensions: [], maxSize: 0 });
      started.follow({ spoil: { afterBytes: 20, by } });
      const client = await dial(started);
      let text = '';
      client.socket.on('data', (chunk: Buffer) => {
        text += chunk.toString();
      });
      client.write('EHLO x\r\n');
      await until(() => text.length >= heard.length, 'all that it says');
      assert.equal(text, heard);
      client.destroy();
    });
  }

  test('with keep: count remembers numbers alone', async () => {
    const started = await provider({ keep: 'count' });
    const client = await hello(started);
    await client.send(mail);
    assert.deepEqual(
      [started.counters.messages, started.messages.length, started.sessions.length],
      [1, 0, 0],
    );
    client.destroy();
  });
});
