import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { fingerprintOf } from '../../../relay/config/fingerprint.ts';
import { compiled, fromEnv, one } from './memory-sources.ts';

describe('the fingerprint', () => {
  const text = '{"forwardSMTP": true, "forwardProviders": [{"host": "a", "port": 25}]}';

  test('is that of the text, computed with or without compiling', () => {
    assert.match(fingerprintOf(text), /^[0-9a-f]{16}$/);
    assert.equal(compiled(text).fingerprint, fingerprintOf(text));
  });

  test('stays the same from one version of the program to the next', () => {
    assert.equal(fingerprintOf(text), '82c237c8f5f5babf');
  });

  test('does not depend on comments, white space and the order of keys', () => {
    const same =
      '\uFEFF{ // hello\n "forwardProviders": [{"port": 25, "host": "a",}], "forwardSMTP": true }\n';
    assert.equal(fingerprintOf(same), fingerprintOf(text));
  });

  test('depends on every value and on the order of a list', () => {
    const seen = new Set(
      [
        text,
        text.replace('true', 'false'),
        text.replace('25', '26'),
        text.replace('"a"', '"b"'),
        text.replace('{"host"', '{"name": "n", "host"'),
        '{"x": [1, 2]}',
        '{"x": [2, 1]}',
      ].map(fingerprintOf),
    );
    assert.equal(seen.size, 7);
  });

  test('does not depend on passwords, whatever their key is called', () => {
    const withPassword = (password: string) =>
      fingerprintOf(
        JSON.stringify({
          ...one({ username: 'u', password }),
          forwardPassword: password,
          forwardPasword: password,
        }),
      );
    assert.equal(withPassword('one'), withPassword('two'));
    assert.notEqual(withPassword('one'), withPassword(''), 'whether there is one is no secret');
    assert.notEqual(withPassword(fromEnv('A')), withPassword(fromEnv('B')), 'nor is where it comes from');
  });

  test('changes with resendRequestedAt, so that asking again is a change', () => {
    const revision = (resendRequestedAt: string) => compiled(one({}, { resendRequestedAt })).fingerprint;
    assert.notEqual(revision('1'), revision('2'));
  });
});

describe('the fingerprint of credentials', () => {
  const file = one({ username: 'u', passwordFile: 'p', tls: { caFile: 'ca' } });
  const print = (files: Record<string, string>, key?: string) =>
    compiled(file, key === undefined ? { files } : { files, key }).credentialsFingerprint;

  test('changes with the content of every file, and with nothing else in the text', () => {
    const before = print({ p: 'one', ca: 'x' });
    assert.match(before, /^[0-9a-f]{16}$/);
    assert.equal(print({ p: 'one', ca: 'x' }), before);
    assert.notEqual(print({ p: 'two', ca: 'x' }), before);
    assert.notEqual(print({ p: 'one', ca: 'y' }), before);
    assert.notEqual(print({ ca: 'x' }), before);
    const elsewhere = compiled({ ...file, smtpPort: 26 }, { files: { p: 'one', ca: 'x' } });
    assert.equal(elsewhere.credentialsFingerprint, before);
  });

  test('leaves the fingerprint of the text alone', () => {
    assert.equal(
      compiled(file, { files: { p: 'one' } }).fingerprint,
      compiled(file, { files: { p: 'two' } }).fingerprint,
    );
  });

  test('changes with passwords in the text and in the environment', () => {
    const inText = (password: string) => compiled(one({ username: 'u', password })).credentialsFingerprint;
    assert.notEqual(inText('one'), inText('two'));
    const inEnv = (P: string) =>
      compiled(one({ username: 'u', password: fromEnv('P') }), { env: { P } }).credentialsFingerprint;
    assert.notEqual(inEnv('one'), inEnv('two'));
  });

  test('says nothing without the key of the process', () => {
    assert.notEqual(print({ p: 'one' }, 'a'), print({ p: 'one' }, 'b'));
  });
});
