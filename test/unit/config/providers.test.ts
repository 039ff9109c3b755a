import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { compiled, fromEnv, one, refused } from './memory-sources.ts';
import { certificateFor } from './test-certificate.ts';

const at = (host: string, rest: object = {}) => ({ host, port: 587, ...rest });

describe('the order of providers', () => {
  test('is by priority, then by position; priority defaults to the position', () => {
    const config = compiled({
      forwardProviders: [
        at('a', { priority: 5 }),
        at('b'),
        at('c', { priority: 0 }),
        at('d', { priority: 1 }),
        at('e', { priority: -1 }),
      ],
    });
    assert.deepEqual(
      config.providers.map(({ name, priority }) => [name, priority]),
      [
        ['e', -1],
        ['c', 0],
        ['b', 1],
        ['d', 1],
        ['a', 5],
      ],
    );
  });
});

describe('names of providers', () => {
  const names = (...providers: object[]) =>
    compiled({ forwardProviders: providers }).providers.map(provider => provider.name);

  test('default to the host in lower case', () => {
    assert.deepEqual(names(at('SMTP.Example.com')), ['smtp.example.com']);
  });

  test('become host and port when two share the host, and are numbered when they share both', () => {
    assert.deepEqual(names(at('a'), { host: 'a', port: 465, ssl: true }, at('a'), at('b')), [
      'a:587',
      'a:465',
      'a:587#2',
      'b',
    ]);
  });

  test('give way to a given name', () => {
    assert.deepEqual(names(at('a'), at('b', { name: 'a' })), ['a:587', 'a']);
  });

  test('that are given twice are refused', () => {
    assert.deepEqual(
      refused({ forwardProviders: [at('a', { name: 'x' }), at('b'), at('c', { name: 'x' })] }),
      ['forwardProviders[2].name: "x" must be unique: forwardProviders[0] has it too'],
    );
  });
});

describe('credentials of a provider', () => {
  test('are absent when user name and password are absent or empty', () => {
    assert.equal(compiled(one()).providers[0]?.credentials, undefined);
    assert.equal(compiled(one({ username: '', password: '' })).providers[0]?.credentials, undefined);
    assert.equal(compiled(one()).providers[0]?.misconfigured, undefined);
  });

  test('come together or not at all', () => {
    const missingPassword =
      'forwardProviders[0].password: must be given, since there is a user name (or neither of them)';
    const missingName =
      'forwardProviders[0].username: must be given, since there is a password (or neither of them)';
    assert.deepEqual(refused(one({ username: 'u' })), [missingPassword]);
    assert.deepEqual(refused(one({ username: 'u', password: '' })), [missingPassword]);
    assert.deepEqual(refused(one({ usernameFile: 'u' })), [missingPassword]);
    assert.deepEqual(refused(one({ password: 'p' })), [missingName]);
    assert.deepEqual(refused(one({ username: '', passwordFile: 'p' })), [missingName]);
  });

  test('of the old form are named by its keys', () => {
    assert.deepEqual(refused({ forwardHost: 'a', forwardPort: 25, forwardUsername: 'u' }), [
      'forwardPassword: must be given, since there is a user name (or neither of them)',
    ]);
    assert.deepEqual(refused({ forwardHost: 'a' }), [
      'forwardPort: must be given: a whole number from 1 to 65535',
    ]);
  });

  test('are not given both in the file and beside it', () => {
    assert.deepEqual(refused(one({ username: 'u', usernameFile: 'f', password: 'p', passwordFile: 'f' })), [
      'forwardProviders[0].usernameFile: must not be given together with forwardProviders[0].username',
      'forwardProviders[0].passwordFile: must not be given together with forwardProviders[0].password',
    ]);
  });

  test('are read from files without the line ends at their end', () => {
    const config = compiled(one({ usernameFile: 'u', passwordFile: 'p' }), {
      files: { u: 'me\n', p: ' pass word \r\n\n' },
    });
    assert.deepEqual(config.providers[0]?.credentials, { username: 'me', password: ' pass word ' });
  });

  test('are read from the environment', () => {
    const config = compiled(one({ username: fromEnv('ME'), password: fromEnv('PASS_1') }), {
      env: { ME: 'me', PASS_1: 'secret' },
    });
    assert.deepEqual(config.providers[0]?.credentials, { username: 'me', password: 'secret' });
  });

  test('that merely contain an environment reference are taken as they are', () => {
    const config = compiled(one({ username: 'me', password: `x${fromEnv('ME')}` }));
    assert.equal(config.providers[0]?.credentials?.password, `x${fromEnv('ME')}`);
  });

  for (const [title, files, reason] of [
    ['missing', {}, 'forwardProviders[0].passwordFile: p cannot be read: no such file'],
    ['empty', { p: '\n' }, 'forwardProviders[0].passwordFile: p is empty'],
    [
      'of several lines',
      { p: 'one\ntwo\n' },
      'forwardProviders[0].passwordFile: p holds a line break or control character',
    ],
    [
      'too long',
      { p: 'x'.repeat(20_000) },
      'forwardProviders[0].passwordFile: p cannot be read: longer than 16384 bytes',
    ],
  ] as const) {
    test(`in a file that is ${title} make this provider misconfigured and leave the others`, () => {
      const config = compiled(
        { forwardProviders: [at('a', { username: 'u', passwordFile: 'p' }), at('b')] },
        { files },
      );
      assert.deepEqual(
        config.providers.map(({ name, misconfigured }) => [name, misconfigured]),
        [
          ['a', reason],
          ['b', undefined],
        ],
      );
      assert.equal(config.providers[0]?.credentials, undefined);
      assert.deepEqual(config.warnings, [`provider a cannot be used: ${reason}`]);
    });
  }

  test('in a variable that is not set, or is empty, make this provider misconfigured', () => {
    const file = one({ username: 'u', password: fromEnv('GONE') });
    assert.equal(
      compiled(file).providers[0]?.misconfigured,
      'forwardProviders[0].password: the environment variable GONE is not set',
    );
    assert.equal(
      compiled(file, { env: { GONE: '' } }).providers[0]?.misconfigured,
      'forwardProviders[0].password: the environment variable GONE is empty',
    );
  });
});

describe('TLS of a provider', () => {
  test('takes its authorities from a PEM file', () => {
    const { certificate } = certificateFor('ca.test');
    const config = compiled(one({ tls: { caFile: 'ca.pem', serverName: 'x.test', minVersion: 'TLSv1.3' } }), {
      files: { 'ca.pem': certificate },
    });
    assert.deepEqual(config.providers[0]?.tls, {
      required: false,
      ca: certificate,
      serverName: 'x.test',
      insecureSkipVerify: false,
      minVersion: 'TLSv1.3',
    });
  });

  for (const [title, files, reason] of [
    ['is missing', {}, 'ca.pem cannot be read: no such file'],
    ['holds no certificate', { 'ca.pem': 'hello' }, 'ca.pem holds no PEM certificate'],
    [
      'holds a broken one',
      { 'ca.pem': '-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n' },
      'ca.pem holds a certificate that cannot be decoded',
    ],
  ] as const) {
    test(`is misconfigured when the CA file ${title}`, () => {
      const config = compiled(one({ tls: { caFile: 'ca.pem' } }), { files });
      assert.equal(config.providers[0]?.misconfigured, `forwardProviders[0].tls.caFile: ${reason}`);
    });
  }

  test('that verifies nothing is allowed with a warning', () => {
    const config = compiled(one({ tls: { insecureSkipVerify: true } }));
    assert.equal(config.providers[0]?.tls.insecureSkipVerify, true);
    assert.deepEqual(config.warnings, [
      'forwardProviders[0].tls.insecureSkipVerify: true: credentials and mail go to whoever answers at smtp.example.com',
    ]);
  });

  test('that STARTTLS alone would bring, and no credentials demand, is allowed with a warning', () => {
    const warning =
      'forwardProviders[0].tls: is followed where smtp.example.com offers STARTTLS; without a user name mail goes in clear where it does not, unless forwardProviders[0].tls.required is true';
    const warnings = (provider: object) => compiled(one(provider)).warnings;
    const tls = { serverName: 'mx.example.com' };
    assert.deepEqual(warnings({ tls }), [warning]);
    assert.deepEqual(warnings({ tls, username: '', password: '' }), [warning]);
    assert.deepEqual(warnings({ tls, username: 'u', password: 'p' }), []);
    assert.deepEqual(warnings({ tls, ssl: true, port: 465 }), []);
    assert.deepEqual(warnings({ tls: { minVersion: 'TLSv1.2' } }), []);
    for (const required of [true, false]) assert.deepEqual(warnings({ tls: { ...tls, required } }), []);
  });

  const login = { username: 'u', password: 'p' };
  const implicit = { ssl: true, port: 465 };
  for (const [title, provider, required] of [
    ['is not required without a user name', {}, false],
    ['is not required without a user name, and the file may say so', { tls: { required: false } }, false],
    ['is required without a user name where the file says so', { tls: { required: true } }, true],
    ['is required with a user name', login, true],
    ['is required with a user name, and the file may say so', { ...login, tls: { required: true } }, true],
    [
      'is required with a user name in a file that is missing',
      { usernameFile: 'u', passwordFile: 'p' },
      true,
    ],
    ['is there from the first byte whatever is required', { ...implicit, tls: { required: false } }, true],
    [
      'is there from the first byte, with a user name too',
      { ...implicit, ...login, tls: { required: false } },
      true,
    ],
  ] as const) {
    test(title, () => {
      assert.equal(compiled(one(provider)).providers[0]?.tls.required, required);
    });
  }

  test('is required where there are credentials, and the file must not say otherwise', () => {
    const problem =
      'forwardProviders[0].tls.required: must not be false where there is a user name: credentials are sent over verified TLS only';
    const tls = { required: false };
    assert.deepEqual(refused(one({ ...login, tls })), [problem]);
    assert.deepEqual(refused(one({ usernameFile: 'u', passwordFile: 'p', tls })), [problem]);
    assert.deepEqual(refused(one({ username: fromEnv('ME'), password: 'p', tls }, { smtpPort: -1 })), [
      'smtpPort: -1 must be a whole number from 0 to 65535',
      problem,
    ]);
  });

  test('is said to be required by true or false; another value is the only thing that can be told', () => {
    const file = one({ ...login, tls: { required: 'no' } });
    assert.deepEqual(refused(file), ['forwardProviders[0].tls.required: "no" must be true or false']);
    assert.deepEqual(refused(one({ ...login, ssl: 'yes', tls: { required: false } })), [
      'forwardProviders[0].ssl: "yes" must be true or false',
    ]);
  });

  test('that does not go with the port is allowed with a warning', () => {
    assert.deepEqual(compiled(one({ port: 465 })).warnings, [
      'forwardProviders[0].ssl: false with port 465, where providers expect TLS from the first byte: should be true',
    ]);
    assert.deepEqual(compiled(one({ ssl: true })).warnings, [
      'forwardProviders[0].ssl: true with port 587, where providers expect STARTTLS: should be false',
    ]);
    assert.deepEqual(compiled({ forwardHost: 'a', forwardPort: 465 }).warnings, [
      'forwardSSL: false with port 465, where providers expect TLS from the first byte: should be true',
    ]);
    assert.deepEqual(compiled(one({ port: 465, ssl: true })).warnings, []);
  });
});

describe('limits and timeouts of a provider', () => {
  test('have defaults, in milliseconds and bytes', () => {
    const [provider] = compiled(one()).providers;
    assert.deepEqual(provider?.limits, {
      maxConnections: 20,
      maxRecipientsPerMessage: 50,
      messagesPerConnection: 1000,
      connectionLifetimeMs: 600_000,
      idleTimeoutMs: 30_000,
    });
    assert.deepEqual(provider?.timeouts, {
      connectMs: 5000,
      greetingMs: 10_000,
      commandMs: 60_000,
      dataBlockMs: 180_000,
      finalDotMs: 600_000,
    });
  });

  test('are taken from the file', () => {
    const limits = { maxConnections: 3, messagesPerSecond: 0.5, maxMessageBytes: 26_214_400 };
    const [provider] = compiled(one({ limits, timeouts: { connectSeconds: 2 } })).providers;
    assert.equal(provider?.limits.maxConnections, 3);
    assert.equal(provider?.limits.messagesPerSecond, 0.5);
    assert.equal(provider?.limits.maxMessageBytes, 26_214_400);
    assert.equal(provider?.timeouts.connectMs, 2000);
    assert.equal(provider?.timeouts.finalDotMs, 600_000);
  });
});
