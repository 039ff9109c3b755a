/** Which fields start pods anew: the table in docs/kubernetes.md, pinned by the hash of the pod template. */
import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { describe, test } from 'node:test';
import type { MailRelaySpecInput } from '../../../operator/api/schema.ts';
import { manifestHash } from '../../../operator/kube/apply.ts';
import type { BuildContext } from '../../../operator/resources/context.ts';
import { podTemplate } from '../../../operator/resources/pod-template.ts';
import { everythingSpec, relayOf } from '../operator-api/relays.ts';
import { contextOf } from './contexts.ts';

type Change = (spec: MailRelaySpecInput) => MailRelaySpecInput;

const all = everythingSpec;
const [ses, aliyun, lan] = all.forwardProviders!;

function withProvider(change: Partial<NonNullable<typeof ses>>): Change {
  return spec => ({ ...spec, forwardProviders: [{ ...ses!, ...change }, aliyun!, lan!] });
}

function withListener(change: Partial<NonNullable<MailRelaySpecInput['listener']>>): Change {
  return spec => ({ ...spec, listener: { ...spec.listener, ...change } });
}

function withSpool(change: Partial<NonNullable<MailRelaySpecInput['spool']>>): Change {
  return spec => ({ ...spec, spool: { ...spec.spool, ...change } });
}

const is =
  (change: MailRelaySpecInput): Change =>
  spec => ({ ...spec, ...change });

/** Field → a change of it that the pod template shows. */
const restarts: Readonly<Record<string, Change>> = {
  'forwardProviders[].name': withProvider({ name: 'renamed' }),
  'forwardProviders[].secretRef': withProvider({ secretRef: { name: 'another' } }),
  'forwardProviders[].secretRef.usernameKey': withProvider({
    secretRef: { name: 'smtp-logins', usernameKey: 'other', passwordKey: 'ses-password' },
  }),
  'forwardProviders[].tls.caRef': withProvider({ tls: { caRef: { name: 'another' } } }),
  'a provider with a Secret is removed': spec => ({ ...spec, forwardProviders: [ses!, lan!] }),
  'a provider with a Secret is added': spec => ({
    ...spec,
    forwardProviders: [ses!, aliyun!, lan!, { name: 'new', host: 'h', port: 25, secretRef: { name: 'new' } }],
  }),
  'listener.tls.secretRef': withListener({ tls: { secretRef: { name: 'another' } } }),
  'listener.auth.secretRef': withListener({
    auth: { ...all.listener?.auth, secretRef: { name: 'another' } },
  }),
  image: is({ image: 'other:2' }),
  imagePullPolicy: is({ imagePullPolicy: 'Never' }),
  imagePullSecrets: is({ imagePullSecrets: [{ name: 'other' }] }),
  resources: is({ resources: { limits: { memory: '2Gi' } } }),
  nodeSelector: is({ nodeSelector: { disk: 'ssd' } }),
  tolerations: is({ tolerations: [] }),
  affinity: is({ affinity: {} }),
  topologySpreadConstraints: is({ topologySpreadConstraints: [] }),
  priorityClassName: is({ priorityClassName: 'other' }),
  podLabels: is({ podLabels: { a: 'b' } }),
  podAnnotations: is({ podAnnotations: { a: 'b' } }),
};

/** Field → a change of it that running pods take over, or that is not about pods. */
const live: Readonly<Record<string, Change>> = {
  forwardSMTP: is({ forwardSMTP: false }),
  'forwardProviders, in another order': spec => ({ ...spec, forwardProviders: [lan!, aliyun!, ses!] }),
  'a provider without a Secret is added or removed': spec => ({ ...spec, forwardProviders: [ses!, aliyun!] }),
  'forwardProviders[].name, without a Secret': spec => ({
    ...spec,
    forwardProviders: [ses!, aliyun!, { ...lan!, name: 'renamed' }],
  }),
  'forwardProviders[].host, port, ssl, priority': withProvider({
    host: 'h',
    port: 465,
    ssl: true,
    priority: 1,
  }),
  'forwardProviders[].tls but caRef': withProvider({
    tls: { ...ses!.tls, serverName: 'other', minVersion: 'TLSv1.2' },
  }),
  'forwardProviders[].limits, timeouts': withProvider({ limits: {}, timeouts: {} }),
  retry: is({ retry: {} }),
  resend: is({ resend: {} }),
  'listener but its Secrets': withListener({
    ...{ hostname: 'other', maxMessageBytes: 1e6, maxConnections: 7, allowedNetworks: ['10.0.0.0/8'] },
    auth: { ...all.listener?.auth, required: false, allowClearText: true },
  }),
  service: is({ service: { type: 'ClusterIP' } }),
  'spool.size, retention, drainTimeoutSeconds': withSpool({
    ...{ size: '30Gi', retention: 'Retain', drainTimeoutSeconds: 1 },
  }),
  replicas: is({ replicas: 5 }),
  networkPolicy: is({ networkPolicy: { enabled: false } }),
  monitoring: is({ monitoring: { serviceMonitor: { enabled: false } } }),
  suspend: is({ suspend: true }),
};

function hashOf(
  spec: MailRelaySpecInput,
  context: Partial<BuildContext> = {},
  metadata: object = {},
): string {
  const relay = relayOf(spec, metadata);
  return manifestHash(podTemplate(relay, contextOf(relay, context)) as Parameters<typeof manifestHash>[0]);
}

describe('pods', () => {
  const before = hashOf(all);

  for (const [what, change] of Object.entries(restarts)) {
    test(`start anew: ${what}`, () => assert.notEqual(hashOf(change(all)), before));
  }
  for (const [what, change] of Object.entries(live)) {
    test(`go on: ${what}`, () => assert.equal(hashOf(change(all)), before));
  }

  test('go on through what is not in the spec: resends, drains, a larger volume, a new version of the object', () => {
    const asked = { annotations: { 'mailrelay.dev/resend-requested-at': 'now' }, generation: 9 };
    const context = { draining: ['mail-1'], replicas: 7, liveTemplateSize: '1Gi', liveClaimSize: '1Gi' };
    assert.equal(hashOf(all, context, asked), before);
  });

  test("start anew with the operator's image only where the spec names none", () => {
    assert.equal(hashOf(all, { image: 'relay:2' }), before);
    const { image: _, ...without } = all;
    assert.notEqual(hashOf(without, { image: 'relay:2' }), hashOf(without));
  });

  test('have a case here for every field of the spec', () => {
    const told = Object.keys({ ...restarts, ...live }).join(' ');
    for (const field of Object.keys(all)) assert.ok(told.includes(field), field);
    assert.deepEqual(
      Object.keys(all.spool ?? {})
        .filter(field => !told.includes(field))
        .sort(),
      [
        // Cannot be changed.
        'accessMode',
        'mode',
        'storageClassName',
      ],
    );
  });

  test('are described by the page, field by field', async () => {
    const page = await readFile(new URL('../../../docs/kubernetes.md', import.meta.url), 'utf8');
    const section = page.split('## What restarts pods')[1]?.split('\n## ')[0] ?? '';
    const [anew = '', on = ''] = section.split('Everything else');
    for (const field of Object.keys(restarts).filter(name => !name.includes(' '))) {
      assert.ok(anew.includes(`\`${field}\``) || anew.includes(`\`${field.replace(/\.\w+$/, '')}\``), field);
      assert.ok(!on.includes(`\`${field}\``), field);
    }
  });
});
