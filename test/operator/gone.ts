/** The end of a MailRelay where no controllers are: its pods end when its workload wants none. */
import { setTimeout as delay } from 'node:timers/promises';
import { mailRelays } from '../../operator/api/mail-relay.ts';
import { labels } from '../../operator/api/names.ts';
import { pods } from '../../operator/reconcile/caches.ts';
import { deployments, statefulSets } from '../../operator/resources/kinds.ts';
import { waitUntil } from '../kube/wait-until.ts';
import type { Rig } from './rig.ts';

const timeoutMs = 60_000;

/** Waits until it is gone, and takes its pods away when the operator wants that. */
export async function gone(rig: Rig, namespace: string, name = 'mail'): Promise<void> {
  const ref = { name, namespace };
  const isGone = async () => {
    // Several requests a look, and seconds to wait.
    await delay(100);
    return (await rig.client.find(mailRelays, ref)) === undefined;
  };
  const wantsNone = async () => {
    const deployment = await rig.client.find(deployments, ref);
    const set = await rig.client.find(statefulSets, ref);
    return (deployment?.spec?.replicas ?? 0) === 0 && (set?.spec?.replicas ?? 0) === 0;
  };
  const what = `${namespace}/${name} is gone`;
  await waitUntil(
    `${what}, or its workload wants no pod`,
    async () => (await isGone()) || wantsNone(),
    timeoutMs,
  );
  const labelSelector = `${labels.instance}=${name}`;
  const { items } = await rig.client.list(pods, { namespace, labelSelector });
  for (const { metadata } of items) await rig.client.delete(pods, metadata, { gracePeriodSeconds: 0 });
  await waitUntil(what, isGone, timeoutMs);
}
