/**
 * The workload of a MailRelay that goes, found by name as Kubernetes finds it: also one that no cache shows since it lost
 * the labels that are selected by while nothing was written, as during a suspension. Without it nobody would be told to
 * drain.
 */
import type { MailRelay } from '../api/mail-relay.ts';
import type { ReconcilerDeps } from './deps.ts';
import { giveLabelsBack } from './labels-back.ts';
import { isOwnWorkload } from './ownership.ts';
import { liveWorkload, workloadNow, workloadResource } from './workload.ts';

/** The API server is asked only where the cache shows none. */
export async function takeUpWorkload(
  relay: MailRelay,
  deps: Pick<ReconcilerDeps, 'client' | 'caches' | 'mayWrite'>,
): Promise<void> {
  if (liveWorkload(relay, deps.caches) !== undefined) return;
  const found = await workloadNow(relay, deps.client);
  if (found === undefined || !isOwnWorkload(relay, found)) return;
  await giveLabelsBack(relay, workloadResource(relay), found, deps);
}
