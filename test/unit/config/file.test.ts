import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { compile } from '../../../relay/config/compile.ts';
import { ConfigError } from '../../../relay/config/problems.ts';
import { decodeConfig, maxConfigBytes, readConfigText } from '../../../relay/config/read.ts';
import { compiled, fromEnv, one, refused, sources } from './memory-sources.ts';

describe('the text of config.json', () => {
  test('may have comments, trailing commas and a byte order mark', () => {
    const text = '\uFEFF/* all */ {"forwardProviders": [ // one\n {"host": "a", "port": 25,},],}\n';
    assert.equal(compiled(text).providers[0]?.host, 'a');
  });

  for (const [title, text, problem] of [
    ['empty', '', 'the file is empty: must be a JSON object'],
    ['blank', ' \n', 'the file is empty: must be a JSON object'],
    ['only a comment', '// nothing\n', 'line 2, column 1: a value must stand here'],
    ['a list', '[]', 'the file must be an object, not a list'],
    ['null', 'null', 'the file must be an object, not null'],
    ['a text', '"secret"', 'the file must be an object, not text'],
    [
      'not JSON',
      '{\n  "a": sesame\n}',
      'line 2, column 8: this is not JSON (a text must stand in double quotes)',
    ],
    ['cut off', '{"a": [1', 'line 1, column 9: a closing ] must stand here'],
    ['without a comma', '{"a": 1\n "b": 2}', 'line 2, column 2: a comma must stand here'],
    ['an open text', '{"a": "sesame}', 'line 1, column 7: the text is not closed by a double quote'],
    ['two values', '{} {}', 'line 1, column 4: the file must end here'],
    ['a key given twice', '{"a": 1,\n "a": 2}', 'line 2, column 2: "a" is given twice'],
    ['nested too deeply', '['.repeat(100_000), 'line 1, column 33: nesting must be at most 32 levels deep'],
    ['too long', `"${'x'.repeat(maxConfigBytes)}"`, `the file must be at most ${maxConfigBytes} bytes long`],
  ] as const) {
    test(`is refused when it is ${title}`, () => {
      assert.deepEqual(refused(text), [problem]);
    });
  }

  test('is refused when it is not UTF-8', () => {
    assert.throws(() => decodeConfig(Buffer.from([0x7b, 0xff, 0x7d])), {
      name: 'ConfigError',
      message: 'the file must be UTF-8 text',
    });
  });

  test('cannot reach the prototype of anything', () => {
    const config = compiled('{"__proto__": {"forwardSMTP": false}, "forwardHost": "a", "forwardPort": 25}');
    assert.equal(config.forwarding, true);
    assert.deepEqual(config.warnings, ['__proto__: is not a known key and is ignored']);
  });
});

describe('keys that nobody knows', () => {
  test('are warnings at the top, with the nearest known key', () => {
    assert.deepEqual(compiled(one({}, { smtpPrt: 1, Listener: {}, zebra: 1 })).warnings, [
      'smtpPrt: is not a known key and is ignored; did you mean smtpPort?',
      'Listener: is not a known key and is ignored; did you mean listener?',
      'zebra: is not a known key and is ignored',
    ]);
  });

  test("are warnings in the original program's groups", () => {
    assert.deepEqual(compiled(one({}, { security: { requireAuht: true }, rateLimits: { x: 1 } })).warnings, [
      'security.requireAuht: is not a known key and is ignored; did you mean security.requireAuth?',
      'rateLimits.x: is not a known key and is ignored',
    ]);
  });

  test('are errors inside a provider and its groups', () => {
    assert.deepEqual(refused(one({ username: 'u', pasword: 'hunter2' })), [
      'forwardProviders[0].pasword: is not a known key: did you mean password?',
    ]);
    assert.deepEqual(refused(one({ limits: { maxConections: 1 }, tls: { insecure: true, zebra: 1 } })), [
      'forwardProviders[0].limits.maxConections: is not a known key: did you mean maxConnections?',
      'forwardProviders[0].tls.insecure: is not a known key: did you mean insecureSkipVerify?',
      'forwardProviders[0].tls.zebra: is not a known key: must be one of required, serverName, insecureSkipVerify, minVersion, caFile',
    ]);
  });

  test('are errors inside the other groups', () => {
    for (const [group, key, near] of [
      ['retry', 'atempts', 'attempts'],
      ['resend', 'expireAfter', 'expireAfterSeconds'],
      ['listener', 'allowedNetwork', 'allowedNetworks'],
      ['shutdown', 'zebra', undefined],
    ] as const) {
      const [problem] = refused(one({}, { [group]: { [key]: 1 } }));
      const hint =
        near === undefined ? 'must be one of graceSeconds, deadlineSeconds' : `did you mean ${near}?`;
      assert.equal(problem, `${group}.${key}: is not a known key: ${hint}`);
    }
  });
});

describe('values that are not allowed', () => {
  for (const [file, problem] of [
    [one({ port: 70_000 }), 'forwardProviders[0].port: 70000 must be a whole number from 1 to 65535'],
    [one({ port: 1.5 }), 'forwardProviders[0].port: 1.5 must be a whole number from 1 to 65535'],
    [one({ port: '587' }), 'forwardProviders[0].port: "587" must be a whole number from 1 to 65535'],
    [one({ port: null }), 'forwardProviders[0].port: null must be a whole number from 1 to 65535'],
    [
      one({ host: 'smtp://u:secret@a:25' }),
      'forwardProviders[0].host: "…@a:25" must be a host name or an IP address, without scheme and port',
    ],
    [
      one({ host: 'smtp.example.com:587' }),
      'forwardProviders[0].host: "smtp.example.com:587" must be a host name or an IP address, without scheme and port',
    ],
    [one({ ssl: 'false' }), 'forwardProviders[0].ssl: "false" must be true or false'],
    [
      one({ priority: 'first' }),
      'forwardProviders[0].priority: "first" must be a whole number from -2147483648 to 2147483647',
    ],
    [
      one({ name: 'a b' }),
      'forwardProviders[0].name: "a b" must be text of 1 to 63 letters, digits, and . _ : - between them',
    ],
    [
      one({ tls: { minVersion: 'TLSv1' } }),
      'forwardProviders[0].tls.minVersion: "TLSv1" must be one of "TLSv1.2", "TLSv1.3"',
    ],
    [one({ tls: true }), 'forwardProviders[0].tls: true must be an object'],
    [
      one({ limits: { messagesPerSecond: 0 } }),
      'forwardProviders[0].limits.messagesPerSecond: 0 must be a number from 0.01 to 100000',
    ],
    [{ forwardProviders: {} }, 'forwardProviders: an object must be a list of at most 32 providers'],
    [
      { forwardProviders: [{ port: 25 }] },
      'forwardProviders[0].host: must be given: a host name or an IP address, without scheme and port',
    ],
    [{ forwardProviders: ['a'] }, 'forwardProviders[0]: "a" must be an object'],
    [one({}, { forwardSMTP: 'yes' }), 'forwardSMTP: "yes" must be true or false'],
    [one({}, { retry: { attempts: 0 } }), 'retry.attempts: 0 must be a whole number from 1 to 10'],
    [one({}, { logLevel: 'loud' }), 'logLevel: "loud" must be one of "debug", "info", "warn", "error"'],
    [one({}, { resend: { jitter: 2 } }), 'resend.jitter: 2 must be a number from 0 to 0.9'],
    [
      one({}, { resend: { initialDelaySeconds: 100, maxDelaySeconds: 10 } }),
      'resend.maxDelaySeconds: 10 must be at least resend.initialDelaySeconds, which is 100',
    ],
    [
      one({}, { draining: Array.from({ length: 201 }, (_, n) => `mail-${n}`) }),
      'draining: a list must be a list of at most 200 host names',
    ],
    [one({}, { smtpPort: 8025 }), 'healthCheckPort: 8025 must differ from smtpPort'],
    [
      one({}, { replyRules: [{ meaning: 'too-large' }] }),
      'replyRules[0]: must have at least one of code, enhanced and contains',
    ],
    [
      one({}, { replyRules: [{ enhanced: '5.x', meaning: 'too-large' }] }),
      'replyRules[0].enhanced: "5.x" must be an enhanced code such as "5.7.1"',
    ],
    [{}, 'forwardProviders: must list at least one provider, or forwardSMTP must be false'],
    [
      { forwardSMTP: true, forwardProviders: [], forwardHost: '' },
      'forwardProviders: must list at least one provider, or forwardSMTP must be false',
    ],
  ] as const) {
    test(`are refused by name: ${problem.slice(0, 70)}`, () => {
      assert.deepEqual(refused(file), [problem]);
    });
  }

  test('are all named at once', () => {
    const problems = refused(one({ port: 0, ssl: 1 }, { adminPort: -1 }));
    assert.deepEqual(
      problems.map(problem => problem.split(':')[0]),
      ['forwardProviders[0].port', 'forwardProviders[0].ssl', 'adminPort'],
    );
  });

  test('are named together with what the other values say together', () => {
    const file = {
      forwardProviders: [
        { host: 'a', port: 0, username: 'u' },
        { host: 'b', port: 25, name: 'x' },
        { host: 'c', port: 25, name: 'x' },
        'd',
      ],
      resend: { initialDelaySeconds: 100, maxDelaySeconds: 10, jitter: 7 },
      smtpPort: 8026,
      listener: {
        allowedNetworks: ['10.0.0.0/33', '0.0.0.0/0'],
        auth: { accounts: [{ username: 'u' }, {}] },
      },
    };
    assert.deepEqual(
      refused(file).map(problem => problem.split(':')[0]),
      [
        'forwardProviders[0].port',
        'forwardProviders[3]',
        'resend.jitter',
        'listener.allowedNetworks[0]',
        'forwardProviders[2].name',
        'forwardProviders[0].password',
        'listener.allowedNetworks[1]',
        'listener.auth.accounts[0].password',
        'listener.auth.accounts[1].username',
        'resend.maxDelaySeconds',
        'adminPort',
      ],
    );
  });

  for (const [what, file] of [
    ['a user name that is no text', one({ username: 5, password: 'p' })],
    ['a password whose key is misspelt', one({ username: 'u', pasword: 'p' })],
    ['a password file whose key is misspelt', one({ username: 'u', paswordFile: 'p' })],
    [
      'a delay that is no number',
      one({}, { resend: { initialDelaySeconds: 7200, maxDelaySeconds: 'long' } }),
    ],
    ['a port that is no number', one({}, { healthCheckPort: 'high', smtpPort: 8025 })],
    ['providers that are no list', { forwardProviders: 'none' }],
    ['a switch that is no switch', { forwardSMTP: 'no' }],
    [
      'accounts that are no list',
      one({}, { listener: { auth: { required: true, allowClearText: true, accounts: 1 } } }),
    ],
    [
      'a certificate whose key is misspelt',
      one(
        {},
        { defaultUsername: 'u', defaultPassword: 'p', listener: { auth: { required: true }, tsl: {} } },
      ),
    ],
    [
      'a group that is no group',
      one({}, { defaultUsername: 'u', defaultPassword: 'p', listener: { auth: 'required' } }),
    ],
  ] as const) {
    test(`are named alone where the rest cannot be told: ${what}`, () => {
      assert.equal(refused(file).length, 1, refused(file).join('; '));
    });
  }

  test('are never shown when they are secrets or user names', () => {
    const problems = refused(
      one(
        { username: ['sesame'], password: 'ses\name' },
        { defaultPassword: { p: 'sesame' }, forwardUsername: 12_345 },
      ),
    );
    assert.equal(problems.length, 4);
    assert.doesNotMatch(problems.join(), /sesame|ses|12345/);
  });
});

describe('forwardSMTP', () => {
  test('false needs no provider', () => {
    const config = compiled({ forwardSMTP: false });
    assert.deepEqual([config.forwarding, config.providers], [false, []]);
  });

  test('is true when absent', () => {
    assert.equal(compiled(one()).forwarding, true);
  });
});

describe('keys of the original program without effect', () => {
  test('are accepted with a warning', () => {
    const file = one(
      {},
      {
        batchSize: 20,
        batchDelay: 1000,
        dkim: { enabled: true },
        directDelivery: { enabled: false },
        security: { logAllEmails: true },
      },
    );
    assert.deepEqual(compiled(file).warnings, [
      'batchSize: has no effect: mail is sent as it arrives, not in batches; see limits.maxConnections',
      'batchDelay: has no effect: mail is sent as it arrives, not in batches; see limits.messagesPerSecond',
      'dkim: has no effect: messages are passed on unchanged; let the provider or the application sign them',
      'security.logAllEmails: has no effect: every attempt is logged, message content never',
    ]);
  });
});

describe('whole files', () => {
  test('of the original program are read; AUTH without TLS must be allowed by name', () => {
    const file = {
      smtpHost: '127.0.0.1',
      smtpPort: 25,
      defaultUsername: 'noreply@example.com',
      defaultPassword: 'sesame',
      directDelivery: { enabled: false },
      forwardSMTP: true,
      forwardHost: 'smtp.example.com',
      forwardPort: 587,
      forwardUsername: 'me@example.com',
      forwardPassword: 'sesame',
      forwardSSL: false,
      batchSize: 20,
      batchDelay: 1000,
      enableHealthCheck: true,
      healthCheckPort: 8025,
      rateLimits: { enabled: true, maxPerHour: 500, maxPerDay: 2000 },
      security: { allowLocalOnly: true, logAllEmails: false, requireAuth: true },
    };
    assert.match(refused(file).join(), /^listener\.tls: must be given, since authentication is required/);
    const config = compiled({ ...file, listener: { auth: { allowClearText: true } } });
    assert.deepEqual(
      [
        config.listener.host,
        config.listener.port,
        config.listener.requireAuth,
        config.listener.accounts.length,
      ],
      ['127.0.0.1', 25, true, 1],
    );
    assert.deepEqual(config.listener.allowedNetworks, ['127.0.0.0/8', '::1/128']);
    assert.deepEqual(config.listener.senderRates, { maxPerHour: 500, maxPerDay: 2000 });
    assert.deepEqual(
      config.warnings.map(warning => warning.split(':')[0]),
      ['batchSize', 'batchDelay', 'listener.auth.allowClearText'],
    );
  });

  for (const page of ['README.md', 'docs/configuration.md']) {
    test(`shown in ${page} can be used as they stand`, () => {
      const text = readFileSync(new URL(`../../../${page}`, import.meta.url), 'utf8');
      const examples = [...text.matchAll(/```jsonc?\n(.*?)```/gs)];
      assert.ok(examples.length > 0);
      for (const [, example = ''] of examples) {
        const outside = {
          files: { 'secrets/primary': 'sesame', 'backup.password': 'sesame' },
          env: { BACKUP_PASSWORD: 'sesame', EMERGENCY_PASSWORD: 'sesame' },
        };
        assert.deepEqual(compiled(example, outside).warnings, []);
      }
    });
  }
});

describe('everything else at the top', () => {
  test('has the documented defaults', () => {
    const config = compiled(one());
    assert.deepEqual(config.retry, { attempts: 3, initialDelayMs: 1000, multiplier: 2, patienceMs: 5000 });
    assert.deepEqual(config.resend, {
      initialDelayMs: 60_000,
      maxDelayMs: 3_600_000,
      multiplier: 2,
      jitter: 0.2,
      expireAfterMs: 432_000_000,
      deadRetentionMs: 2_592_000_000,
      deadMaxMessages: 100_000,
      deadMaxBytes: 1_073_741_824,
      bounces: false,
    });
    assert.deepEqual(config.health, { host: '127.0.0.1', port: 8025 });
    assert.deepEqual([config.adminPort, config.dataDir, config.logLevel], [8026, '.', 'info']);
    assert.deepEqual(config.shutdown, { graceMs: 3000, deadlineMs: 25_000 });
    assert.equal('diskReserveBytes' in config, false);
    assert.deepEqual(config.replyRules, []);
  });

  test('is taken from the file', () => {
    const rule = {
      stage: 'auth',
      code: 451,
      contains: 'Authentication failed',
      meaning: 'authentication-failed',
    };
    const config = compiled(
      one(
        {},
        { smtpHost: '0.0.0.0', healthCheckPort: 9000, diskReserveBytes: 5, replyRules: [rule], $schema: 'x' },
      ),
    );
    assert.deepEqual(config.health, { host: '0.0.0.0', port: 9000 });
    assert.equal(config.diskReserveBytes, 5);
    assert.deepEqual(config.replyRules, [rule]);
    assert.deepEqual(config.warnings, []);
  });

  test('has no health port when enableHealthCheck is false', () => {
    assert.deepEqual(compiled(one({}, { enableHealthCheck: false, smtpPort: 8025 })).health, {
      host: '127.0.0.1',
    });
  });

  test('may leave every port to the system', () => {
    assert.equal(compiled(one({}, { smtpPort: 0, adminPort: 0, healthCheckPort: 0 })).adminPort, 0);
  });
});

describe('compiling', () => {
  const known = [
    'forwardSMTP',
    'forwardProviders',
    'forwardHost',
    'forwardPort',
    'listener',
    'retry',
    'host',
    'port',
    'tls',
    'security',
    'rateLimits',
    'allowedNetworks',
    'auth',
    'accounts',
    'username',
    'password',
    'dkim',
  ];
  const value = fc.letrec(tie => ({
    json: fc.oneof(
      { maxDepth: 4 },
      fc.constantFrom('a', '', '0.0.0.0/0', fromEnv('X'), 'TLSv1.3'),
      fc.jsonValue({ maxDepth: 1 }),
      fc.integer({ min: -5, max: 70_000 }),
      fc.boolean(),
      fc.array(tie('json'), { maxLength: 3 }),
      fc.dictionary(fc.oneof(fc.constantFrom(...known), fc.string()), tie('json'), { maxKeys: 5 }),
    ),
  })).json;

  test('of any JSON ends in a configuration or in a ConfigError', () => {
    fc.assert(
      fc.property(value, file => {
        try {
          compile(readConfigText(JSON.stringify(file)), sources());
        } catch (error) {
          assert.ok(error instanceof ConfigError, String(error));
          assert.ok(error.problems.length > 0);
        }
      }),
      { numRuns: 500 },
    );
  });

  test('of any text ends in a configuration or in a ConfigError', () => {
    fc.assert(
      fc.property(
        fc.oneof(fc.string(), fc.string({ unit: fc.constantFrom(...'{}[]",:/*\\u01 \ntrue') })),
        text => {
          try {
            compile(readConfigText(text), sources());
          } catch (error) {
            assert.ok(error instanceof ConfigError, String(error));
          }
        },
      ),
      { numRuns: 500 },
    );
  });
});
