/**
 * A DKIM signature made before the relay still verifies behind a real
 * provider, whatever the message looks like, and both canonicalisations.
 */
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { type Canonicalization, dkimMissing, sendSigned, sign, verify } from './dkim.ts';
import { KINDS, openRig, type Rig } from './rig.ts';

const boundary = '=_part';
const parts = `--${boundary}\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n\r\nGrüße\r\n.\r\n--${boundary}\r\nContent-Type: application/octet-stream\r\nContent-Transfer-Encoding: base64\r\n\r\nAAECAwQF\r\n--${boundary}--\r\n`;

/** Name of the case, text, Content-Type. */
const SHAPES: Readonly<Record<string, readonly [text: string, type?: string]>> = {
  plain: ['Hello.\r\n'],
  empty: [''],
  'blank-lines-at-the-end': ['Hello.\r\n\r\n\r\n\r\n'],
  'dots-at-line-starts': ['.\r\n..\r\n.x\r\n...\r\nlast.\r\n.\r\n'],
  'blanks-at-line-ends': ['one \r\ntwo\t \r\n  three   four\r\n \r\n'],
  'long-lines': [`${'x'.repeat(990)}\r\n${'ab '.repeat(300)}\r\n`],
  'eight-bit': ['Grüße, 日本語\r\n'],
  multipart: [parts, `multipart/mixed; boundary="${boundary}"`],
};

function message(subject: string, text: string, type = 'text/plain; charset=utf-8'): Buffer {
  const head = [
    'From: App <app@example.com>',
    'To: someone@example.net,',
    '\tother@example.net',
    `Subject: ${subject}`,
    'Date: Mon, 02 Nov 2026 10:00:00 +0000',
    `Message-ID: <${subject}@example.com>`,
    'MIME-Version: 1.0',
    `Content-Type: ${type}`,
    'X-Odd:   two  blanks ',
  ];
  return Buffer.from(`${head.join('\r\n')}\r\n\r\n${text}`);
}

const missing = await dkimMissing();

for (const kind of KINDS) {
  describe(`a signature behind ${kind.name}`, { skip: missing ?? kind.missing() ?? false }, () => {
    let rig: Rig;
    before(async () => {
      rig = await openRig([{ kind }]);
    });
    after(() => rig[Symbol.asyncDispose]());

    const passes = async (subject: string, signed: Buffer): Promise<void> => {
      assert.equal(await verify(signed), 'good', 'already before the relay');
      const client = await rig.relay.connect();
      const reply = await client.send({
        from: 'app@example.com',
        to: ['someone@example.net'],
        body: signed,
        parameters: 'BODY=8BITMIME',
      });
      assert.equal(reply.code, 250, reply.text);
      await client.quit();
      const { message: arrived, added } = await rig.providers[0]!.mail.one(subject);
      assert.equal(await verify(arrived), 'good');
      assert.equal(await verify(Buffer.concat([Buffer.from(added, 'latin1'), arrived])), 'good');
    };

    for (const canonicalization of ['simple/simple', 'relaxed/relaxed'] satisfies Canonicalization[]) {
      for (const [shape, [text, type]] of Object.entries(SHAPES)) {
        test(`verifies with ${canonicalization} over ${shape.replaceAll('-', ' ')}`, async () => {
          const subject = `${shape}-${canonicalization.replace('/', '-')}`;
          await passes(subject, await sign(message(subject, text, type), canonicalization));
        });
      }
    }

    test('made by nodemailer over a multipart message verifies', async () => {
      await sendSigned(rig.relay.smtpPort, 'by-nodemailer');
      const { message: arrived } = await rig.providers[0]!.mail.one('by-nodemailer');
      assert.equal(await verify(arrived), 'good');
    });

    test('does not verify when a byte was changed: the verifier can tell', async () => {
      const signed = await sign(message('changed', 'Hello.\r\n'), 'simple/simple');
      assert.match(await verify(Buffer.from(signed.toString().replace('Hello', 'hello'))), /^bad/);
    });
  });
}
