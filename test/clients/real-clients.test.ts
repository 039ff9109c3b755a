/**
 * Programs that no one here wrote hand mail to the listener: in clear, with
 * STARTTLS and a password, a big one, to several recipients.
 */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, test } from 'node:test';
import { authorityCertificate, makeCertificate, openRig, type Rig } from '../unit/inbound/harness.ts';
import { MAIL_PROGRAMS, runProgram } from './mail-programs.ts';
import { isInstalled } from './tethered.ts';

const directory = mkdtempSync(join(tmpdir(), 'mailrelay-clients-'));
after(() => rmSync(directory, { recursive: true }));
const caFile = join(directory, 'ca.pem');
writeFileSync(caFile, authorityCertificate);

const head =
  'From: Test <a@example.com>\r\nTo: b@example.net\r\nSubject: dots\r\nDate: Mon, 02 Nov 2026 00:00:00 +0000\r\nMessage-ID: <1@example.com>\r\n\r\n';
const small = `${head}.one\r\n..two\r\n.\r\nend\r\n`;
const big = `${head}${'.0123456789 the quick brown fox jumps over the lazy dog\r\n'.repeat(60_000)}`;

/** What the client was given must be what is stored, behind our one field. */
function verify(rig: Rig, content: string, recipients: readonly string[], protocol: string): void {
  const [stored] = rig.spool.stored;
  assert.ok(stored, 'nothing was stored');
  const [received] = /^Received: [^\r]*\r\n(?:\t[^\r]*\r\n)*/.exec(stored.body) ?? [''];
  assert.match(received, new RegExp(` with ${protocol} id `));
  // Some clients add a line end of their own at the end.
  assert.equal(stored.body.slice(received.length).trimEnd(), content.trimEnd());
  assert.deepEqual(stored.arrival.envelope.recipients, recipients);
  assert.equal(stored.arrival.envelope.sender, 'a@example.com');
  assert.equal(rig.spool.open, 0);
}

for (const [name, command] of Object.entries(MAIL_PROGRAMS)) {
  const skip = isInstalled(name) ? false : `${name} is not installed`;
  describe(name, { skip }, () => {
    const deliver = async (
      content: string,
      recipients: readonly string[],
      secure: boolean,
    ): Promise<void> => {
      await using rig = await openRig({
        maxMessageBytes: 10_000_000,
        tls: makeCertificate('client.test'),
        accounts: [{ username: 'app', password: 'pass word' }],
        requireAuth: secure,
      });
      const file = join(directory, `${name}.eml`);
      writeFileSync(file, content);
      await runProgram(command({ port: rig.listener.address.port, secure, recipients, file, caFile }));
      verify(rig, content, recipients, secure ? 'ESMTPSA' : 'ESMTP');
    };

    test('hands over a plain message with dots', () => deliver(small, ['b@example.net'], false));
    test('authenticates over STARTTLS', () => deliver(small, ['b@example.net'], true));
    test('hands over a big message', () => deliver(big, ['b@example.net'], false));
    test('reaches several recipients', () =>
      deliver(small, ['b@example.net', 'c@example.net', 'D@example.net'], false));
  });
}
