import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { MailRelayObject } from '../../../operator/api/mail-relay.ts';
import { parseMailRelay } from '../../../operator/api/parse.ts';
import { configJson } from '../../../operator/resources/config-json.ts';
import { convert } from '../../../relay/admin/convert.ts';
import { compile } from '../../../relay/config/compile.ts';
import type { JsonObject } from '../../../relay/config/read.ts';
import { compiled, sources } from '../config/memory-sources.ts';

/** The MailRelay that `mailrelay convert` makes, as the operator sees it. */
function converted(file: JsonObject) {
  const { manifests } = convert(
    { file, config: compile(file, sources()) },
    { name: 'mail', namespace: 'apps' },
  );
  const parsed = parseMailRelay(manifests.at(-1) as unknown as MailRelayObject);
  assert.deepEqual(parsed.problems, undefined);
  return parsed.relay!;
}

describe('a config.json that was converted', () => {
  const file: JsonObject = {
    forwardProviders: [
      { host: 'smtp.primary.com', port: 587, username: 'user@primary.com', password: 'x', priority: 2 },
      { host: 'smtp.backup.com', port: 465, ssl: true, limits: { maxConnections: 3 } },
      { host: 'smtp-relay.example.com', port: 25, tls: { required: true } },
      { host: 'smart-host.example.com', port: 25, tls: { required: false } },
    ],
    retry: { attempts: 2 },
    resend: { jitter: 0.1, bounces: true },
    listener: {
      maxMessageBytes: 1_048_576,
      allowedNetworks: ['10.0.0.0/8'],
      bareNewlines: 'normalize',
      auth: { allowClearText: true },
    },
    security: { requireAuth: true },
    defaultUsername: 'app',
    defaultPassword: 'y',
  };

  test('is a MailRelay that the operator takes, and that means the same', () => {
    const before = compile(file, sources());
    const after = compiled(configJson(converted(file), { draining: [] }).text);
    const essence = ({ providers, retry, resend, listener }: typeof before) => ({
      retry,
      resend,
      providers: providers.map(({ name, host, port, ssl, tls, limits }) => ({
        name,
        host,
        port,
        ssl,
        tls,
        limits,
      })),
      listener: { ...listener, accounts: [], host: '', port: 0 },
    });
    assert.deepEqual(essence(after), essence(before));
  });

  test('has names that a MailRelay allows, whatever the hosts are called', () => {
    const hosts = [
      '::1',
      '_smtp.example',
      '_smtp.example',
      'a.',
      `${'long.'.repeat(30)}x`,
      `${'long.'.repeat(30)}y`,
    ];
    const providers = [
      ...hosts.map(host => ({ host, port: 25 })),
      { host: 'same', port: 25 },
      { host: 'same', port: 25 },
      { host: 'same', port: 25, name: 'same:25-2' },
    ];
    const { spec } = converted({ forwardProviders: providers });
    assert.equal(new Set(spec.forwardProviders.map(({ name }) => name)).size, providers.length);
    assert.deepEqual(
      spec.forwardProviders.map(({ host }) => host),
      providers.map(({ host }) => host),
    );
  });

  test('in its old form, too', () => {
    const { spec } = converted({ forwardHost: 'smtp.example.com', forwardPort: 25, forwardSMTP: true });
    assert.deepEqual(
      spec.forwardProviders.map(({ host, port, ssl }) => ({ host, port, ssl })),
      [{ host: 'smtp.example.com', port: 25, ssl: false }],
    );
  });
});
