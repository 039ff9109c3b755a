import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { describeConfig, describeForPeople } from '../../../relay/config/describe.ts';
import { keepRestartOnly, restartOnlyChanges } from '../../../relay/config/restart.ts';
import { compiled, one } from './memory-sources.ts';

const config = compiled(
  {
    forwardProviders: [
      { host: 'b.test', port: 587, username: 'someone', password: 'sesame', priority: 2 },
      { host: 'a.test', port: 465, ssl: true, username: 'someone', passwordFile: 'gone', priority: 1 },
      { host: 'fd00::1', port: 25, priority: 3, tls: { insecureSkipVerify: true } },
      { host: 'c.test', port: 25, priority: 4, tls: { required: true } },
    ],
    listener: { auth: { accounts: [{ username: 'someone', password: 'sesame' }], allowClearText: true } },
  },
  {},
);

describe('the description of a configuration', () => {
  test('shows people the effective order and what cannot be used', () => {
    const lines = describeForPeople(config).split('\n');
    assert.deepEqual(lines.slice(0, 6), [
      'Forwarding: on',
      'Providers, in the order in which they are tried:',
      '  1. a.test, a.test:465, priority 1: CANNOT BE USED: forwardProviders[1].passwordFile: gone cannot be read: no such file',
      '  2. b.test, b.test:587, priority 2, STARTTLS required, with authentication',
      '  3. fd00::1, [fd00::1]:25, priority 3, STARTTLS when offered, without authentication, certificate NOT verified',
      '  4. c.test, c.test:25, priority 4, STARTTLS required, without authentication',
    ]);
    assert.ok(lines.includes('Tries: 3 at each provider, first wait 1 s'));
    assert.ok(lines.includes('Resend: after 1 min, at most 1 h apart, given up after 5 d'));
    assert.ok(lines.includes(`Fingerprint: ${config.fingerprint}`));
    assert.equal(lines.filter(line => line.startsWith('Warning: ')).length, config.warnings.length);
  });

  test('is the same as JSON', () => {
    const json = JSON.parse(JSON.stringify(describeConfig(config)));
    assert.deepEqual(
      json.providers.map((provider: { name: string; authenticates: boolean }) => provider.name),
      ['a.test', 'b.test', 'fd00::1', 'c.test'],
    );
    assert.equal(json.listener.accounts, 1);
    assert.equal(json.fingerprint, config.fingerprint);
  });

  test('holds no password, no user name and no keyed digest in either form', () => {
    for (const text of [describeForPeople(config), JSON.stringify(describeConfig(config))]) {
      assert.doesNotMatch(text, /sesame|someone/);
      assert.ok(!text.includes(config.credentialsFingerprint));
    }
  });

  test('says when nothing can be sent', () => {
    const held = describeForPeople(compiled({ forwardSMTP: false }));
    assert.match(held, /^Forwarding: off \(mail is accepted and held\)$/m);
    assert.match(held, /^ {2}none that can be used/m);
  });
});

describe('what only a restart can change', () => {
  const before = compiled(one());

  test('is named, with both values', () => {
    const after = compiled(
      one({}, { smtpPort: 26, enableHealthCheck: false, dataDir: '/x', logLevel: 'warn' }),
    );
    assert.deepEqual(restartOnlyChanges(before, after), [
      'smtpPort: the change from 2525 to 26 needs a restart; until then 2525 stays in use',
      'healthCheckPort: the change from 8025 to off needs a restart; until then 8025 stays in use',
      'dataDir: the change from . to /x needs a restart; until then . stays in use',
    ]);
    const kept = keepRestartOnly(before, after);
    assert.deepEqual(
      [kept.listener.port, kept.health.port, kept.dataDir, kept.logLevel],
      [2525, 8025, '.', 'warn'],
    );
    assert.equal(kept.fingerprint, after.fingerprint);
    assert.equal(kept.warnings.length, 3);
  });

  test('is nothing when nothing such changed', () => {
    const after = compiled(one({ port: 588 }));
    assert.deepEqual(restartOnlyChanges(before, after), []);
    assert.equal(keepRestartOnly(before, after), after);
  });
});
