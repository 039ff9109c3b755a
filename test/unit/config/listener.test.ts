import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { defaultNetworks, isNetwork, isTooWide } from '../../../relay/config/networks.ts';
import { compiled, fromEnv, one, refused } from './memory-sources.ts';
import { certificateFor, endOf } from './test-certificate.ts';

const clear = { allowClearText: true };
const account = { username: 'app', password: 'sesame' };

describe('the listener', () => {
  test('has the documented defaults', () => {
    assert.deepEqual(compiled(one()).listener, {
      host: '127.0.0.1',
      port: 2525,
      hostname: 'relay.test',
      maxMessageBytes: 52_428_800,
      maxRecipients: 1000,
      maxConnections: 1000,
      maxConnectionsPerClient: 200,
      allowedNetworks: [
        '127.0.0.0/8',
        '::1/128',
        '10.0.0.0/8',
        '172.16.0.0/12',
        '192.168.0.0/16',
        '169.254.0.0/16',
        'fc00::/7',
        'fe80::/10',
      ],
      accounts: [],
      requireAuth: false,
      allowClearTextAuth: false,
      bareNewlines: 'refuse',
      idleTimeoutMs: 300_000,
      dataTimeoutMs: 600_000,
      maxReceivedHeaders: 50,
    });
  });

  test("takes the original program's rate limits when they are enabled", () => {
    const limits = { maxPerHour: 5, maxPerDay: 6 };
    assert.deepEqual(
      compiled(one({}, { rateLimits: { enabled: true, ...limits } })).listener.senderRates,
      limits,
    );
    assert.equal(compiled(one({}, { rateLimits: limits })).listener.senderRates, undefined);
  });
});

describe('who may send', () => {
  test('is said by networks and addresses, which get their prefix length', () => {
    const allowedNetworks = ['10.1.2.3', 'fd00::1', '203.0.113.0/24'];
    assert.deepEqual(compiled(one({}, { listener: { allowedNetworks } })).listener.allowedNetworks, [
      '10.1.2.3/32',
      'fd00::1/128',
      '203.0.113.0/24',
    ]);
  });

  test('can be nobody without authentication', () => {
    assert.deepEqual(compiled(one({}, { listener: { allowedNetworks: [] } })).listener.allowedNetworks, []);
  });

  for (const network of ['0.0.0.0/0', '::/0', '128.0.0.0/1', '2000::/3', '::ffff:0:0/96', 'f000::/4']) {
    test(`is never everybody: ${network} needs required authentication`, () => {
      assert.deepEqual(refused(one({}, { listener: { allowedNetworks: ['10.0.0.0/8', network] } })), [
        `listener.allowedNetworks[1]: "${network}" must be /8 or narrower (IPv4) or /16 or narrower (IPv6), unless listener.auth.required is true: this would be an open relay`,
      ]);
      const auth = { required: true, accounts: [account], ...clear };
      const config = compiled(one({}, { listener: { allowedNetworks: [network], auth } }));
      assert.deepEqual(config.listener.allowedNetworks, [network]);
      assert.equal(config.listener.requireAuth, true);
    });
  }

  for (const wrong of [
    '10.0.0.0/33',
    '10.0.0/8',
    'fd00::/129',
    'example.com',
    '10.0.0.0/',
    '10.0.0.0/8/8',
    '0x0a.0.0.1',
    'fe80::1%eth0',
    '',
  ]) {
    test(`is not said by ${JSON.stringify(wrong)}`, () => {
      assert.deepEqual(refused(one({}, { listener: { allowedNetworks: [wrong] } })), [
        `listener.allowedNetworks[0]: ${JSON.stringify(wrong)} must be a network such as "10.0.0.0/8" or "fd00::/8", or an IP address`,
      ]);
    });
  }

  test('is by default said by networks that are not too wide', () => {
    for (const network of defaultNetworks)
      assert.deepEqual([isNetwork(network), isTooWide(network)], [true, false]);
  });

  test('is this machine alone with security.allowLocalOnly', () => {
    const rest = {
      smtpHost: '0.0.0.0',
      security: { allowLocalOnly: true },
      listener: { allowedNetworks: ['10.0.0.0/8'] },
    };
    const config = compiled(one({}, rest));
    assert.equal(config.listener.host, '127.0.0.1');
    assert.deepEqual(config.listener.allowedNetworks, ['127.0.0.0/8', '::1/128']);
    assert.deepEqual(config.warnings, [
      'smtpHost: 0.0.0.0 is replaced by 127.0.0.1, since security.allowLocalOnly is true',
      'listener.allowedNetworks: is ignored, since security.allowLocalOnly is true',
    ]);
    assert.deepEqual(compiled(one({}, { security: { allowLocalOnly: true } })).warnings, []);
  });
});

describe('authentication of clients', () => {
  test('takes accounts from the file, from files, from the environment, and the default account', () => {
    const accounts = [
      account,
      { username: 'b', passwordFile: 'b' },
      { username: fromEnv('C'), password: fromEnv('P') },
    ];
    const config = compiled(
      one({}, { listener: { auth: { accounts, ...clear } }, defaultUsername: 'd', defaultPassword: 'dd' }),
      { files: { b: 'bb\n' }, env: { C: 'c', P: 'cc' } },
    );
    assert.deepEqual(config.listener.accounts, [
      account,
      { username: 'b', password: 'bb' },
      { username: 'c', password: 'cc' },
      { username: 'd', password: 'dd' },
    ]);
  });

  test('leaves out an account whose password is missing, and says so', () => {
    const accounts = [{ username: 'a', passwordFile: 'gone' }, account];
    const config = compiled(one({}, { listener: { auth: { accounts, ...clear } } }));
    assert.deepEqual(config.listener.accounts, [account]);
    assert.ok(
      config.warnings.includes(
        'listener.auth.accounts[0].passwordFile: gone cannot be read: no such file: this account cannot authenticate',
      ),
    );
  });

  test('lets the first of two accounts with one name win, and says so', () => {
    const accounts = [account, { ...account, password: 'other' }];
    const config = compiled(one({}, { listener: { auth: { accounts, ...clear } } }));
    assert.deepEqual(config.listener.accounts, [account]);
    assert.ok(
      config.warnings.includes(
        'listener.auth.accounts[1].username: is that of an earlier account, which wins',
      ),
    );
  });

  test('refuses an account that is half or empty', () => {
    assert.deepEqual(refused(one({}, { defaultUsername: 'd' })), [
      'defaultPassword: must be given, since there is a user name (or neither of them)',
    ]);
    assert.deepEqual(refused(one({}, { listener: { auth: { accounts: [{}] } } })), [
      'listener.auth.accounts[0].username: must be given',
    ]);
  });

  test('that is required needs an account, and TLS or the word that clear text is allowed', () => {
    const noAccount =
      'listener.auth.accounts: must list at least one account (or defaultUsername and defaultPassword must be given), since authentication is required';
    const noTls =
      'listener.tls: must be given, since authentication is required and offered only under TLS (or listener.auth.allowClearText must be true)';
    assert.deepEqual(refused(one({}, { security: { requireAuth: true } })), [noAccount, noTls]);
    assert.deepEqual(refused(one({}, { listener: { auth: { required: true, accounts: [account] } } })), [
      noTls,
    ]);
    assert.deepEqual(refused(one({}, { listener: { auth: { required: true, ...clear } } })), [noAccount]);
    const legacy = { defaultUsername: 'd', defaultPassword: 'dd', security: { requireAuth: true } };
    assert.equal(compiled(one({}, { ...legacy, listener: { auth: clear } })).listener.requireAuth, true);
  });

  test('warns where it is not offered, and where it is offered in clear', () => {
    assert.deepEqual(compiled(one({}, { listener: { auth: { accounts: [account] } } })).warnings, [
      'listener.auth: AUTH is not offered, since listener.tls is absent and listener.auth.allowClearText is false',
    ]);
    assert.deepEqual(compiled(one({}, { listener: { auth: { accounts: [account], ...clear } } })).warnings, [
      'listener.auth.allowClearText: true: passwords of clients may cross the network readably',
    ]);
  });
});

describe('the certificate of the listener', () => {
  const tls = { certificateFile: 'cert.pem', keyFile: 'key.pem' };
  const pair = certificateFor('relay.test');
  const other = certificateFor('other.test');

  test('is taken from its files', () => {
    const files = { 'cert.pem': pair.certificate, 'key.pem': pair.key };
    assert.deepEqual(compiled(one({}, { listener: { tls } }), { files }).listener.tls, pair);
  });

  test('says when it ends, where there is one', () => {
    const files = { 'cert.pem': pair.certificate, 'key.pem': pair.key };
    const { certificateEndsAt = 0 } = compiled(one({}, { listener: { tls } }), { files }).listener;
    assert.equal(new Date(certificateEndsAt).toUTCString(), endOf(pair.certificate));
    assert.equal(compiled(one({})).listener.certificateEndsAt, undefined);
  });

  test('needs both files', () => {
    assert.deepEqual(refused(one({}, { listener: { tls: { keyFile: 'k' } } })), [
      'listener.tls.certificateFile: must be given: text of 1 to 4096 characters without control characters',
    ]);
  });

  for (const [title, files, warning] of [
    [
      'is missing',
      { 'key.pem': pair.key },
      'listener.tls.certificateFile: cert.pem cannot be read: no such file: STARTTLS is not offered',
    ],
    [
      'has no key',
      { 'cert.pem': pair.certificate },
      'listener.tls.keyFile: key.pem cannot be read: no such file: STARTTLS is not offered',
    ],
    [
      'has the key of another',
      { 'cert.pem': pair.certificate, 'key.pem': other.key },
      'listener.tls.certificateFile: cert.pem and key.pem are not a PEM pair: STARTTLS is not offered',
    ],
    [
      'is not PEM',
      { 'cert.pem': 'x', 'key.pem': pair.key },
      'listener.tls.certificateFile: cert.pem and key.pem are not a PEM pair: STARTTLS is not offered',
    ],
  ] as const) {
    test(`is not used when it ${title}, with a warning`, () => {
      const config = compiled(one({}, { listener: { tls } }), { files });
      assert.equal(config.listener.tls, undefined);
      assert.equal(config.listener.certificateEndsAt, 0);
      assert.deepEqual(config.warnings, [warning]);
    });
  }
});
