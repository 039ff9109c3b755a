import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { noCapabilities } from '../../../relay/delivery/capabilities.ts';
import { mailCommand, obstacle, rcptCommand, unspeakable } from '../../../relay/delivery/mail-commands.ts';
import { redact } from '../../../relay/delivery/redact.ts';

const all = { ...noCapabilities, pipelining: true, eightBitMime: true, smtpUtf8: true, size: true };
const plain = { sender: 'a@b.test', recipients: ['c@d.test'], eightBit: false, smtpUtf8: false, size: 10 };

test('MAIL carries what is needed and offered, and no more', () => {
  const wanting = { ...plain, eightBit: true, smtpUtf8: true };
  assert.equal(mailCommand(plain, all), 'MAIL FROM:<a@b.test> SIZE=10\r\n');
  assert.equal(mailCommand(plain, noCapabilities), 'MAIL FROM:<a@b.test>\r\n');
  assert.equal(mailCommand(wanting, all), 'MAIL FROM:<a@b.test> SIZE=10 BODY=8BITMIME SMTPUTF8\r\n');
  // Without 8BITMIME the message goes as it is: re-encoding would break its DKIM signature.
  assert.equal(
    mailCommand({ ...plain, eightBit: true }, { ...all, eightBitMime: false }),
    'MAIL FROM:<a@b.test> SIZE=10\r\n',
  );
});

test('a message of exactly SIZE is no obstacle, one byte more is, and no limit is none', () => {
  const limited = { ...all, maxSize: 10 };
  assert.equal(obstacle(plain, limited), undefined);
  assert.equal(obstacle({ ...plain, size: 11 }, limited)?.fault, 'not-offered');
  assert.equal(obstacle({ ...plain, size: 1e12 }, all), undefined);
});

test('whatever an address holds, its command is one line with one path', () => {
  fc.assert(
    fc.property(fc.string({ unit: 'binary', maxLength: 20 }), address => {
      if (unspeakable(address, 'recipient') !== undefined) return;
      assert.match(rcptCommand(address), /^RCPT TO:<[^<>\r\n\0]+>\r\n$/);
    }),
  );
});

test('credentials are redacted in every form in which AUTH sends them', () => {
  const credentials = { username: 'someone', password: 'p$&w' };
  const text = `535-5.7.8 no ${btoa('\0someone\0p$&w')} ${btoa('p$&w')} ${btoa('someone')} p$&w for someone\n535 5.7.8 p$&w`;
  assert.equal(redact(text, credentials), '535-5.7.8 no *** *** *** *** for ***\n535 5.7.8 ***');
});

test('redaction leaves the code alone, whatever the user is called', () => {
  assert.equal(redact('535 user 535 unknown', { username: '535', password: '35' }), '535 user *** unknown');
});
