import assert from 'node:assert/strict';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { stringify } from 'yaml';
import { ConnectionConfigError, loadConnection } from '../../../operator/kube/connection.ts';
import { fileToken } from '../../../operator/kube/token.ts';
import { ManualClock } from '../../kube/manual-clock.ts';

const pem = (what: string) => `-----BEGIN CERTIFICATE-----\n${what}\n-----END CERTIFICATE-----\n`;
const base64 = (text: string) => Buffer.from(text).toString('base64');

describe('finding the API server', () => {
  let directory: string;
  let files = 0;
  before(async () => {
    directory = await mkdtemp(join(tmpdir(), 'kubeconfig-'));
    await writeFile(join(directory, 'ca.crt'), pem('CA'));
    await writeFile(join(directory, 'token'), 'from-file\n');
  });
  after(() => rm(directory, { recursive: true, force: true }));

  async function file(content: object | string): Promise<string> {
    const path = join(directory, `config-${++files}`);
    await writeFile(path, typeof content === 'string' ? content : stringify(content));
    return path;
  }
  function config(cluster: object, user: object = {}, context: object = {}) {
    return {
      clusters: [{ name: 'c', cluster: { server: 'https://127.0.0.1:6443/', ...cluster } }],
      users: [{ name: 'u', user }],
      contexts: [{ name: 'x', context: { cluster: 'c', user: 'u', ...context } }],
      'current-context': 'x',
    };
  }
  const load = async (content: object | string) =>
    loadConnection({ kubeconfig: await file(content), env: {} });

  test('reads inline certificates, server name and namespace', async () => {
    const connection = await load(
      config(
        { 'certificate-authority-data': base64(pem('A')), 'tls-server-name': 'kubernetes' },
        { 'client-certificate-data': base64(pem('B')), 'client-key-data': base64(pem('C')) },
        { namespace: 'apps' },
      ),
    );
    const { reloadTls: _reload, ...rest } = connection;
    assert.deepEqual(rest, {
      server: 'https://127.0.0.1:6443',
      namespace: 'apps',
      tls: {
        ca: pem('A'),
        cert: pem('B'),
        key: pem('C'),
        serverName: 'kubernetes',
        insecureSkipVerify: false,
      },
    });
  });

  test('reads files relative to the kubeconfig, and a token file before a token', async () => {
    const connection = await load(
      config({ 'certificate-authority': 'ca.crt' }, { token: 'inline', tokenFile: 'token' }),
    );
    assert.equal(connection.tls.ca, pem('CA'));
    assert.equal(await connection.token?.read(), 'from-file');
  });

  test('reads the authority again when asked, because it may have been rotated', async () => {
    const connection = await load(config({ 'certificate-authority': 'ca.crt' }));
    await writeFile(join(directory, 'ca.crt'), pem('CA rotated'));
    assert.equal((await connection.reloadTls?.())?.ca, pem('CA rotated'));
    await writeFile(join(directory, 'ca.crt'), pem('CA'));
  });

  test('skips verification when told to', async () => {
    const connection = await load(config({ 'insecure-skip-tls-verify': true }));
    assert.equal(connection.tls.insecureSkipVerify, true);
  });

  test('merges the files of KUBECONFIG: the first to name something wins', async () => {
    const first = await file({ ...config({}, { token: 'first' }), 'current-context': '' });
    const second = await file({ ...config({}, { token: 'second' }), 'current-context': 'x' });
    const connection = await loadConnection({ env: { KUBECONFIG: `${first}:${second}` } });
    assert.equal(await connection.token?.read(), 'first');
  });

  const refused: [string, object | string, RegExp][] = [
    [
      'an exec plugin',
      config({}, { exec: { command: 'aws' } }),
      /user "u": exec: .*not run.*kubectl create token/,
    ],
    ['an auth provider', config({}, { 'auth-provider': { name: 'gcp' } }), /auth-provider: .*not run/],
    ['a proxy', config({ 'proxy-url': 'http://proxy' }), /cluster "c": proxy-url is not supported/],
    ['a password', config({}, { username: 'a', password: 'b' }), /username: basic authentication/],
    ['impersonation', config({}, { as: 'root' }), /as: impersonation/],
    [
      'a certificate without its key',
      config({}, { 'client-certificate-data': base64(pem('B')) }),
      /given together/,
    ],
    ['data that is no PEM', config({ 'certificate-authority-data': 'AAAA' }), /must be base64 of PEM/],
    [
      'a missing file',
      config({ 'certificate-authority': 'absent.crt' }),
      /certificate-authority cannot be read/,
    ],
    ['a server that is no URL', config({ server: 'localhost' }), /must be an http:\/\/ or https:\/\/ URL/],
    ['an unknown cluster', config({}, {}, { cluster: 'z' }), /no cluster "z" \(there are: c\)/],
    ['no current context', { ...config({}), 'current-context': '' }, /current-context is not set/],
    ['something that is no YAML', 'a: [', /cannot be read/],
    ['something that is no kubeconfig', 'just a text', /expected object|Invalid input/],
  ];
  for (const [what, content, message] of refused) {
    test(`refuses ${what} and says where`, () =>
      assert.rejects(load(content), error => {
        assert.ok(error instanceof ConnectionConfigError, String(error));
        assert.match(error.message, message);
        return true;
      }));
  }

  test('uses the files of a pod when there is no kubeconfig', async () => {
    const account = await mkdtemp(join(directory, 'account-'));
    const env = { KUBERNETES_SERVICE_HOST: 'fd00::1', KUBERNETES_SERVICE_PORT: '443' };
    const sources = { env, serviceAccountDirectory: account };
    await assert.rejects(loadConnection(sources), /token file .* cannot be read/);
    await writeFile(join(account, 'token'), 'pod-token');
    await assert.rejects(loadConnection(sources), /ca.crt cannot be read/);
    await writeFile(join(account, 'ca.crt'), pem('CA'));
    await writeFile(join(account, 'namespace'), 'mail-system');
    const connection = await loadConnection(sources);
    assert.equal(connection.server, 'https://[fd00::1]:443');
    assert.equal(connection.namespace, 'mail-system');
    assert.equal(await connection.token?.read(), 'pod-token');
  });

  test('says what was looked for when there is nothing', () =>
    assert.rejects(loadConnection({ env: { HOME: directory } }), /no cluster to talk to: .*KUBECONFIG/));
});

describe('a token in a file', () => {
  test('is read again each minute and after a refusal, and kept while the file is away', async () => {
    const directory = await mkdtemp(join(tmpdir(), 'token-'));
    try {
      const clock = new ManualClock();
      const path = join(directory, 'token');
      const token = fileToken(path, clock);
      await assert.rejects(token.read(), /cannot be read/);
      await writeFile(path, 'one\n');
      assert.equal(await token.read(), 'one');
      await writeFile(path, 'two');
      assert.equal(await token.read(), 'one');
      clock.stall(60_000);
      assert.equal(await token.read(), 'two');
      await writeFile(path, 'three');
      token.refused();
      assert.equal(await token.read(), 'three');
      await rm(path);
      token.refused();
      assert.equal(await token.read(), 'three');
    } finally {
      await rm(directory, { recursive: true, force: true });
    }
  });
});
