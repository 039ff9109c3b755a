import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { parseMailRelay } from '../../../operator/api/parse.ts';
import { everythingSpec, mailRelayObject, minimalSpec, relayOf, specs } from './relays.ts';

const problems = (spec: unknown, metadata: object = {}) =>
  parseMailRelay(mailRelayObject(spec, metadata)).problems;
const provider = minimalSpec.forwardProviders![0]!;

describe('parseMailRelay', () => {
  test('takes every example and fills in what it does not say', () => {
    for (const spec of Object.values(specs)) relayOf(spec);
    const { spec, name, namespace, status, annotations } = relayOf(minimalSpec, { generation: 7 });
    assert.deepEqual(
      { name, namespace, status, annotations },
      {
        name: 'mail',
        namespace: 'apps',
        status: {},
        annotations: {},
      },
    );
    assert.equal(spec.forwardSMTP, true);
    assert.equal(spec.forwardProviders[0]?.secretRef?.passwordKey, 'password');
    assert.equal(spec.spool.size, '1Gi');
    assert.equal(spec.forwardProviders[0]?.limits.maxConnections, 20);
  });

  test('keeps what tells one object from another', () => {
    const metadata = {
      uid: 'u',
      generation: 3,
      annotations: { a: 'b' },
      finalizers: ['f'],
      deletionTimestamp: '2026-01-01T00:00:00Z',
    };
    const { relay } = parseMailRelay(mailRelayObject(everythingSpec, metadata));
    const { spec: _, name: _name, namespace: _namespace, status: _status, ...kept } = relay!;
    assert.deepEqual(kept, metadata);
  });

  test('names every mistake at once, with field, value and what is allowed', () => {
    const spec = {
      forwardProviders: [{ name: 'a', host: 'smtp.a.com', port: 0 }],
      replicas: 'many',
      spool: { mode: 'Own' },
    };
    assert.deepEqual(problems(spec), [
      'spec.forwardProviders[0].port: 0 must be a whole number from 1 to 65535',
      'spec.spool.mode: "Own" must be one of "Shared", "PerReplica"',
      'spec.replicas: "many" must be a whole number from 0 to 100',
    ]);
  });

  test('leaves alone what a newer CRD has added, at any depth', () => {
    const newer = {
      ...minimalSpec,
      newField: { on: true },
      spool: { newField: 5 },
      forwardProviders: [{ ...provider, newField: 'x', limits: { newField: [1] } }],
    };
    assert.deepEqual(parseMailRelay(mailRelayObject(newer)), parseMailRelay(mailRelayObject(minimalSpec)));
    assert.deepEqual(problems({ ...newer, replicas: 'many' }), [
      'spec.replicas: "many" must be a whole number from 0 to 100',
    ]);
  });

  const cases: readonly (readonly [title: string, spec: object, expected: readonly string[]])[] = [
    [
      'an empty spec forwards to nobody',
      {},
      ['spec.forwardProviders: must list at least one provider, or forwardSMTP must be false'],
    ],
    ['forwarding off needs no provider', { forwardSMTP: false }, []],
    [
      'a provider is there once',
      { forwardProviders: [provider, provider] },
      ['spec.forwardProviders[1].name: "primary" must be unique'],
    ],
    [
      'credentials in clear',
      { forwardProviders: [{ ...provider, tls: { required: false } }] },
      [
        'spec.forwardProviders[0].tls.required: must not be false where there is a secretRef: credentials are sent over verified TLS only',
      ],
    ],
    [
      'metrics that are read less often than alerts look back',
      { ...minimalSpec, monitoring: { serviceMonitor: { intervalSeconds: 300 } } },
      ['spec.monitoring.serviceMonitor.intervalSeconds: 300 must be a whole number from 5 to 120'],
    ],
    [
      'an open relay by another name is one',
      { ...minimalSpec, listener: { allowedNetworks: ['::ffff:0.0.0.0/97', '10.0.0.0/8'] } },
      [
        'spec.listener.allowedNetworks: "::ffff:0.0.0.0/97" must be /8 or narrower (IPv4) or /16 or narrower (IPv6), unless listener.auth.required is true: this would be an open relay',
      ],
    ],
    [
      'an address that only looks like one',
      { ...minimalSpec, listener: { allowedNetworks: ['1:::2'] } },
      [
        'spec.listener.allowedNetworks[0]: "1:::2" must be a network such as "10.0.0.0/8" or "fd00::/8", or an IP address',
      ],
    ],
    [
      'authentication that nobody can pass',
      { ...minimalSpec, listener: { auth: { required: true } } },
      [
        'spec.listener.auth: must name a Secret in auth.secretRef, since auth.required is true',
        'spec.listener.auth.required: must have tls, since auth.required is true and AUTH is offered only under TLS (or auth.allowClearText must be true)',
      ],
    ],
    [
      'a volume without room',
      { ...minimalSpec, spool: { size: '100Mi' } },
      ['spec.spool.size: 100Mi must be at least 256Mi'],
    ],
    [
      'two ports of a Service with one name',
      {
        ...minimalSpec,
        service: {
          ports: [
            { name: 'a', port: 1 },
            { name: 'a', port: 2 },
          ],
        },
      },
      ['spec.service.ports: must not have the same name twice'],
    ],
  ];
  for (const [title, spec, expected] of cases) {
    test(title, () => assert.deepEqual(problems(spec) ?? [], expected));
  }

  test('a name must leave room for those of the children', () => {
    for (const name of ['a'.repeat(47), '1a', 'a.b', 'a-']) {
      const sentence = `metadata.name: ${JSON.stringify(name)} must be at most 46 lower-case letters, digits and -, beginning with a letter and not ending with -`;
      assert.deepEqual(problems(minimalSpec, { name }), [sentence]);
    }
  });

  test('an object without a spec is a problem, not a crash', () => {
    for (const spec of [undefined, null, 'x', 7, []]) assert.ok(problems(spec)?.length);
  });
});
