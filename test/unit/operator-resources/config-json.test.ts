import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { parseMailRelay } from '../../../operator/api/parse.ts';
import type { MailRelaySpecInput } from '../../../operator/api/schema.ts';
import { configJson } from '../../../operator/resources/config-json.ts';
import { secretReferences, secretsDirectory } from '../../../operator/resources/secret-references.ts';
import { compiled } from '../config/memory-sources.ts';
import {
  everythingSpec,
  mailRelayObject,
  minimalSpec,
  relayOf,
  sharedSpec,
  specs,
} from '../operator-api/relays.ts';

const none = { draining: [] };
const textOf = (spec: MailRelaySpecInput) => configJson(relayOf(spec), none).text;

/** Every file that a relay's Secrets would give it. */
function mounted(spec: MailRelaySpecInput): Record<string, string> {
  const references = secretReferences(relayOf(spec).spec);
  return Object.fromEntries(
    references.map(({ path }) => [`${secretsDirectory}/${path}`, `content of ${path}`]),
  );
}

describe('config.json as the operator writes it', () => {
  for (const [name, spec] of Object.entries(specs)) {
    test(`is what the relay takes, without a word: ${name}`, () => {
      const { text, fingerprint } = configJson(relayOf(spec), none);
      const config = compiled(text, { files: mounted(spec) });
      assert.equal(config.fingerprint, fingerprint);
      const usable = config.providers.filter(({ tls }) => !tls.ca);
      assert.deepEqual(
        usable.map(({ misconfigured }) => misconfigured).filter(Boolean),
        // The test's CA and certificate are no PEM; that they are read is what counts here.
        name === 'everything'
          ? [
              `forwardProviders[0].tls.caFile: ${secretsDirectory}/providers/ses/ca/company-ca/bundle.pem holds no PEM certificate`,
            ]
          : [],
      );
    });
  }

  test('names no file of the Secrets before, so that a new host never sees the login of the old one', () => {
    const [, aliyun, lan] = everythingSpec.forwardProviders!;
    const before = aliyun!.secretRef!;
    for (const secretRef of [
      { ...before, name: 'another' },
      { ...before, usernameKey: 'another-user', passwordKey: 'another-password' },
    ]) {
      const moved = { ...aliyun!, host: 'smtp.other.example', secretRef };
      const text = textOf({ ...everythingSpec, forwardProviders: [moved, lan!] });
      // As a pod that runs has it until it is replaced: the new config.json and the old files.
      const { providers } = compiled(text, { files: mounted(everythingSpec) });
      const there = providers.find(({ host }) => host === 'smtp.other.example');
      assert.equal(there?.credentials, undefined);
      assert.match(there?.misconfigured ?? '', /usernameFile: .*another/);
    }
  });

  test('says what the spec says', () => {
    const { providers, listener, resend, retry, shutdown, health } = compiled(textOf(everythingSpec), {
      files: mounted(everythingSpec),
    });
    assert.deepEqual(
      providers.map(({ name, priority, host, ssl, tls: { required } }) => ({
        name,
        priority,
        host,
        ssl,
        required,
      })),
      [
        { name: 'lan', priority: 2, host: '10.0.0.25', ssl: false, required: true },
        { name: 'aliyun', priority: 5, host: 'smtp.qiye.aliyun.com', ssl: true, required: true },
        { name: 'ses', priority: 10, host: 'email-smtp.us-east-1.amazonaws.com', ssl: false, required: true },
      ],
    );
    assert.deepEqual(providers[1]?.credentials, {
      username: 'content of providers/aliyun/username/smtp-logins/aliyun-user',
      password: 'content of providers/aliyun/password/smtp-logins/aliyun-password',
    });
    assert.equal(providers[0]?.credentials, undefined);
    assert.equal(providers[2]?.limits.messagesPerSecond, 13.5);
    assert.deepEqual(listener.accounts, [
      { username: 'content of listener/username', password: 'content of listener/password' },
    ]);
    assert.equal(listener.requireAuth, true);
    assert.equal(listener.bareNewlines, 'normalize');
    assert.equal(resend.expireAfterMs, 172_800_000);
    assert.equal(retry.patienceMs, 10_000);
    assert.deepEqual(shutdown, { graceMs: 8000, deadlineMs: 60_000 });
    assert.deepEqual(health, { host: '::', port: 8025 });
  });

  test('without its Secrets still loads, and says which provider lacks what', () => {
    const { providers } = compiled(textOf(minimalSpec));
    assert.match(
      providers[0]?.misconfigured ?? '',
      /secrets\/providers\/primary\/username\/primary\/username cannot be read/,
    );
  });

  test('holds no credential and no Secret name', () => {
    const text = textOf(everythingSpec);
    for (const { secret } of secretReferences(relayOf(everythingSpec).spec)) {
      assert.ok(!text.includes(`"${secret}"`), secret);
    }
    assert.doesNotMatch(text, /"(password|username)":/);
  });

  test('names replicas that are to go, in one order, and no others', () => {
    const relay = relayOf({ ...minimalSpec, spool: { mode: 'PerReplica' }, replicas: 3 });
    const { text } = configJson(relay, { draining: ['mail-2', 'mail-1'] });
    assert.deepEqual(JSON.parse(text).draining, ['mail-1', 'mail-2']);
    assert.equal(compiled(text).draining, false);
    assert.equal(compiled(text.replace('mail-1', 'relay.test')).draining, true);
    assert.equal('draining' in JSON.parse(configJson(relay, none).text), false);
  });

  test('shares the volume only where several pods have the same one', () => {
    assert.equal(compiled(textOf(sharedSpec)).sharedDataDir, true);
    assert.equal(compiled(textOf(minimalSpec)).sharedDataDir, false);
    assert.equal(
      compiled(textOf({ ...minimalSpec, spool: { mode: 'PerReplica', accessMode: 'ReadWriteMany' } }))
        .sharedDataDir,
      false,
    );
  });

  test('passes on a wish to resend, whatever stands in the annotation', () => {
    const asked = (value: string) => {
      const annotations = { 'mailrelay.dev/resend-requested-at': value };
      return compiled(configJson(relayOf(minimalSpec, { annotations }), none).text).resendRequestedAt;
    };
    assert.equal(asked('2026-01-02T03:04:05Z'), '2026-01-02T03:04:05Z');
    assert.equal(asked(''), undefined);
    assert.equal(asked('now\u0000\n'), 'now');
    assert.equal(asked('x'.repeat(1000))?.length, 256);
  });

  test('changes its fingerprint with what the relay should do, and with nothing else', () => {
    const fingerprint = (spec: MailRelaySpecInput) => configJson(relayOf(spec), none).fingerprint;
    const before = fingerprint(minimalSpec);
    assert.equal(fingerprint({ ...minimalSpec, podLabels: { a: 'b' }, image: 'x', suspend: true }), before);
    assert.notEqual(fingerprint({ ...minimalSpec, forwardSMTP: false }), before);
    assert.notEqual(fingerprint({ ...minimalSpec, retry: { attempts: 4 } }), before);
  });

  test('loads whenever the spec passes the check', () => {
    const provider = fc.record(
      {
        name: fc.constantFrom('a', 'b', 'c.d', 'x:1'),
        host: fc.constantFrom('smtp.a.com', '10.0.0.1', '::1'),
        port: fc.constantFrom(25, 465, 587),
        ssl: fc.boolean(),
        priority: fc.integer({ min: -5, max: 5 }),
        secretRef: fc.record({ name: fc.constantFrom('s', 't') }),
        tls: fc.record({ caRef: fc.record({ name: fc.constant('ca') }) }, { requiredKeys: [] }),
      },
      { requiredKeys: ['name', 'host', 'port'] },
    );
    const spec = fc.record(
      {
        forwardSMTP: fc.boolean(),
        forwardProviders: fc.array(provider, { maxLength: 4 }),
        resend: fc.record({ initialDelaySeconds: fc.integer({ min: 1, max: 9000 }) }),
        listener: fc.record(
          {
            allowedNetworks: fc.array(
              fc.constantFrom('10.0.0.0/8', '0.0.0.0/0', '::/0', 'fd00::/8', '1.2.3.4'),
            ),
            tls: fc.record({ secretRef: fc.record({ name: fc.constant('t') }) }),
            auth: fc.record(
              {
                required: fc.boolean(),
                allowClearText: fc.boolean(),
                secretRef: fc.record({ name: fc.constant('u') }),
              },
              { requiredKeys: [] },
            ),
          },
          { requiredKeys: [] },
        ),
      },
      { requiredKeys: [] },
    );
    let accepted = 0;
    fc.assert(
      fc.property(spec, wanted => {
        const { relay } = parseMailRelay(mailRelayObject(wanted));
        if (relay === undefined) return;
        accepted += 1;
        const { text, fingerprint } = configJson(relay, none);
        assert.equal(compiled(text).fingerprint, fingerprint);
      }),
      { numRuns: 500 },
    );
    assert.ok(accepted > 50, `${accepted} of 500 passed the check`);
  });
});
