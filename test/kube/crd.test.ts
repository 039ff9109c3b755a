import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { customResourceDefinition } from '../../operator/api/crd.ts';
import { crdYaml } from '../../operator/api/generate-crd.ts';
import { type MailRelayObject, mailRelays } from '../../operator/api/mail-relay.ts';
import { parseMailRelay } from '../../operator/api/parse.ts';
import { type MailRelaySpec, type MailRelaySpecInput, specSchema } from '../../operator/api/schema.ts';
import { ApiError } from '../../operator/kube/api-error.ts';
import { createClient } from '../../operator/kube/client.ts';
import { loadConnection } from '../../operator/kube/connection.ts';
import type { KubeClient } from '../../operator/kube/resource.ts';
import { createTransport, type Transport } from '../../operator/kube/transport.ts';
import { type ApiServer, startApiServer } from '../cluster/api-server.ts';
import { everythingSpec, mailRelayObject, minimalSpec, specs } from '../unit/operator-api/relays.ts';

const provider = minimalSpec.forwardProviders![0]!;
const tls = { secretRef: { name: 'tls' } };
const account = { name: 'account' };
const openRelay =
  'must be /8 or narrower (IPv4) or /16 or narrower (IPv6), unless listener.auth.required is true: this would be an open relay';

interface RuleCase {
  readonly title: string;
  readonly accepted: readonly MailRelaySpecInput[];
  readonly refused: readonly MailRelaySpecInput[];
  readonly field: string;
  readonly message: string;
}

/** Rules over one object: what is merged into the minimal spec. */
const rules: readonly RuleCase[] = [
  {
    title: 'forwarding needs a provider',
    accepted: [{ forwardSMTP: false, forwardProviders: [] }, {}],
    refused: [{ forwardProviders: [] }, { forwardSMTP: true, forwardProviders: [] }],
    field: 'spec.forwardProviders',
    message: 'must list at least one provider, or forwardSMTP must be false',
  },
  {
    title: 'one volume for one node takes one replica',
    accepted: [
      { replicas: 0 },
      { replicas: 3, spool: { mode: 'PerReplica' } },
      { replicas: 3, spool: { accessMode: 'ReadWriteMany' } },
    ],
    refused: [
      { replicas: 2 },
      { replicas: 2, spool: { accessMode: 'ReadWriteOnce' } },
      { replicas: 2, spool: { mode: 'Shared', accessMode: 'ReadWriteOncePod' } },
    ],
    field: 'spec.replicas',
    message:
      'must be 0 or 1 while spool.mode is Shared and spool.accessMode is not ReadWriteMany; for more use spool.mode PerReplica or spool.accessMode ReadWriteMany',
  },
  {
    title: 'an open relay is refused',
    accepted: [
      {
        listener: {
          allowedNetworks: ['8.0.0.0/8', 'fc00::/7', 'fd12::/8', 'fe80::/10', '2001:db8::/32', '::1'],
        },
      },
      {
        listener: {
          allowedNetworks: ['0.0.0.0/0', '::/0'],
          tls,
          auth: { required: true, secretRef: account },
        },
      },
    ],
    refused: [
      '0.0.0.0/0',
      '::/0',
      '128.0.0.0/1',
      '10.0.0.0/7',
      '2000::/3',
      'f000::/4',
      'fc00::/6',
      'fe80::/9',
    ].map(wide => ({ listener: { allowedNetworks: ['10.0.0.0/8', wide] } })),
    field: 'spec.listener.allowedNetworks',
    message: openRelay,
  },
  {
    title: 'required authentication needs an account',
    accepted: [{ listener: { tls, auth: { required: true, secretRef: account } } }],
    refused: [{ listener: { tls, auth: { required: true } } }],
    field: 'spec.listener.auth',
    message: 'must name a Secret in auth.secretRef, since auth.required is true',
  },
  {
    title: 'required authentication must be offered',
    accepted: [{ listener: { auth: { required: true, allowClearText: true, secretRef: account } } }],
    refused: [{ listener: { auth: { required: true, secretRef: account } } }],
    field: 'spec.listener.auth.required',
    message:
      'must have tls, since auth.required is true and AUTH is offered only under TLS (or auth.allowClearText must be true)',
  },
  {
    title: 'user name and password are two keys',
    accepted: [
      { forwardProviders: [{ ...provider, secretRef: { name: 'x', usernameKey: 'a', passwordKey: 'b' } }] },
    ],
    refused: [
      { forwardProviders: [{ ...provider, secretRef: { name: 'x', usernameKey: 'a', passwordKey: 'a' } }] },
      { forwardProviders: [{ ...provider, secretRef: { name: 'x', usernameKey: 'password' } }] },
    ],
    field: 'spec.forwardProviders[0].secretRef.passwordKey',
    message: 'must differ from usernameKey',
  },
  {
    title: 'credentials need TLS',
    accepted: [
      secured({ ...provider, tls: { required: true } }),
      secured({ ...provider, ssl: true, tls: { required: false } }),
      secured({ name: 'lan', host: '10.0.0.25', port: 25, tls: { required: true } }),
      secured({ name: 'lan', host: '10.0.0.25', port: 25, tls: { required: false } }),
    ],
    refused: [
      secured({ ...provider, tls: { required: false } }),
      secured({ ...provider, ssl: false, tls: { required: false, serverName: 'mx.example.com' } }),
    ],
    field: 'spec.forwardProviders[0].tls.required',
    message: 'must not be false where there is a secretRef: credentials are sent over verified TLS only',
  },
  {
    title: 'the account of clients has two keys',
    accepted: [{ listener: { auth: { secretRef: account } } }],
    refused: [{ listener: { auth: { secretRef: { ...account, usernameKey: 'password' } } } }],
    field: 'spec.listener.auth.secretRef.passwordKey',
    message: 'must differ from usernameKey',
  },
  {
    title: 'the longest delay is not shorter than the first',
    accepted: [{ resend: { initialDelaySeconds: 60, maxDelaySeconds: 60 } }],
    refused: [
      { resend: { initialDelaySeconds: 61, maxDelaySeconds: 60 } },
      { resend: { maxDelaySeconds: 59 } },
    ],
    field: 'spec.resend.maxDelaySeconds',
    message: 'must be at least resend.initialDelaySeconds',
  },
  {
    title: 'a rate may be a fraction, and is not nothing',
    accepted: [rated(0.01), rated(13.5), rated(100_000)],
    refused: [rated(0), rated(0.009)],
    field: 'spec.forwardProviders[0].limits.messagesPerSecond',
    message: 'must be a number from 0.01 to 100000',
  },
  {
    title: 'a delay varies by less than itself',
    accepted: [{ resend: { jitter: 0 } }, { resend: { jitter: 0.9 } }],
    refused: [{ resend: { jitter: 0.91 } }, { resend: { jitter: 1 } }],
    field: 'spec.resend.jitter',
    message: 'must be a number from 0 to 0.9',
  },
  {
    title: 'a volume has room for a message',
    accepted: [{ spool: { size: '256Mi' } }, { spool: { size: 268_435_456 } }, { spool: { size: '0.5Gi' } }],
    refused: [{ spool: { size: '255Mi' } }, { spool: { size: 268_435_455 } }, { spool: { size: '1' } }],
    field: 'spec.spool.size',
    message: 'must be at least 256Mi',
  },
  {
    title: 'a traffic policy is for Services that are reached from outside',
    accepted: [{ service: { type: 'NodePort', externalTrafficPolicy: 'Local' } }],
    refused: [{ service: { externalTrafficPolicy: 'Local' } }],
    field: 'spec.service.externalTrafficPolicy',
    message: 'must be absent unless type is NodePort or LoadBalancer',
  },
  {
    title: 'a node port is for Services that are reached from outside',
    accepted: [{ service: { type: 'LoadBalancer', ports: [{ name: 'smtp', port: 25, nodePort: 30025 }] } }],
    refused: [{ service: { ports: [{ name: 'smtp', port: 25, nodePort: 30025 }] } }],
    field: 'spec.service.ports',
    message: 'must have no nodePort unless type is NodePort or LoadBalancer',
  },
  {
    title: 'a port of the Service is there once',
    accepted: [
      {
        service: {
          ports: [
            { name: 'a', port: 25 },
            { name: 'b', port: 26 },
          ],
        },
      },
    ],
    refused: [
      {
        service: {
          ports: [
            { name: 'a', port: 25 },
            { name: 'b', port: 25 },
          ],
        },
      },
    ],
    field: 'spec.service.ports',
    message: 'must not have the same port twice',
  },
  {
    title: 'a source of connections is a network or a selector',
    accepted: [
      {
        networkPolicy: {
          from: [{ ipBlock: { cidr: '10.0.0.0/8' } }, { podSelector: {}, namespaceSelector: {} }],
        },
      },
    ],
    refused: [
      { networkPolicy: { from: [{}] } },
      { networkPolicy: { from: [{ podSelector: {}, ipBlock: { cidr: '10.0.0.0/8' } }] } },
    ],
    field: 'spec.networkPolicy.from[0]',
    message: 'must have either ipBlock, or podSelector, namespaceSelector or both of these',
  },
  {
    title: 'a source of reads of metrics is a network or a selector, too',
    accepted: [{ networkPolicy: { metricsFrom: [{ namespaceSelector: {} }] } }],
    refused: [{ networkPolicy: { metricsFrom: [{}] } }],
    field: 'spec.networkPolicy.metricsFrom[0]',
    message: 'must have either ipBlock, or podSelector, namespaceSelector or both of these',
  },
  {
    title: 'a comparison has values where it compares with some',
    accepted: [selecting({ operator: 'NotIn', values: ['a'] }), selecting({ operator: 'Exists' })],
    refused: [
      selecting({ operator: 'In' }),
      selecting({ operator: 'In', values: [] }),
      selecting({ operator: 'Exists', values: ['a'] }),
    ],
    field: 'spec.networkPolicy.from[0].podSelector.matchExpressions[0].values',
    message: 'must be given with operator In and NotIn, and must be absent with Exists and DoesNotExist',
  },
  {
    title: 'a toleration of any value has none',
    accepted: [{ tolerations: [{ key: 'a', operator: 'Equal', value: 'b' }, { operator: 'Exists' }] }],
    refused: [{ tolerations: [{ key: 'a', operator: 'Exists', value: 'b' }] }],
    field: 'spec.tolerations[0].value',
    message: 'must be absent with operator Exists',
  },
  {
    title: 'a toleration of every taint says so',
    accepted: [{ tolerations: [{ key: 'a' }] }],
    refused: [{ tolerations: [{ effect: 'NoSchedule' }] }],
    field: 'spec.tolerations[0].operator',
    message: 'must be Exists where no key is given',
  },
  {
    title: 'a toleration for a time is of NoExecute',
    accepted: [{ tolerations: [{ key: 'a', effect: 'NoExecute', tolerationSeconds: 5 }] }],
    refused: [
      { tolerations: [{ key: 'a', tolerationSeconds: 5 }] },
      { tolerations: [{ key: 'a', effect: 'NoSchedule', tolerationSeconds: 5 }] },
    ],
    field: 'spec.tolerations[0].tolerationSeconds',
    message: 'must be absent unless effect is NoExecute',
  },
  {
    title: 'a least number of domains needs a rule that holds',
    accepted: [spreading({ whenUnsatisfiable: 'DoNotSchedule', minDomains: 2 })],
    refused: [spreading({ minDomains: 2 })],
    field: 'spec.topologySpreadConstraints[0].minDomains',
    message: 'must be absent unless whenUnsatisfiable is DoNotSchedule',
  },
  {
    title: 'pods are spread in one way at a time',
    accepted: [spreading({}, { whenUnsatisfiable: 'DoNotSchedule' })],
    refused: [spreading({}, { maxSkew: 3 })],
    field: 'spec.topologySpreadConstraints',
    message: 'must not have the same topologyKey and whenUnsatisfiable twice',
  },
  {
    title: 'labels of the operator are its own',
    accepted: [{ podLabels: { team: 'a', 'app.kubernetes.io/version': '1' } }],
    refused: [{ podLabels: { 'app.kubernetes.io/name': 'x' } }, { podLabels: { 'mailrelay.dev/x': 'y' } }],
    field: 'spec.podLabels',
    message:
      "must not have the operator's own labels (mailrelay.dev/…; app.kubernetes.io/name, instance, component, managed-by, part-of)",
  },
  {
    title: 'annotations of the operator are its own',
    accepted: [{ podAnnotations: { 'example.com/a': 'b' } }],
    refused: [{ podAnnotations: { 'mailrelay.dev/config-fingerprint': 'x' } }],
    field: 'spec.podAnnotations',
    message: "must not have the operator's own annotations (mailrelay.dev/…)",
  },
  {
    title: 'annotations of the operator are its own on the Service as well',
    accepted: [{ service: { annotations: { 'example.com/a': 'b', 'x.mailrelay.dev/a': 'b' } } }],
    refused: [{ service: { annotations: { 'mailrelay.dev/applied-hash': 'x' } } }],
    field: 'spec.service.annotations',
    message: "must not have the operator's own annotations (mailrelay.dev/…)",
  },
];

function secured(one: typeof provider): MailRelaySpecInput {
  return { forwardProviders: [one] };
}

function rated(messagesPerSecond: number): MailRelaySpecInput {
  return { forwardProviders: [{ ...provider, limits: { messagesPerSecond } }] };
}

function selecting(expression: object): MailRelaySpecInput {
  const from = [{ podSelector: { matchExpressions: [{ key: 'app', ...expression }] } }];
  return { networkPolicy: { from } } as MailRelaySpecInput;
}

function spreading(...constraints: readonly object[]): MailRelaySpecInput {
  const base = { topologyKey: 'zone', whenUnsatisfiable: 'ScheduleAnyway' };
  return { topologySpreadConstraints: constraints.map(one => ({ ...base, ...one })) } as MailRelaySpecInput;
}

/** Rules over two versions of an object. */
const transitions: readonly (RuleCase & { readonly from: MailRelaySpecInput })[] = [
  {
    title: 'the mode of the spool stays',
    from: {},
    accepted: [{ spool: { retention: 'Delete' } }],
    refused: [{ spool: { mode: 'PerReplica' } }],
    field: 'spec.spool.mode',
    message: 'must stay as it was created: Shared and PerReplica keep mail on different volumes',
  },
  {
    title: 'the access mode stays',
    from: { spool: { accessMode: 'ReadWriteOnce' } },
    accepted: [{}],
    refused: [{ spool: { accessMode: 'ReadWriteMany' } }],
    field: 'spec.spool.accessMode',
    message: 'must stay as it was created: the access mode of a volume cannot be changed',
  },
  {
    title: 'the storage class stays',
    from: { spool: { storageClassName: 'fast' } },
    accepted: [{ spool: { storageClassName: 'fast', drainTimeoutSeconds: 0 } }],
    refused: [{ spool: { storageClassName: 'slow' } }, {}],
    field: 'spec.spool',
    message:
      'must have the storageClassName that it was created with, or none: the class of a volume cannot be changed',
  },
  {
    title: 'no storage class is a choice too',
    from: {},
    accepted: [{}],
    refused: [{ spool: { storageClassName: 'fast' } }],
    field: 'spec.spool',
    message:
      'must have the storageClassName that it was created with, or none: the class of a volume cannot be changed',
  },
  {
    title: 'a volume grows and does not shrink',
    from: { spool: { size: '2Gi' } },
    accepted: [{ spool: { size: '2048Mi' } }, { spool: { size: '3Gi' } }],
    refused: [{ spool: { size: '2047Mi' } }, {}],
    field: 'spec.spool.size',
    message: 'must not be smaller than before: a volume cannot shrink',
  },
];

const nameRule =
  'metadata.name must be at most 46 lower-case letters, digits and -, beginning with a letter and not ending with -: Services and pods are named after it';

/** The messages of all rules of the CRD. */
function messagesOfRules(): string[] {
  const found: string[] = [];
  JSON.stringify(customResourceDefinition(), (key, value) => {
    if (key === 'x-kubernetes-validations') {
      found.push(...(value as { message: string }[]).map(({ message }) => message));
    }
    return value as unknown;
  });
  return found;
}

/** What concerns pods and network only: the API server refuses it once more where it ends up. */
const placement = /networkPolicy|podLabels|podAnnotations|service|tolerations|topologySpread/;

/** Bounds and forms: a value just outside each, and the words of the API server. */
const bounds: readonly (readonly [refused: MailRelaySpecInput, expected: RegExp])[] = [
  [{ replicas: 101 }, /spec\.replicas: .*should be less than or equal to 100/],
  [{ replicas: -1 }, /spec\.replicas: .*should be greater than or equal to 0/],
  [{ forwardProviders: [{ ...provider, port: 70_000 }] }, /forwardProviders\[0\]\.port: .*65535/],
  [{ forwardProviders: [provider, provider] }, /spec\.forwardProviders\[1\]: Duplicate value: .*primary/],
  [{ forwardProviders: [{ ...provider, host: 'smtp://x' }] }, /forwardProviders\[0\]\.host: .*should match/],
  [{ forwardProviders: [{ host: 'a', port: 25 } as never] }, /forwardProviders\[0\]\.name: Required value/],
  [{ forwardProviders: [{ name: 'a', port: 25 } as never] }, /forwardProviders\[0\]\.host: Required value/],
  [
    { forwardProviders: [{ ...provider, tls: { minVersion: 'TLSv1.1' as never } }] },
    /tls\.minVersion: Unsupported value: "TLSv1\.1": supported values: "TLSv1\.2", "TLSv1\.3"/,
  ],
  [
    { forwardProviders: Array.from({ length: 33 }, (_, at) => ({ ...provider, name: `p${at}` })) },
    /spec\.forwardProviders: Too many: 33: must have at most 32 items/,
  ],
  [{ listener: { allowedNetworks: ['10.0.0.0/33'] } }, /allowedNetworks\[0\]: .*should match/],
  [{ listener: { allowedNetworks: ['256.0.0.0/8'] } }, /allowedNetworks\[0\]: .*should match/],
  [
    { spool: { mode: 'Own' as never } },
    /spec\.spool\.mode: Unsupported value: "Own": supported values: "Shared", "PerReplica"/,
  ],
  [{ spool: { size: '1 GB' } }, /spec\.spool\.size: .*should match/],
  [{ resend: { jitter: 0.95 } }, /spec\.resend\.jitter: .*must be a number from 0 to 0\.9$/],
  [{ image: 'not an image' }, /spec\.image: .*should match/],
  [{ service: { ports: [] } }, /spec\.service\.ports: .*should have at least 1 items/],
];

describe('MailRelay on a real API server', () => {
  let server: ApiServer;
  let transport: Transport;
  let client: KubeClient;

  before(async () => {
    server = await startApiServer();
    transport = createTransport({
      connection: await loadConnection({ kubeconfig: server.kubeconfig, env: {} }),
      userAgent: 'crd-test/1',
    });
    client = createClient(transport);
    await server.kubectl(['create', 'namespace', 'apps']);
    await server.kubectl(['apply', '--server-side', '-f', '-'], crdYaml());
    await server.kubectl(['wait', '--for=condition=Established', 'crd/mailrelays.mailrelay.dev']);
  });
  after(async () => {
    await transport?.close();
    await server?.stop();
  });

  const object = (spec: MailRelaySpecInput, name = 'mail') =>
    mailRelayObject({ ...minimalSpec, ...spec }, { name });
  const tryOut = (wanted: MailRelayObject) => client.create(mailRelays, wanted, { dryRun: true });

  /** The causes are what kubectl prints, one a line. */
  async function refusal(call: Promise<unknown>): Promise<string[]> {
    const error = await call.then(
      () => assert.fail('it was accepted'),
      (error: unknown) => error,
    );
    assert.ok(error instanceof ApiError, String(error));
    assert.equal(error.reason, 'Invalid', error.message);
    return (error.details?.causes ?? []).map(({ field, message }) => `${field}: ${message}`);
  }
  function assertRefused(causes: string[], { field, message }: RuleCase): void {
    const found = causes.find(cause => cause.startsWith(`${field}: `) && cause.endsWith(message));
    assert.ok(found, `${field}: … ${message}\nbut:\n${causes.join('\n')}`);
  }

  test('takes the resource, with nothing to complain of', async () => {
    const crd = JSON.parse(await server.kubectl(['get', 'crd/mailrelays.mailrelay.dev', '-o', 'json']));
    const conditions: { type: string; status: string }[] = crd.status.conditions;
    assert.deepEqual(Object.fromEntries(conditions.map(({ type, status }) => [type, status])), {
      NamesAccepted: 'True',
      Established: 'True',
    });
  });

  for (const rule of rules) {
    test(rule.title, async () => {
      for (const spec of rule.accepted) {
        await tryOut(object(spec));
        assert.deepEqual(parseMailRelay(object(spec)).problems, undefined);
      }
      for (const spec of rule.refused) {
        assertRefused(await refusal(tryOut(object(spec))), rule);
        // The operator says no less than the API server, about objects that are older than a rule.
        if (!placement.test(rule.field)) {
          assert.ok(parseMailRelay(object(spec)).problems?.length, JSON.stringify(spec));
        }
      }
    });
  }

  for (const [at, rule] of transitions.entries()) {
    test(rule.title, async () => {
      const created = await client.create(mailRelays, object(rule.from, `change-${at}`));
      const changed = (spec: MailRelaySpecInput) =>
        client.replace(mailRelays, { ...created, spec: { ...minimalSpec, ...spec } }, { dryRun: true });
      for (const spec of rule.accepted) await changed(spec);
      for (const spec of rule.refused) assertRefused(await refusal(changed(spec)), rule);
    });
  }

  test('has a case here for every rule that there is', () => {
    const tried = new Set([nameRule, ...[...rules, ...transitions].map(({ message }) => message)]);
    const said = messagesOfRules();
    assert.ok(said.length > 25, `${said.length} rules`);
    assert.deepEqual(
      said.filter(message => !tried.has(message)),
      [],
    );
  });

  test('bounds every value and says what is allowed', async () => {
    for (const [spec, expected] of bounds) {
      const causes = await refusal(tryOut(object(spec)));
      assert.ok(
        causes.some(cause => expected.test(cause)),
        `${expected}\nbut:\n${causes.join('\n')}`,
      );
    }
  });

  test('takes a name that leaves room for those of its children', async () => {
    await tryOut(object({}, 'a'.repeat(46)));
    await tryOut(object({}, 'm-1'));
    for (const name of ['a'.repeat(47), '1mail', 'mail.one']) {
      assertRefused(await refusal(tryOut(object({}, name))), {
        field: '<nil>',
        message: nameRule,
      } as RuleCase);
    }
  });

  test('refuses a field that it does not know, where it is asked to be strict, as kubectl does', async () => {
    const misspelt = JSON.stringify(
      object({ forwardProviders: [{ ...provider, pasword: 'x' } as never] }, 'misspelt'),
    );
    await assert.rejects(
      server.kubectl(['create', '-f', '-'], misspelt),
      /strict decoding error: unknown field "spec\.forwardProviders\[0\]\.pasword"/,
    );
  });

  test('takes every example, and needs spec', async () => {
    for (const spec of Object.values(specs)) await tryOut(mailRelayObject(spec));
    const { spec: _, ...without } = object({});
    assert.ok((await refusal(tryOut(without))).includes('spec: Required value'));
  });

  test('fills in the same defaults as the operator does', async () => {
    for (const spec of Object.values(specs)) {
      const stored = await tryOut(mailRelayObject(spec));
      assert.deepEqual(stored.spec, JSON.parse(JSON.stringify(specSchema.parse(spec))));
    }
    const { spool, service, replicas, forwardSMTP } = (await tryOut(object({}))).spec as MailRelaySpec;
    assert.deepEqual(
      { spool, ports: service.ports, replicas, forwardSMTP },
      {
        spool: {
          mode: 'Shared',
          size: '1Gi',
          accessMode: 'ReadWriteOnce',
          retention: 'Retain',
          drainTimeoutSeconds: 600,
        },
        ports: [
          { name: 'smtp', port: 25 },
          { name: 'submission', port: 587 },
        ],
        replicas: 1,
        forwardSMTP: true,
      },
    );
  });

  test('keeps what it does not look into', async () => {
    const stored = await tryOut(mailRelayObject(everythingSpec));
    assert.deepEqual((stored.spec as MailRelaySpec).affinity, everythingSpec.affinity);
  });

  test('is scaled by kubectl scale, within the same rules', async () => {
    await client.create(mailRelays, object({ spool: { mode: 'PerReplica' } }, 'scaled'));
    await server.kubectl(['-n', 'apps', 'scale', 'mr/scaled', '--replicas=3']);
    const scaled = await client.get(mailRelays, { namespace: 'apps', name: 'scaled' });
    assert.equal((scaled.spec as MailRelaySpec).replicas, 3);
    await client.create(mailRelays, object({}, 'single'));
    await assert.rejects(
      server.kubectl(['-n', 'apps', 'scale', 'mr/single', '--replicas=2']),
      /must be 0 or 1 while spool\.mode is Shared/,
    );
  });

  test('shows its state in columns', async () => {
    const name = 'shown';
    await client.create(mailRelays, object({}, name));
    const at = '2026-01-01T00:00:00Z';
    const ready = { type: 'Ready', status: 'True', reason: 'Available', message: 'All is well.' };
    const status = {
      observedGeneration: 1,
      conditions: [{ ...ready, observedGeneration: 1, lastTransitionTime: at }],
      replicas: 1,
      readyReplicas: 1,
      usableProviders: '2/3',
      activeProvider: 'primary',
      providers: [{ name: 'primary', state: 'Active', since: at }],
      queue: { active: 4, failed: 7, dead: 2 },
      config: { fingerprint: '0123456789abcdef', loadedReplicas: 1 },
    };
    await client.mergePatch(mailRelays, { namespace: 'apps', name }, { status }, { subresource: 'status' });
    const short = await server.kubectl(['-n', 'apps', 'get', 'mr', name]);
    assert.match(short, /^NAME +READY +REASON +PROVIDERS +ACTIVE +FAILED +REPLICAS +AGE\n/);
    assert.match(short, /\nshown +True +Available +2\/3 +primary +7 +1 +/);
    const wide = await server.kubectl(['-n', 'apps', 'get', 'mailrelays', name, '-o', 'wide']);
    assert.match(wide, /QUEUED +DEAD +CONFIG +MESSAGE\n/);
    assert.match(wide, / 4 +2 +0123456789abcdef +All is well\./);
    assert.match(await server.kubectl(['-n', 'apps', 'get', 'all']), /mailrelay\.mailrelay\.dev\/shown/);
    await server.kubectl(['-n', 'apps', 'wait', '--for=condition=Ready', `mr/${name}`, '--timeout=5s']);
  });

  test('refuses a status that is out of its bounds', async () => {
    await client.create(mailRelays, object({}, 'bounded'));
    const ref = { namespace: 'apps', name: 'bounded' };
    const write = (status: object) =>
      client.mergePatch(mailRelays, ref, { status }, { subresource: 'status', dryRun: true });
    const causes = await refusal(write({ providers: [{ name: 'a', state: 'Wonderful' }] }));
    assert.match(causes.join(), /status\.providers\[0\]\.state: Unsupported value: "Wonderful"/);
  });

  test('explains itself', async () => {
    const spool = await server.kubectl(['explain', 'mailrelay.spec.spool.mode']);
    assert.match(spool, /ENUM:\s+Shared\s+PerReplica/);
    assert.match(spool, /Shared: a Deployment and one volume for all replicas\. PerReplica: a\s+StatefulSet/);
    const secret = await server.kubectl(['explain', 'mailrelay.spec.forwardProviders.secretRef']);
    assert.match(secret, /name\s+<string> -required-/);
    assert.match(secret, /Absent: no authentication\./);
    const resend = await server.kubectl(['explain', 'mr.spec.resend']);
    assert.match(resend, /expireAfterSeconds\s+<integer>/);
    const status = await server.kubectl(['explain', 'mailrelay.status.providers.state']);
    assert.match(status, /Suspended: it refused\s+the credentials/);
  });
});
