import assert from 'node:assert/strict';
import { test } from 'node:test';
import { noCapabilities, parseCapabilities } from '../../../relay/delivery/capabilities.ts';

test('EHLO keywords are read whatever their case and order', () => {
  const reply =
    '250-mx.test at your service\n250-pipelining\n250-SIZE 35882577\n250-8BITMIME\n250-StartTLS\n250-AUTH LOGIN PLAIN XOAUTH2\n250 SMTPUTF8';
  assert.deepEqual(parseCapabilities(reply), {
    pipelining: true,
    startTls: true,
    eightBitMime: true,
    smtpUtf8: true,
    size: true,
    maxSize: 35_882_577,
    mechanisms: ['LOGIN', 'PLAIN', 'XOAUTH2'],
  });
});

test('the name in the first line is no keyword', () => {
  assert.deepEqual(parseCapabilities('250-PIPELINING\n250 HELP'), noCapabilities);
});

test('SIZE without a number, zero or nonsense is no limit', () => {
  for (const size of ['SIZE', 'SIZE 0', 'SIZE many', 'SIZE 99999999999999999999']) {
    const { size: offered, maxSize } = parseCapabilities(`250-x\n250 ${size}`);
    assert.deepEqual([offered, maxSize], [true, undefined], size);
  }
});

test('the old form AUTH= is understood beside the new one', () => {
  const { mechanisms } = parseCapabilities('250-x\n250-AUTH=LOGIN\n250 AUTH PLAIN');
  assert.deepEqual(mechanisms, ['LOGIN', 'PLAIN']);
});
