import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { isDeepStrictEqual } from 'node:util';
import { mailRelays } from '../../operator/api/mail-relay.ts';
import type { Operator } from '../../operator/operator.ts';
import { deployments, services } from '../../operator/resources/kinds.ts';
import { waitUntil } from '../kube/wait-until.ts';
import { gone } from './gone.ts';
import { openProvider, Rig, relayStatus } from './rig.ts';
import { unanswered, webhooks } from './unanswered.ts';

/** What an operator says of each MailRelay, by `namespace/name`. */
type Told = Readonly<Record<string, { readonly pods?: number; readonly state?: string }>>;

async function told(operator: Operator): Promise<Told> {
  const text = await (await fetch(`http://127.0.0.1:${operator.probesPort}/metrics`)).text();
  const found: Record<string, object> = {};
  const lines = text.matchAll(
    /^mailrelay_operator_relay_\w+\{relay_namespace="(.+?)",relay="(.+?)"(?:,state="(.+?)")?\} (\d+)$/gm,
  );
  for (const [, namespace, name, state, value] of lines) {
    const key = `${namespace}/${name}`;
    found[key] = { ...found[key], ...(state === undefined ? { pods: Number(value) } : { state }) };
  }
  return found;
}

describe('the metrics of the operator say of a MailRelay', () => {
  let rig: Rig;
  let operator: Operator;
  before(async () => {
    rig = await Rig.start();
    operator = await rig.operator();
  });
  after(() => rig?.stop());

  const waitFor = async (namespace: string, pods: number, state?: string): Promise<void> => {
    const wanted = { pods, ...(state !== undefined && { state }) };
    let last: object | undefined;
    await waitUntil(`${namespace}/mail is told as ${JSON.stringify(wanted)}`, async () => {
      last = (await told(operator))[`${namespace}/mail`];
      return isDeepStrictEqual(last, wanted);
    }).catch(error => {
      throw new Error(`${(error as Error).message}; it is told as ${JSON.stringify(last)}`);
    });
  };

  test('that it is not ready, then that it is, then that it is suspended', async () => {
    const namespace = await rig.namespace('ready');
    const ref = { name: 'mail', namespace };
    await rig.createRelay(namespace, openProvider);
    await waitFor(namespace, 1, 'not-ready');
    const fingerprint = (await rig.relay(namespace)).status?.config?.fingerprint ?? '';
    const [primary] = relayStatus('').providers;
    await rig.createPod(namespace, 'mail-a', relayStatus(fingerprint, { providers: [primary!] }));
    const { metadata } = await rig.client.get(deployments, ref);
    const one = { replicas: 1, readyReplicas: 1, updatedReplicas: 1, availableReplicas: 1 };
    const status = { observedGeneration: metadata.generation, ...one };
    await rig.client.mergePatch(deployments, ref, { status }, { subresource: 'status' });
    await waitFor(namespace, 1, 'ready');
    await rig.patchRelay(namespace, { suspend: true, replicas: 0 });
    await waitFor(namespace, 1, 'suspended');
  });

  test('that no pods of it are to be found when none are wanted, or nothing reads them', async () => {
    const namespace = await rig.namespace('none');
    await rig.createRelay(namespace, openProvider);
    await waitFor(namespace, 1, 'not-ready');
    await rig.patchRelay(namespace, { replicas: 0 });
    await waitFor(namespace, 0, 'not-ready');
    await rig.patchRelay(namespace, { replicas: 1 });
    await waitFor(namespace, 1, 'not-ready');
    await rig.patchRelay(namespace, { monitoring: { serviceMonitor: { enabled: false } } });
    await waitFor(namespace, 0, 'not-ready');
  });

  test('that it fails while a child cannot be written, and no longer when it can', async () => {
    const namespace = await rig.namespace('failing');
    const { metadata } = await rig.client.create(webhooks, unanswered(services, namespace));
    await rig.createRelay(namespace, openProvider);
    await waitFor(namespace, 1, 'failing');
    await rig.client.delete(webhooks, metadata);
    await waitFor(namespace, 1, 'not-ready');
  });

  test('that it fails when it is its status that cannot be written', async () => {
    const namespace = await rig.namespace('untold');
    await rig.createRelay(namespace, openProvider);
    await waitFor(namespace, 1, 'not-ready');
    const { apiVersion } = mailRelays;
    const hook = unanswered({ apiVersion, plural: 'mailrelays/status' }, namespace);
    const { metadata } = await rig.client.create(webhooks, hook);
    const ref = { name: 'mail', namespace };
    await waitUntil('nobody can write the status', async () => {
      const status = { queue: { active: 1, failed: 0, held: 0, dead: 0 } };
      const written = rig.client.mergePatch(mailRelays, ref, { status }, { subresource: 'status' });
      return written.then(
        () => false,
        () => true,
      );
    });
    await rig.patchRelay(namespace, { retry: { attempts: 5 } });
    await waitFor(namespace, 1, 'failing');
    assert.notEqual((await rig.condition(namespace, 'Reconciling'))?.reason, 'Retrying');
    await rig.client.delete(webhooks, metadata);
    await waitFor(namespace, 1, 'not-ready');
  });

  test('that it is stalled, and how many pods it has, when nothing can be made of its spec', async () => {
    const namespace = await rig.namespace('stalled');
    await rig.createRelay(namespace, openProvider);
    await waitFor(namespace, 1, 'not-ready');
    const wrong = { replicas: 0, resend: { initialDelaySeconds: 600, maxDelaySeconds: 60 } };
    await rig.withoutRules(() => rig.patchRelay(namespace, wrong));
    await waitFor(namespace, 1, 'stalled');
  });

  test('that there are no pods of it to be found when it goes and is gone', async () => {
    const namespace = await rig.namespace('gone');
    await rig.createRelay(namespace, openProvider);
    await waitFor(namespace, 1, 'not-ready');
    await rig.createPod(
      namespace,
      'mail-a',
      relayStatus('', { queue: { ...relayStatus('').queue, failed: { messages: 1, bytes: 9 } } }),
    );
    await waitUntil('the pod is asked', async () => (await rig.relay(namespace)).status?.queue?.failed === 1);
    await rig.client.delete(mailRelays, { name: 'mail', namespace });
    await waitFor(namespace, 0, 'not-ready');
    await rig.patchRelay(namespace, { spool: { drainTimeoutSeconds: 1 } });
    await gone(rig, namespace);
    await waitFor(namespace, 0);
  });

  test('nothing where another operator leads, until that one has ended', async () => {
    await rig.stopOperator(operator);
    const leader = await rig.operator([]);
    await waitUntil('it speaks', async () => 'ready/mail' in (await told(leader)));
    const standby = await rig.operator([]);
    assert.deepEqual(await told(standby), {});
    const before = await told(leader);
    await rig.stopOperator(leader);
    operator = standby;
    await waitUntil('the other one says the same', async () => {
      const now = await told(standby);
      return Object.keys(before).every(key => isDeepStrictEqual(now[key], before[key]));
    });
  });
});
