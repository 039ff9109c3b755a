import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { mailRelays } from '../../operator/api/mail-relay.ts';
import { annotations } from '../../operator/api/names.ts';
import { events } from '../../operator/kube/event-wire.ts';
import type { KubeObject } from '../../operator/kube/object.ts';
import type { Resource } from '../../operator/kube/resource.ts';
import { pods } from '../../operator/reconcile/caches.ts';
import {
  configMaps,
  deployments,
  prometheusRules,
  serviceMonitors,
  services,
} from '../../operator/resources/kinds.ts';
import { waitUntil } from '../kube/wait-until.ts';
import { monitoringDefinitions } from './monitoring.ts';
import { openProvider, Rig, relayStatus } from './rig.ts';
import { unanswered, webhooks } from './unanswered.ts';

describe('a child that cannot be written', () => {
  let rig: Rig;
  before(async () => {
    rig = await Rig.start();
    for (const definition of monitoringDefinitions) await rig.define(definition);
    await rig.operator();
  });
  after(() => rig?.stop());

  const annotate = (namespace: string, texts: Record<string, string>) =>
    rig.client.mergePatch(mailRelays, { name: 'mail', namespace }, { metadata: { annotations: texts } });

  /** Nobody writes objects of that kind in the namespace any more. Resolves with what ends it. */
  const guard = async (resource: Resource, namespace: string): Promise<() => Promise<unknown>> => {
    const { metadata } = await rig.client.create(webhooks, unanswered(resource, namespace));
    const attempt = { metadata: { name: 'attempt', namespace }, spec: {} } as KubeObject;
    await waitUntil(`no ${resource.kind} can be written`, async () => {
      const made = await rig.client.create(resource, attempt).catch(() => undefined);
      if (made !== undefined) await rig.client.delete(resource, attempt.metadata);
      return made === undefined;
    });
    return () => rig.client.delete(webhooks, metadata);
  };
  const lastHandledResend = async (namespace: string) =>
    (await rig.relay(namespace)).status?.lastHandledResendAt;
  const fingerprintAnnotation = async (namespace: string, pod: string) =>
    (await rig.client.get(pods, { name: pod, namespace })).metadata.annotations?.[
      annotations.configFingerprint
    ];

  test('and that pods do without holds up neither the workload nor the pods, and is tried again', async () => {
    const namespace = await rig.namespace('optional');
    const letThrough = await guard(prometheusRules, namespace);
    const ref = { name: 'mail', namespace };
    const mark = await rig.audit.mark();
    await rig.createRelay(namespace, openProvider);
    await rig.waitFor(deployments, ref);
    await rig.waitFor(serviceMonitors, ref);
    const { message } = await rig.waitForReason(namespace, 'Reconciling', 'Retrying');
    assert.match(message, /^PrometheusRule mail: .*failed calling webhook/);
    await waitUntil('it is tried again, and again', async () => {
      const tries = (await rig.audit.since(mark)).filter(
        ({ verb, objectRef }) =>
          verb === 'patch' && objectRef?.resource === 'prometheusrules' && objectRef.namespace === namespace,
      );
      return tries.length >= 4;
    });

    const answer = relayStatus('earlier');
    await rig.createPod(namespace, 'mail-a', {
      ...answer,
      queue: { ...answer.queue, failed: { messages: 4, bytes: 40 } },
    });
    await waitUntil('the pod is asked', async () => (await rig.relay(namespace)).status?.queue?.failed === 4);
    const { status } = await rig.relay(namespace);
    await waitUntil(
      'the pod is told of its configuration',
      async () => (await fingerprintAnnotation(namespace, 'mail-a')) === status?.config?.fingerprint,
    );
    await rig.patchRelay(namespace, { image: 'relay.example.com/mailrelay:2' });
    await rig.waitFor(
      deployments,
      ref,
      ({ spec }) => spec?.template.spec?.containers[0]?.image === 'relay.example.com/mailrelay:2',
    );
    await annotate(namespace, { [annotations.resendRequestedAt]: 'now' });
    await waitUntil('the resend is said', async () => (await lastHandledResend(namespace)) === 'now');

    await letThrough();
    await annotate(namespace, { [annotations.reconcileRequestedAt]: 'now' });
    await rig.waitFor(prometheusRules, ref);
    await waitUntil(
      'it is no longer retried',
      async () => (await rig.condition(namespace, 'Reconciling'))?.reason !== 'Retrying',
    );
  });

  test('and that pods do without does not keep a MailRelay from draining and going', async () => {
    const namespace = await rig.namespace('going');
    const ref = { name: 'mail', namespace };
    await rig.createRelay(namespace, { ...openProvider, spool: { drainTimeoutSeconds: 1 } });
    await rig.waitFor(prometheusRules, ref);
    await rig.createPod(namespace, 'mail-a', relayStatus('earlier'));
    await waitUntil('the pod is asked', async () => (await rig.relay(namespace)).status?.queue !== undefined);
    await guard(prometheusRules, namespace);
    // Somebody's edit that cannot be undone now.
    await rig.client.delete(prometheusRules, ref);
    await rig.waitForReason(namespace, 'Reconciling', 'Retrying');
    const before = await fingerprintAnnotation(namespace, 'mail-a');
    await rig.client.delete(mailRelays, ref);
    await waitUntil(
      'the pod is told to drain',
      async () => (await fingerprintAnnotation(namespace, 'mail-a')) !== before,
    );
    await rig.client.delete(pods, { name: 'mail-a', namespace });
    await waitUntil('it is gone', async () => (await rig.client.find(mailRelays, ref)) === undefined);
  });

  test('and that pods need is waited for: neither the workload nor the pods hear of it before', async () => {
    const namespace = await rig.namespace('needed');
    const ref = { name: 'mail', namespace };
    await rig.createRelay(namespace, openProvider);
    await rig.waitFor(deployments, ref);
    await rig.createPod(namespace, 'mail-a', relayStatus('earlier'));
    await waitUntil(
      'the pod is told of its configuration',
      async () => (await fingerprintAnnotation(namespace, 'mail-a')) !== undefined,
    );
    await rig.settled(await rig.audit.mark());
    const told = await fingerprintAnnotation(namespace, 'mail-a');
    const letThrough = await guard(configMaps, namespace);
    await rig.patchRelay(namespace, {
      image: 'relay.example.com/mailrelay:2',
      retry: { attempts: 5 },
      service: { annotations: { 'example.com/more': 'yes' } },
    });
    await rig.waitFor(services, ref, ({ metadata }) => metadata.annotations?.['example.com/more'] === 'yes');
    const { message } = await rig.waitForReason(namespace, 'Reconciling', 'Retrying');
    assert.match(message, /^ConfigMap mail-config: .*failed calling webhook/);
    const { spec } = await rig.client.get(deployments, ref);
    assert.equal(spec?.template.spec?.containers[0]?.image, 'relay.example.com/mailrelay:1');
    assert.equal(await fingerprintAnnotation(namespace, 'mail-a'), told);
    await annotate(namespace, { [annotations.resendRequestedAt]: 'now' });
    await rig.settled(await rig.audit.mark());
    assert.equal(await lastHandledResend(namespace), undefined);

    await letThrough();
    await annotate(namespace, { [annotations.reconcileRequestedAt]: 'now' });
    await waitUntil('the resend is said', async () => (await lastHandledResend(namespace)) === 'now');
    await rig.waitFor(
      deployments,
      ref,
      live => live.spec?.template.spec?.containers[0]?.image === 'relay.example.com/mailrelay:2',
    );
    await waitUntil(
      'the pod is told of its configuration',
      async () => (await fingerprintAnnotation(namespace, 'mail-a')) !== told,
    );
  });

  test('since its name is taken takes the resend with it: it is said when it was written', async () => {
    const namespace = await rig.namespace('taken');
    const config = { name: 'mail-config', namespace };
    await rig.client.create(configMaps, { metadata: config, data: { mine: 'yes' } });
    await rig.createRelay(namespace, openProvider, {
      annotations: { [annotations.resendRequestedAt]: 'now' },
    });
    await rig.waitForReason(namespace, 'Stalled', 'NameTaken');
    await rig.createPod(namespace, 'mail-a', relayStatus('earlier'));
    await waitUntil('the pod is asked', async () => (await rig.relay(namespace)).status?.queue !== undefined);
    await rig.settled(await rig.audit.mark());
    assert.equal(await lastHandledResend(namespace), undefined);
    assert.equal(await fingerprintAnnotation(namespace, 'mail-a'), undefined);
    const told = (await rig.client.list(events, { namespace })).items as unknown as { reason: string }[];
    assert.deepEqual(
      told.map(({ reason }) => reason),
      ['NameTaken'],
    );

    await rig.client.delete(configMaps, config);
    await annotate(namespace, { [annotations.reconcileRequestedAt]: 'now' });
    await waitUntil('the resend is said', async () => (await lastHandledResend(namespace)) === 'now');
    assert.match(await rig.waitForEvent(namespace, 'ResendRequested'), /as asked at now/);
    await waitUntil(
      'the pod is told of its configuration',
      async () => (await fingerprintAnnotation(namespace, 'mail-a')) !== undefined,
    );
  });

  const mistakes: readonly [string, Record<string, unknown>, RegExp][] = [
    ['a field that there is not', { nodeAfinity: {} }, /nodeAfinity: field not declared in schema/],
    ['text for an object', { nodeAffinity: 'x' }, /nodeAffinity: expected map, got/],
    [
      'a value that is not allowed',
      {
        nodeAffinity: {
          preferredDuringSchedulingIgnoredDuringExecution: [{ weight: 1000, preference: {} }],
        },
      },
      /weight: Invalid value: 1000/,
    ],
  ];
  for (const [index, [what, affinity, words]] of mistakes.entries()) {
    test(`for ${what} in affinity is Stalled with the words of the API server, until it is mended`, async () => {
      const namespace = await rig.namespace(`mistake-${index}`);
      const ref = { name: 'mail', namespace };
      await rig.createRelay(namespace, { ...openProvider, affinity });
      const { message } = await rig.waitForReason(namespace, 'Stalled', 'Refused');
      assert.match(message, /^Deployment mail: /);
      assert.match(message, words);
      assert.equal(await rig.condition(namespace, 'Reconciling'), undefined);
      await rig.patchRelay(namespace, { affinity: null });
      await rig.waitFor(deployments, ref);
      await waitUntil('it is no longer stalled', async () => !(await rig.condition(namespace, 'Stalled')));
    });
  }
});
