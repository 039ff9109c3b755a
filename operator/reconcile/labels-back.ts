/**
 * What is a MailRelay's and has lost the labels that caches select by, found by name, gets them back: only then does a
 * watch tell what becomes of it. Nothing else of it is changed, since nothing was planned for it.
 */
import type { MailRelay } from '../api/mail-relay.ts';
import { fieldManager } from '../api/names.ts';
import { isConflict } from '../kube/api-error.ts';
import { NotLeaderError } from '../kube/apply.ts';
import type { KubeObject } from '../kube/object.ts';
import type { Resource } from '../kube/resource.ts';
import { childLabels } from '../resources/names.ts';
import type { ReconcilerDeps } from './deps.ts';
import { TryAgainError } from './try-again.ts';

/** Puts `found`, as the API server has it, into the cache; writes only where a label is missing. */
export async function giveLabelsBack<T extends KubeObject>(
  relay: MailRelay,
  resource: Resource<T>,
  found: T,
  { client, caches, mayWrite }: Pick<ReconcilerDeps, 'client' | 'caches' | 'mayWrite'>,
): Promise<void> {
  const { name, uid, resourceVersion, labels: has } = found.metadata;
  const labels = childLabels(relay);
  const cache = caches.of(resource, relay.namespace);
  if (Object.entries(labels).every(([label, value]) => has?.[label] === value)) {
    cache?.observe(found);
    return;
  }
  if (!mayWrite()) throw new NotLeaderError();
  const patch = { metadata: { uid, resourceVersion, labels } };
  try {
    cache?.observe(await client.mergePatch(resource, found.metadata, patch, { fieldManager }));
  } catch (error) {
    if (isConflict(error)) throw new TryAgainError(`${resource.kind} ${name} has changed meanwhile`);
    throw error;
  }
}
