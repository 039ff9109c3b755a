import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { parseReply, printable, replyLine } from '../../../relay/delivery/reply.ts';
import { ReplyReader } from '../../../relay/delivery/reply-reader.ts';

describe('a reply', () => {
  const readable: readonly [string, string, object][] = [
    ['of one line', '250 ok', { code: 250, text: 'ok' }],
    [
      'with an enhanced code',
      '550 5.1.1 No such user',
      { code: 550, enhanced: '5.1.1', text: 'No such user' },
    ],
    ['of a code alone', '354', { code: 354, text: '' }],
    ['of an enhanced code alone', '250 2.0.0', { code: 250, enhanced: '2.0.0', text: '' }],
    [
      'of several lines',
      '550-5.7.1 Our system has\n550-5.7.1 detected spam.\n550 5.7.1 See https://x.test',
      { code: 550, enhanced: '5.7.1', text: 'Our system has detected spam. See https://x.test' },
    ],
    [
      'whose later lines lack the enhanced code',
      '452-4.2.2 Mailbox full\n452 try later',
      { code: 452, enhanced: '4.2.2', text: 'Mailbox full try later' },
    ],
    ['whose text only looks like an enhanced code', '250 2.0 ok', { code: 250, text: '2.0 ok' }],
  ];
  for (const [title, text, expected] of readable) {
    test(`${title} is read`, () => assert.deepEqual(parseReply(text), expected));
  }

  for (const text of [
    '',
    'hello',
    '25 ok',
    '2500 ok',
    '250ok',
    '150 early',
    '650 late',
    '250-more',
    '250-one\n251 two',
    '250-one\nrubbish',
    '250 one\n250 two',
    ' 250 ok',
    '\u0000250 ok',
  ]) {
    test(`${JSON.stringify(text)} is none`, () => assert.equal(parseReply(text), undefined));
  }

  test('is printed as people know it', () => {
    assert.equal(replyLine({ code: 550, enhanced: '5.1.1', text: 'No such user' }), '550 5.1.1 No such user');
    assert.equal(replyLine({ code: 354, text: '' }), '354');
  });

  test('cannot forge a line of a log or move a terminal', () => {
    const reply = parseReply('550 bad\r{"level":"info"}\u001b[2J\u0007\u009b\u2028end');
    assert.equal(reply?.text, 'bad\\u000d{"level":"info"}\\u001b[2J\\u0007\\u009b\\u2028end');
  });

  test('is at most 512 characters long, marked where it was cut', () => {
    const text = parseReply(`550 ${'x'.repeat(10_000)}`)?.text;
    assert.equal(text?.length, 512);
    assert.ok(text?.endsWith('…'));
    assert.equal(printable('\u0001'.repeat(500)).length, 512);
  });
});

describe('the reply reader', () => {
  const replies = '220 a\r\n250-b\r\n250 c\r\n\r\n550 5.1.1 \u00fcber\n250 last\r\n';
  const expected = [
    { code: 220, text: 'a' },
    { code: 250, text: 'b c' },
    { code: 550, enhanced: '5.1.1', text: 'über' },
    { code: 250, text: 'last' },
  ];

  test('reads the same replies however the bytes are cut', () => {
    const bytes = Buffer.from(replies);
    fc.assert(
      fc.property(fc.array(fc.nat(bytes.length), { maxLength: 20 }), places => {
        const reader = new ReplyReader();
        const ends = [...places, bytes.length].toSorted((a, b) => a - b);
        const read = ends.flatMap((end, index) => reader.push(bytes.subarray(ends[index - 1] ?? 0, end)));
        assert.deepEqual(read, expected);
        assert.ok(reader.empty);
      }),
    );
  });

  test('says garbled once something is no reply', () => {
    assert.deepEqual(new ReplyReader().push(Buffer.from('250 ok\r\nHTTP/1.1 400\r\n')), [
      { code: 250, text: 'ok' },
      'garbled',
    ]);
  });

  test('does not buffer a line or a reply without end', () => {
    const reader = new ReplyReader();
    let read: unknown[] = [];
    for (let i = 0; i < 100 && read.length === 0; i++) read = reader.push(Buffer.from('x'.repeat(1000)));
    assert.deepEqual(read, ['garbled']);
    const other = new ReplyReader();
    read = [];
    for (let i = 0; i < 10_000 && read.length === 0; i++) read = other.push(Buffer.from('250-more\r\n'));
    assert.deepEqual(read, ['garbled']);
  });
});
