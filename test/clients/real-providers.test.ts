/**
 * Postfix and Exim as providers behind the whole relay: every way in, the
 * content as it arrives, and what they refuse.
 */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { MAX_BYTES } from './real-provider.ts';
import { KINDS, letter, openRig, send } from './rig.ts';

for (const kind of KINDS) {
  describe(kind.name, { skip: kind.missing() ?? false }, () => {
    for (const ssl of [false, true]) {
      const way = ssl ? 'TLS from the first byte' : 'STARTTLS';
      test(`takes mail over ${way} with a password`, async () => {
        await using rig = await openRig([{ kind, ssl }]);
        const id = await send(rig.relay, { subject: 'way-in' });
        const { given, received } = await rig.providers[0]!.mail.one('way-in');
        assert.equal(given.toString(), letter({ subject: 'way-in' }).toString());
        assert.match(received, new RegExp(`id ${id}`));
        const { provider } = await rig.relay.run.until('recipient-delivered', { id });
        assert.equal(provider, kind.name);
        assert.match(await rig.providers[0]!.log(), /(?:sasl_username=|A=(?:plain|login):)relay/);
      });
    }
  });

  describe(`content through ${kind.name}`, { skip: kind.missing() ?? false }, () => {
    const carries = async (subject: string, text: Buffer | string, parameters?: string): Promise<void> => {
      await using rig = await openRig([{ kind }]);
      await send(rig.relay, { subject, text, ...(parameters === undefined ? {} : { parameters }) });
      const { given } = await rig.providers[0]!.mail.one(subject);
      const sent = letter({ subject, text });
      assert.ok(given.equals(sent), `${given.length} bytes arrived, ${sent.length} were sent`);
    };

    test('two megabytes arrive byte for byte', () => {
      const line = (index: number): string =>
        `${'.'.repeat(index % 3)}${index} ${'x'.repeat((index * 7) % 900)}\r\n`;
      let text = '';
      for (let index = 0; text.length < 2_000_000; index++) text += line(index);
      return carries('two-megabytes', text);
    });

    test('dots, blank lines at the end and long lines arrive as they were', () =>
      carries('shapes', `.\r\n..\r\n...x\r\n \r\n${'long '.repeat(190)}\r\ntrailing \t \r\n\r\n\r\n`));

    test('eight-bit text arrives as it was', () =>
      carries('eight-bit', 'Grüße, 日本語, \u{1f4ee}\r\n', 'BODY=8BITMIME'));

    test('an address in UTF-8 is reached', async () => {
      await using rig = await openRig([{ kind }]);
      const to = ['jürgen@example.net'];
      await send(rig.relay, { subject: 'utf8', to, from: 'söhne@example.com', parameters: 'SMTPUTF8' });
      const { recipient } = await rig.providers[0]!.mail.one('utf8');
      assert.equal(Buffer.from(recipient, 'latin1').toString(), to[0]);
    });

    test('a null sender stays null', async () => {
      await using rig = await openRig([{ kind }]);
      await send(rig.relay, { subject: 'null-sender', from: '' });
      const { added } = await rig.providers[0]!.mail.one('null-sender');
      assert.match(added, /^Return-path: <>/im);
    });
  });

  describe(`refusals of ${kind.name}`, { skip: kind.missing() ?? false }, () => {
    test('an unknown mailbox is rejected alone, the others get the mail', async () => {
      await using rig = await openRig([{ kind }]);
      const to = ['one@example.net', 'unknown@example.net', 'two@example.net'];
      const id = await send(rig.relay, { subject: 'mixed', to });
      const rejected = await rig.relay.run.until('recipient-rejected', { id });
      assert.equal(rejected['recipient'], 'unknown@example.net');
      assert.match(String(rejected['reply']), /^550 5\.1\.1 /);
      await rig.relay.run.until('recipient-delivered', { id, recipient: 'one@example.net' });
      await rig.relay.run.until('recipient-delivered', { id, recipient: 'two@example.net' });
      assert.equal(rig.relay.run.heard('recipient-rejected').length, 1);
    });

    test('a message over its size limit is not sent to it, and the sender hears no false success', async () => {
      await using rig = await openRig([{ kind }]);
      const text = `${'x'.repeat(78)}\r\n`.repeat(Math.ceil(MAX_BYTES / 80) + 10);
      const id = await send(rig.relay, { subject: 'too-large', text });
      await rig.relay.run.until('message-dead', { id });
      assert.equal(rig.relay.run.heard('recipient-delivered').length, 0);
      assert.doesNotMatch(await rig.providers[0]!.log(), /DATA|<= app@/);
    });
  });
}
