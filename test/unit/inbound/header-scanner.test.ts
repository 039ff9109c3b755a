import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { type HeaderFacts, HeaderScanner } from '../../../relay/inbound/header-scanner.ts';
import { mailDate, type TraceFacts, traceHeaders } from '../../../relay/inbound/trace-headers.ts';

function scan(message: string, chunk = message.length || 1): { facts: HeaderFacts; held: string } {
  const scanner = new HeaderScanner();
  for (let at = 0; at < message.length; at += chunk) {
    const facts = scanner.push(Buffer.from(message.slice(at, at + chunk), 'latin1'));
    if (facts !== undefined) return { facts, held: scanner.take().toString('latin1') };
  }
  const facts = scanner.finish();
  return { facts, held: scanner.take().toString('latin1') };
}

const trace: TraceFacts = {
  helo: 'client.example',
  clientAddress: '192.0.2.7',
  hostname: 'relay.example',
  extended: true,
  secure: true,
  authenticated: true,
  smtpUtf8: false,
  id: '01abcdefghijklmno',
  recipients: ['b@example.net'],
  receivedAt: Date.UTC(2026, 10, 2, 3, 4, 5),
};
const complete: HeaderFacts = {
  received: 0,
  hasMessageId: true,
  hasDate: true,
  startsWithText: false,
  signedNames: new Set(),
};

describe('the header scanner', () => {
  test('counts Received fields and finds Message-ID and Date in any case, folded or not', () => {
    const { facts } = scan(
      'RECEIVED: from a\r\n by b\r\nReceived : x\r\nReceived-SPF: pass\r\nmessage-id:\r\n <x@y>\r\nDATE: now\r\n\r\nReceived: body\r\n',
    );
    assert.equal(facts.received, 2);
    assert.equal(facts.hasMessageId, true);
    assert.equal(facts.hasDate, true);
    assert.equal(facts.startsWithText, false);
  });

  test('does not take the body for the header', () => {
    const { facts } = scan('Subject: x\r\n\r\nDate: in the body\r\nMessage-ID: <b>\r\n');
    assert.equal(facts.hasDate, false);
    assert.equal(facts.hasMessageId, false);
  });

  test('tells a message that starts with text from one that starts with the empty line', () => {
    assert.equal(scan('hello there\r\nDate: x\r\n').facts.startsWithText, true);
    assert.equal(scan('\r\nhello\r\n').facts.startsWithText, false);
    assert.equal(scan(' folded nothing\r\n').facts.startsWithText, true);
    assert.equal(scan('Subject: a\r\nno field\r\n').facts.startsWithText, false);
    assert.equal(scan('').facts.startsWithText, false);
    assert.equal(scan('no line end').facts.startsWithText, true);
  });

  test('reads which fields a DKIM signature covers', () => {
    const { facts } = scan(
      'DKIM-Signature: v=1; a=rsa-sha256;\r\n\th=From : to:Message-ID\r\n\t:date; b=abc\r\nFrom: a\r\n\r\n',
    );
    assert.deepEqual([...facts.signedNames], ['from', 'to', 'message-id', 'date']);
  });

  test('says the same however the bytes are cut, and gives every byte back', () => {
    const piece = fc.constantFrom(
      'Received: a\r\n',
      'Date: x\r\n',
      '\r\n',
      ' fold\r\n',
      'text\r\n',
      'Message-ID: <a>\r\n',
      'D',
    );
    fc.assert(
      fc.property(fc.array(piece, { maxLength: 12 }), fc.integer({ min: 1, max: 9 }), (parts, size) => {
        const message = parts.join('');
        const whole = scan(message);
        const cut = scan(message, size);
        assert.deepEqual(cut.facts, whole.facts);
        assert.ok(message.startsWith(cut.held));
      }),
      { numRuns: 1000 },
    );
  });
});

describe('the trace headers', () => {
  test('are one Received field when the message has all it needs', () => {
    assert.equal(
      traceHeaders(trace, complete).toString(),
      'Received: from client.example ([192.0.2.7])\r\n' +
        '\tby relay.example with ESMTPSA id 01abcdefghijklmno\r\n' +
        '\tfor <b@example.net>;\r\n' +
        '\tMon, 02 Nov 2026 03:04:05 +0000\r\n',
    );
  });

  test('name no recipient when there are several', () => {
    const text = traceHeaders({ ...trace, recipients: ['a@x', 'b@x'] }, complete).toString();
    assert.doesNotMatch(text, /for </);
  });

  test('bring Message-ID and Date only when absent', () => {
    const text = traceHeaders(trace, { ...complete, hasDate: false, hasMessageId: false }).toString();
    assert.match(
      text,
      /\r\nMessage-ID: <01abcdefghijklmno@relay\.example>\r\nDate: Mon, 02 Nov 2026 03:04:05 \+0000\r\n$/,
    );
  });

  test('do not add a field that a DKIM signature covers as absent', () => {
    const facts = {
      ...complete,
      hasDate: false,
      hasMessageId: false,
      signedNames: new Set(['message-id', 'date']),
    };
    assert.doesNotMatch(traceHeaders(trace, facts).toString(), /Message-ID|\r\nDate/);
  });

  test('end with the empty line when the message has no header', () => {
    assert.match(traceHeaders(trace, { ...complete, startsWithText: true }).toString(), /\r\n\r\n$/);
  });

  test('let nothing through from a hostile HELO name', () => {
    const text = traceHeaders({ ...trace, helo: `a\r\nX-Evil: (b)${'c'.repeat(400)}` }, complete).toString();
    assert.ok(text.startsWith('Received: from a??X-Evil:??b?ccc'));
    assert.ok(text.split('\r\n').every(line => line.length < 400));
  });

  test('write an IPv6 client and the SMTPUTF8 protocol the way the standards say', () => {
    const facts = {
      ...trace,
      clientAddress: '2001:db8::1',
      smtpUtf8: true,
      secure: false,
      authenticated: false,
    };
    assert.match(
      traceHeaders(facts, complete).toString(),
      /\(\[IPv6:2001:db8::1\]\)\r\n\tby relay\.example with UTF8SMTP id/,
    );
  });

  test('write dates with two digits in UTC', () => {
    assert.equal(mailDate(0), 'Thu, 01 Jan 1970 00:00:00 +0000');
  });
});
