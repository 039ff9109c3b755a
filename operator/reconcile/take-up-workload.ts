/**
 * The workload of a MailRelay that goes, found by name as Kubernetes finds it: also one that no cache shows since it lost
 * the labels that are selected by while nothing was written, as during a suspension. Without it nobody would be told to
 * drain. It gets them back: of one without them no watch would tell when it goes.
 */
import type { MailRelay } from '../api/mail-relay.ts';
import { fieldManager } from '../api/names.ts';
import { isConflict } from '../kube/api-error.ts';
import { NotLeaderError } from '../kube/apply.ts';
import { childLabels } from '../resources/names.ts';
import type { ReconcilerDeps } from './deps.ts';
import { isOwnWorkload } from './ownership.ts';
import { TryAgainError } from './try-again.ts';
import { liveWorkload, workloadNow, workloadResource } from './workload.ts';

/** The API server is asked only where the cache shows none. */
export async function takeUpWorkload(
  relay: MailRelay,
  { client, caches, mayWrite }: Pick<ReconcilerDeps, 'client' | 'caches' | 'mayWrite'>,
): Promise<void> {
  if (liveWorkload(relay, caches) !== undefined) return;
  const found = await workloadNow(relay, client);
  if (found === undefined || !isOwnWorkload(relay, found)) return;
  if (!mayWrite()) throw new NotLeaderError();
  const resource = workloadResource(relay);
  const { uid, resourceVersion } = found.metadata;
  const patch = { metadata: { uid, resourceVersion, labels: childLabels(relay) } };
  try {
    const labelled = await client.mergePatch(resource, found.metadata, patch, { fieldManager });
    caches.of(resource, relay.namespace)?.observe(labelled);
  } catch (error) {
    if (isConflict(error)) throw new TryAgainError(`${resource.kind} ${relay.name} has changed meanwhile`);
    throw error;
  }
}
