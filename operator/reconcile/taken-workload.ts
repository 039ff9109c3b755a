/**
 * Whether somebody else's workload has the name of ours. Its pods have names and labels like ours, and what they say is
 * nothing that a MailRelay may tell as its own.
 */
import type { MailRelay } from '../api/mail-relay.ts';
import type { ReconcilerDeps } from './deps.ts';
import { isTheirs, whose } from './ownership.ts';
import { endingPods, livePods } from './pods.ts';
import { cachedWorkload, workloadNow } from './workload.ts';

/**
 * The API server is asked only about an orphan, which may be a copy, and where there are pods and the cache, which
 * selects by labels, shows no workload.
 */
export async function isWorkloadTaken(
  relay: MailRelay,
  { caches, client }: Pick<ReconcilerDeps, 'caches' | 'client'>,
): Promise<boolean> {
  const cached = cachedWorkload(relay, caches);
  if (cached !== undefined && whose(relay, cached) !== 'orphan') return whose(relay, cached) === 'foreign';
  const isCalm = livePods(relay, caches).length + endingPods(relay, caches).length === 0;
  if (cached === undefined && isCalm) return false;
  const found = await workloadNow(relay, client);
  return found !== undefined && isTheirs(relay, found);
}
