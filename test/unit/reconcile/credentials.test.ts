import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { missingSentences, readCredentials } from '../../../operator/reconcile/credentials.ts';
import type { SecretFacts } from '../../../operator/reconcile/secret-facts.ts';
import { everythingSpec, relayOf } from '../operator-api/relays.ts';

const relay = relayOf(everythingSpec);
const none: SecretFacts = { exists: false, resourceVersion: '', keys: new Map() };

/** Secret → its keys with content; a key ending in `?` is there and blank. */
type Secrets = Readonly<Record<string, readonly string[]>>;

const complete: Secrets = {
  'smtp-logins': ['ses-user', 'ses-password', 'aliyun-user', 'aliyun-password'],
  'company-ca': ['bundle.pem'],
  'mail-tls': ['tls.crt', 'tls.key'],
  'smtp-clients': ['user', 'pass'],
};

function factsOf(secrets: Secrets, version = '1', changedAt = 0): (name: string) => Promise<SecretFacts> {
  return name => {
    const keys = secrets[name]?.map(key => {
      const fingerprint = key.endsWith('?') ? undefined : 'f';
      return [key.replace('?', ''), { fingerprint, version, changedAt }] as const;
    });
    return Promise.resolve(
      keys === undefined ? none : { exists: true, resourceVersion: version, keys: new Map(keys) },
    );
  };
}

const without = (...names: readonly string[]): Secrets =>
  Object.fromEntries(Object.entries(complete).filter(([name]) => !names.includes(name)));

const cases: readonly (readonly [string, Secrets, string])[] = [
  ['all is there', complete, ''],
  [
    'a Secret of two providers is missing',
    without('smtp-logins'),
    'forwardProviders[ses].secretRef: Secret smtp-logins does not exist: create it; forwardProviders[aliyun].secretRef: Secret smtp-logins does not exist: create it',
  ],
  [
    'one key is missing and one is blank',
    { ...complete, 'smtp-logins': ['ses-user', 'ses-password?', 'aliyun-user'] },
    'forwardProviders[ses].secretRef: Secret smtp-logins has no key ses-password, or it is empty: add it; forwardProviders[aliyun].secretRef: Secret smtp-logins has no key aliyun-password, or it is empty: add it',
  ],
  [
    'a certificate is missing',
    without('company-ca'),
    'forwardProviders[ses].tls.caRef: Secret company-ca does not exist: create it',
  ],
  [
    'the listener lacks both of its Secrets',
    without('mail-tls', 'smtp-clients'),
    'listener.tls.secretRef: Secret mail-tls does not exist: create it; listener.auth.secretRef: Secret smtp-clients does not exist: create it',
  ],
];

describe('credentials', () => {
  for (const [what, secrets, wanted] of cases) {
    test(`are told, each field once, when ${what}`, async () => {
      assert.equal(missingSentences((await readCredentials(relay, factsOf(secrets))).missing), wanted);
    });
  }

  test('have another revision only when a key is another that is referred to', async () => {
    const revision = async (secrets: Secrets, version?: string): Promise<string> =>
      (await readCredentials(relay, factsOf(secrets, version))).revision;
    const now = await revision(complete);
    assert.equal(await revision(complete), now);
    assert.equal(await revision({ ...complete, 'company-ca': ['bundle.pem', 'other'], foreign: ['x'] }), now);
    assert.notEqual(await revision(complete, '2'), now);
    assert.notEqual(await revision(without('company-ca')), now);
  });

  test('changed when the last of their keys did', async () => {
    const old = factsOf(complete, '1', 1000);
    const recent = factsOf(complete, '2', 2000);
    const { changedAt } = await readCredentials(relay, name =>
      name === 'mail-tls' ? recent(name) : old(name),
    );
    assert.equal(changedAt, 2000);
    const { changedAt: never } = await readCredentials(relay, factsOf({}));
    assert.equal(never, Number.NEGATIVE_INFINITY);
  });

  test('are not known when one Secret cannot be read', async () => {
    const failing = (name: string) =>
      name === 'mail-tls' ? Promise.reject(new Error('HTTP 500')) : factsOf(complete)(name);
    await assert.rejects(readCredentials(relay, failing), /HTTP 500/);
  });
});
