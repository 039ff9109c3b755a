import assert from 'node:assert/strict';
import { describe as suite, test } from 'node:test';
import fc from 'fast-check';
import { type Bounce, type BounceContext, buildBounce } from '../../../relay/delivery/bounce.ts';
import type { MessageId, Recipient, StoredMessage } from '../../../relay/spool/message.ts';

const now = Date.UTC(2026, 10, 22, 18, 0, 31);
const head = Buffer.from(
  'Received: from app\r\n\tby relay; now\r\nMessage-ID: <one@app.example>\r\nSubject: Hello\r\n\r\nBody, secret\r\n',
);
const context: BounceContext = { hostname: 'relay.example.com', now, token: '01jabc', head };

function stored(differences: Partial<StoredMessage> = {}): StoredMessage {
  return {
    id: '01jabcdefghijklmn' as MessageId,
    state: 'failed',
    sender: 'app@example.com',
    recipients: [],
    eightBit: false,
    smtpUtf8: false,
    size: 100,
    receivedAt: now - 60_000,
    dueAt: now,
    rounds: 1,
    reason: '',
    ...differences,
  };
}

const rejected: Recipient = {
  address: 'nobody@example.net',
  state: 'rejected',
  provider: 'ses',
  reply: '550 5.1.1 No such user',
  at: now - 1000,
};
const delivered: Recipient = { address: 'somebody@example.net', state: 'delivered' };

interface Part {
  readonly headers: ReadonlyMap<string, string>;
  readonly body: string;
}

/** A strict reading of header fields and body: fails on anything that RFC 5322 does not allow. */
function parsePart(text: string): Part {
  const end = text.indexOf('\r\n\r\n');
  assert.notEqual(end, -1);
  const headers = new Map<string, string>();
  for (const field of text
    .slice(0, end)
    .replace(/\r\n[ \t]+/g, ' ')
    .split('\r\n')) {
    const parts = /^([!-9;-~]+): (.*)$/.exec(field);
    assert.ok(parts, field);
    const name = (parts[1] ?? '').toLowerCase();
    assert.equal(headers.has(name), false, `${name} twice`);
    headers.set(name, parts[2] ?? '');
  }
  return { headers, body: text.slice(end + 4) };
}

interface Parsed {
  readonly headers: ReadonlyMap<string, string>;
  readonly text: Part;
  readonly status: Part;
  readonly original: Part;
  readonly boundary: string;
}

function parse(bounce: Bounce): Parsed {
  const whole = bounce.content.toString('utf8');
  assert.doesNotMatch(whole, /[^\r]\n|\r[^\n]/, 'canonical CRLF');
  assert.ok(whole.endsWith('\r\n'));
  for (const line of whole.split('\r\n')) assert.ok(Buffer.byteLength(line) <= 998);
  const { headers, body } = parsePart(whole);
  const boundary = /boundary="([^"]{1,70})"/.exec(headers.get('content-type') ?? '')?.[1] ?? '';
  assert.notEqual(boundary, '');
  const pieces = `\r\n${body}`.split(`\r\n--${boundary}`);
  assert.equal(pieces.length, 5, 'three parts, a preamble and an end');
  assert.equal(pieces[0], '');
  assert.equal(pieces[4], '--\r\n');
  const [text, status, original] = pieces.slice(1, 4).map(piece => parsePart(piece.slice(2)));
  assert.ok(text && status && original);
  return { headers, text, status, original, boundary };
}

function bounceOf(
  message: StoredMessage,
  recipients: readonly Recipient[],
  differences: Partial<BounceContext> = {},
): Bounce {
  const bounce = buildBounce(message, recipients, { ...context, ...differences });
  assert.ok(bounce);
  return bounce;
}

suite('a bounce', () => {
  const bounce = bounceOf(stored(), [delivered, rejected]);
  const { headers, text, status, original } = parse(bounce);

  test('goes to the sender of the mail under the null sender', () => {
    assert.deepEqual(bounce.envelope, {
      sender: '',
      recipients: ['app@example.com'],
      eightBit: false,
      smtpUtf8: false,
    });
    assert.equal(headers.get('to'), '<app@example.com>');
    assert.equal(headers.get('from'), 'Mail Delivery System <MAILER-DAEMON@relay.example.com>');
  });

  test('is marked as automatic, has its own Message-ID and date, and refers to the original', () => {
    assert.equal(headers.get('auto-submitted'), 'auto-replied');
    assert.equal(headers.get('message-id'), '<01jabc@relay.example.com>');
    assert.equal(headers.get('date'), 'Sun, 22 Nov 2026 18:00:31 +0000');
    assert.equal(headers.get('in-reply-to'), '<one@app.example>');
  });

  test('is a multipart/report with a text for people, the status and the original header', () => {
    assert.match(headers.get('content-type') ?? '', /^multipart\/report; report-type=delivery-status;/);
    assert.match(text.headers.get('content-type') ?? '', /^text\/plain/);
    assert.equal(status.headers.get('content-type'), 'message/delivery-status');
    assert.equal(original.headers.get('content-type'), 'text/rfc822-headers');
  });

  test('tells people and programs who was not reached, and what was said', () => {
    assert.match(text.body, /<nobody@example\.net> refused\r\n {4}by ses\r\n {4}550 5\.1\.1 No such user/);
    const [perMessage, perRecipient, ...rest] = status.body.trimEnd().split('\r\n\r\n');
    assert.deepEqual(rest, []);
    assert.equal(
      perMessage,
      'Reporting-MTA: dns; relay.example.com\r\nArrival-Date: Sun, 22 Nov 2026 17:59:31 +0000',
    );
    assert.deepEqual(perRecipient?.split('\r\n'), [
      'Final-Recipient: rfc822; nobody@example.net',
      'Action: failed',
      'Status: 5.1.1',
      'Diagnostic-Code: smtp; 550 5.1.1 No such user',
      'Last-Attempt-Date: Sun, 22 Nov 2026 18:00:30 +0000',
    ]);
  });

  test('says nothing of those who were reached', () => {
    assert.doesNotMatch(bounce.content.toString(), /somebody/);
  });

  test('returns the header of the mail and none of its body', () => {
    assert.match(original.body, /^Received: from app\r\n\tby relay; now\r\nMessage-ID/);
    assert.doesNotMatch(bounce.content.toString(), /secret/);
  });

  test('has status 4.4.7 for who expired, and 5.0.0 where the refusal had no enhanced code', () => {
    const others: Recipient[] = [
      { address: 'late@example.net', state: 'expired', reply: 'connect: connection refused', at: now },
      { address: 'plain@example.net', state: 'rejected', reply: '550 No', at: now },
    ];
    const { body } = parse(bounceOf(stored(), others)).status;
    assert.deepEqual(body.match(/Status: .*(?=\r)/g), ['Status: 4.4.7', 'Status: 5.0.0']);
    assert.deepEqual(body.match(/Diagnostic-Code: .*(?=\r)/g), ['Diagnostic-Code: smtp; 550 No']);
  });
});

suite('no bounce is due', () => {
  test('for the null sender: bounces never bounce', () => {
    assert.equal(buildBounce(stored({ sender: '' }), [rejected], context), undefined);
  });

  test('when nobody was rejected or expired', () => {
    const waiting: Recipient = { ...rejected, state: 'pending' };
    assert.equal(buildBounce(stored(), [delivered, waiting], context), undefined);
  });

  test('when the sender is no address that could stand in a header', () => {
    for (const sender of ['a@b\r\nBcc: c@d', 'a>@b', 'a@b\0', `${'a'.repeat(400)}@b`]) {
      assert.equal(buildBounce(stored({ sender }), [rejected], context), undefined);
    }
  });
});

suite('SMTPUTF8', () => {
  test('a mail with an internationalised address gets the internationalised report', () => {
    const bounce = bounceOf(stored({ smtpUtf8: true, sender: 'δοκιμή@example.com' }), [
      { ...rejected, address: '用户@example.net' },
    ]);
    const { headers, status, original } = parse(bounce);
    assert.deepEqual([bounce.envelope.smtpUtf8, bounce.envelope.eightBit], [true, true]);
    assert.match(headers.get('content-type') ?? '', /report-type=global-delivery-status/);
    assert.equal(status.headers.get('content-type'), 'message/global-delivery-status');
    assert.equal(original.headers.get('content-type'), 'message/global-headers');
    assert.match(status.body, /Final-Recipient: utf-8; 用户@example\.net/);
  });

  test('any other bounce is pure ASCII, whatever was in replies and headers', () => {
    const bounce = bounceOf(stored(), [{ ...rejected, reply: '550 用户不存在' }], {
      head: Buffer.from('Subject: Привет\r\n\r\n'),
    });
    assert.equal(
      bounce.content.every(byte => byte < 128),
      true,
    );
  });
});

suite('hostile content', () => {
  test('a boundary that the original header contains is not used', () => {
    const evil = Buffer.from('X-One: 1\r\n--report-01jabc--\r\n--report-01jabc-1\r\nX-Two: 2\r\n\r\n');
    const { boundary, original } = parse(bounceOf(stored(), [rejected], { head: evil }));
    assert.equal(boundary, 'report-01jabc-2');
    assert.match(original.body, /X-Two: 2/);
  });

  test('a reply with line ends adds no field', () => {
    const reply = '550 5.1.1 No\r\nAction: delivered\r\n\r\nFinal-Recipient: rfc822; x@y';
    const { status } = parse(bounceOf(stored(), [{ ...rejected, reply }]));
    assert.equal(status.body.match(/^Action:/gm)?.length, 1);
    assert.equal(status.body.match(/^Final-Recipient:/gm)?.length, 1);
  });

  test('a host name or token with other characters cannot leave its header', () => {
    const { headers } = parse(
      bounceOf(stored(), [rejected], { hostname: 'a b\r\nBcc: c', token: '"\r\n--x' }),
    );
    assert.equal(headers.get('message-id'), '<x@a-b--Bcc:-c>');
    assert.equal(headers.has('bcc'), false);
  });

  test('a header cut in the middle of a line loses that line', () => {
    const cut = Buffer.from('Subject: Hello\r\nX-Long: abcdef');
    const { original } = parse(bounceOf(stored(), [rejected], { head: cut }));
    assert.doesNotMatch(original.body, /X-Long/);
  });

  test('a Message-ID that is more than one is not referred to', () => {
    const odd = Buffer.from('Message-ID: <a@b> (comment\r\n evil)\r\n\r\n');
    assert.equal(parse(bounceOf(stored(), [rejected], { head: odd })).headers.has('in-reply-to'), false);
  });

  test('whatever is in replies, addresses and headers, the report keeps its structure', () => {
    const anyText = fc.string({ unit: 'binary', maxLength: 200 });
    const anyRecipient = fc.record(
      {
        address: anyText,
        state: fc.constantFrom<Recipient['state']>('rejected', 'expired'),
        reply: fc.oneof(anyText, fc.string({ unit: 'grapheme', minLength: 900, maxLength: 1500 })),
        provider: anyText,
      },
      { requiredKeys: ['address', 'state'] },
    );
    fc.assert(
      fc.property(
        fc.array(anyRecipient, { minLength: 1, maxLength: 4 }),
        fc.uint8Array({ maxLength: 3000 }),
        fc.boolean(),
        anyText,
        (recipients, bytes, smtpUtf8, hostname) => {
          const { status } = parse(
            bounceOf(stored({ smtpUtf8 }), recipients, { head: Buffer.from(bytes), hostname }),
          );
          assert.equal(status.body.match(/(?<=\r\n)Final-Recipient: /g)?.length, recipients.length);
        },
      ),
      { numRuns: 300 },
    );
  });
});
