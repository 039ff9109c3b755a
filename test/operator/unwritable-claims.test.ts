/** Claims that an admission policy lets nobody change: what does not need them goes on. */
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { mailRelays } from '../../operator/api/mail-relay.ts';
import {
  configMaps,
  persistentVolumeClaims,
  services,
  statefulSets,
} from '../../operator/resources/kinds.ts';
import { childLabels } from '../../operator/resources/names.ts';
import { waitUntil } from '../kube/wait-until.ts';
import { gone } from './gone.ts';
import { claimSpec, openProvider, Rig, ref, relayStatus } from './rig.ts';
import { unchangeable } from './unchangeable.ts';

describe('a claim that may not be changed', () => {
  let rig: Rig;
  before(async () => {
    rig = await Rig.start();
    await rig.operator();
  });
  after(() => rig?.stop());

  /** Nobody changes claims in the namespace any more. Resolves with what ends it. */
  const guard = async (namespace: string): Promise<() => Promise<void>> => {
    const probe = ref(namespace, 'probe');
    await rig.client.create(persistentVolumeClaims, { metadata: probe, spec: claimSpec });
    return unchangeable(rig, persistentVolumeClaims, probe);
  };
  const makeClaim = async (namespace: string, name: string, labels?: Record<string, string>) => {
    await rig.client.create(persistentVolumeClaims, {
      metadata: { ...ref(namespace, name), ...(labels && { labels }) },
      spec: claimSpec,
    });
    await rig.bind(namespace, name);
  };
  const config = async (namespace: string): Promise<string> =>
    (await rig.client.get(configMaps, ref(namespace, 'mail-config'))).data!['config.json']!;
  const started = async (name: string, replicas: number): Promise<string> => {
    const namespace = await rig.namespace(name);
    const spool = { mode: 'PerReplica', drainTimeoutSeconds: 600 } as const;
    await rig.createRelay(namespace, { ...openProvider, replicas, spool });
    await rig.waitFor(statefulSets, ref(namespace));
    await rig.settled(await rig.audit.mark());
    return namespace;
  };

  test('is told, and holds up neither the configuration, nor other children, nor the drain of a deletion', async () => {
    const namespace = await started('labelled', 1);
    const letThrough = await guard(namespace);
    // As the StatefulSet controller makes it: Argo CD is not yet asked to leave it.
    await makeClaim(namespace, 'spool-mail-0', childLabels({ name: 'mail' }));
    const pod = await rig.createPod(namespace, 'mail-0', relayStatus('x'));
    const before = await config(namespace);
    await rig.patchRelay(namespace, { retry: { attempts: 7 }, service: { annotations: { a: 'b' } } });
    await waitUntil('the configuration is written', async () => (await config(namespace)) !== before);
    await rig.waitFor(services, ref(namespace), ({ metadata }) => metadata.annotations?.['a'] === 'b');
    const { message } = await rig.waitForReason(namespace, 'Stalled', 'Refused');
    assert.match(message, /PersistentVolumeClaim spool-mail-0: .*claims may not be changed here/);
    const { asked } = rig;
    await waitUntil('the pod is asked', () => rig.asked > asked);

    await rig.client.delete(mailRelays, ref(namespace));
    await waitUntil('the pod is told to drain', async () =>
      (JSON.parse(await config(namespace)).draining ?? []).includes('mail-0'),
    );
    rig.answers.set(pod, relayStatus('', { draining: true }));
    await letThrough();
    await gone(rig, namespace);
  });

  test('and has no labels by which it could be seen keeps its replica', async () => {
    const namespace = await started('bare', 2);
    const letThrough = await guard(namespace);
    await makeClaim(namespace, 'spool-mail-1');
    const before = await config(namespace);
    await rig.patchRelay(namespace, { replicas: 1, retry: { attempts: 7 } });
    await waitUntil('the configuration is written', async () => (await config(namespace)) !== before);
    await rig.waitForReason(namespace, 'Stalled', 'Refused');
    await rig.settled(await rig.audit.mark());
    assert.equal((await rig.client.get(statefulSets, ref(namespace))).spec?.replicas, 2);
    await letThrough();
    await rig.patchRelay(namespace, { retry: { attempts: 8 } });
    await rig.waitFor(
      persistentVolumeClaims,
      ref(namespace, 'spool-mail-1'),
      ({ metadata }) => metadata.labels?.['app.kubernetes.io/part-of'] === 'mailrelay',
    );
    await rig.waitForReason(namespace, 'Reconciling', 'ScalingDown');
    assert.equal((await rig.client.get(statefulSets, ref(namespace))).spec?.replicas, 2);
  });

  test('and has no labels keeps its MailRelay, which says so and does not try it over and over', async () => {
    const namespace = await started('bare-deletion', 1);
    const letThrough = await guard(namespace);
    await makeClaim(namespace, 'spool-mail-0');
    await rig.client.delete(mailRelays, ref(namespace));
    const { message } = await rig.waitForReason(namespace, 'Ready', 'Draining');
    assert.match(message, /^PersistentVolumeClaim spool-mail-0 must first be labelled/);
    assert.equal((await rig.waitForReason(namespace, 'Stalled', 'Refused')).status, 'True');
    await rig.settled(await rig.audit.mark());
    const mark = await rig.audit.mark();
    await delay(5000);
    const tried = (await rig.audit.since(mark)).filter(
      ({ verb, objectRef }) =>
        verb === 'patch' && objectRef?.namespace === namespace && objectRef.name === 'spool-mail-0',
    );
    assert.deepEqual(tried, []);
    await letThrough();
    await rig.patchRelay(namespace, { spool: { drainTimeoutSeconds: 1 } });
    await gone(rig, namespace);
    await rig.client.get(persistentVolumeClaims, ref(namespace, 'spool-mail-0'));
  });
});
