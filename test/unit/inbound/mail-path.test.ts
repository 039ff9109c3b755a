import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { unspeakable } from '../../../relay/delivery/mail-commands.ts';
import { parsePath } from '../../../relay/inbound/mail-path.ts';

const from = (text: string) => parsePath(Buffer.from(`MAIL FROM:${text}`), 'FROM');
const to = (text: string) => parsePath(Buffer.from(`RCPT TO:${text}`), 'TO');
const address = (result: ReturnType<typeof from>): string =>
  'fault' in result ? `fault: ${result.fault}` : result.address;

describe('the argument of MAIL and RCPT', () => {
  test('is kept exactly as the client wrote it', () => {
    for (const text of [
      'a@example.com',
      'Mixed.Case+tag@EXAMPLE.com',
      'a@xn--bcher-kva.example',
      'ü@bücher.example',
      '"with space"@example.com',
      '"a@b"@example.com',
      '"a\\"b c"@example.com',
      'a@[192.0.2.1]',
      'a@[IPv6:2001:DB8::1]',
      'dots..in.@carrier.example',
      "o'hara/dept=x@example.com",
      'under_score@host_name.example',
    ]) {
      assert.equal(address(to(`<${text}>`)), text);
      assert.equal(address(from(` <${text}>`)), text);
    }
  });

  test('may be the null sender, and <postmaster> as a recipient', () => {
    assert.equal(address(from('<>')), '');
    assert.equal(address(to('<Postmaster>')), 'Postmaster');
    assert.match(address(from('<postmaster>')), /no domain/);
  });

  test('loses a source route', () => {
    assert.equal(address(to('<@a.example,@b.example:user@c.example>')), 'user@c.example');
  });

  test('carries parameters, each once', () => {
    const result = from('<a@b.example> SIZE=12 body=8BITMIME SMTPUTF8');
    assert.ok(!('fault' in result));
    assert.deepEqual(
      [...result.parameters],
      [
        ['SIZE', '12'],
        ['BODY', '8BITMIME'],
        ['SMTPUTF8', true],
      ],
    );
    assert.match(address(from('<a@b.example> SIZE=1 size=2')), /SIZE is given twice/);
    assert.match(address(from('<a@b.example> SIZE=')), /not KEYWORD/);
    assert.match(address(from('<a@b.example>SIZE=1')), /blank/);
  });

  test('is refused with the reason', () => {
    assert.match(address(from('a@b.example')), /angle brackets/);
    assert.match(address(parsePath(Buffer.from('MAIL TO:<a@b>'), 'FROM')), /MAIL FROM:<address>/);
    assert.match(address(to('<a>')), /no domain/);
    assert.match(address(to('<a b@c.example>')), /before the @/);
    assert.match(address(to('<a@b@c.example>')), /before the @/);
    assert.match(address(to('<@c.example>')), /before the @/);
    assert.match(address(to('<a@>')), /domain is not valid/);
    assert.match(address(to('<a@-b.example>')), /domain is not valid/);
    assert.match(address(to('<a@b..example>')), /domain is not valid/);
    assert.match(address(to('<a@[300.1.1.1]>')), /literal/);
    assert.match(address(to(`<${'a'.repeat(250)}@b.example>`)), /at most 254/);
    assert.match(address(to('<a\u0000@b.example>')), /control/);
    assert.match(address(to('<a\u200b@b.example>')), /invisible/);
    const bytes = Buffer.concat([
      Buffer.from('RCPT TO:<'),
      Buffer.from([0xff, 0xfe]),
      Buffer.from('@b.example>'),
    ]);
    assert.match(address(parsePath(bytes, 'TO')), /not UTF-8/);
  });

  test('is refused where a quoted part holds an angle bracket, which no provider is sent', () => {
    for (const text of ['"a>b"@example.com', '"a<b"@example.com', '"a\\>"@example.com']) {
      assert.match(address(to(`<${text}>`)), /^fault: angle brackets/);
      assert.match(address(from(`<${text}>`)), /^fault: angle brackets/);
    }
  });

  test('is nothing that could not be put into a command for a provider', () => {
    const text = fc.string({
      unit: fc.constantFrom('a', '"', '\\', '<', '>', '@', ' ', '.', '\r', '\0', 'ü', ','),
      maxLength: 12,
    });
    fc.assert(
      fc.property(text, word => {
        const result = to(`<${word}@example.com>`);
        if ('fault' in result || result.address === '') return;
        assert.equal(unspeakable(result.address, 'recipient'), undefined);
        assert.equal(unspeakable(result.address, 'sender'), undefined);
      }),
      { numRuns: 5000 },
    );
  });

  test('tells whether an address needs SMTPUTF8', () => {
    const result = to('<a@bücher.example>');
    assert.ok(!('fault' in result) && result.international);
  });

  test('never lets a control character through, whatever the line', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 60 }), bytes => {
        const result = parsePath(
          Buffer.concat([Buffer.from('MAIL FROM:<'), bytes, Buffer.from('@x.example>')]),
          'FROM',
        );
        if (!('fault' in result)) assert.doesNotMatch(result.address, /\p{Cc}/u);
      }),
      { numRuns: 2000 },
    );
  });
});
