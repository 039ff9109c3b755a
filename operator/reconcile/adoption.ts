/**
 * Whether an orphan may become a child: what `kubectl delete --cascade=orphan` leaves, and what lost its
 * ownerReferences. Labels alone say little, since anybody may have copied them: it must be written by this operator,
 * and asked is the API server, as a cache may show the orphan before it shows that its MailRelay is letting it go.
 */
import { type MailRelay, type MailRelayObject, mailRelays } from '../api/mail-relay.ts';
import type { KubeObject, ObjectRef } from '../kube/object.ts';
import type { KubeClient, Resource } from '../kube/resource.ts';
import { isWrittenByUs, whose } from './ownership.ts';
import { TryAgainError } from './try-again.ts';

/** Put by the API server for `kubectl delete --cascade=foreground` (metav1.FinalizerDeleteDependents). */
export const foregroundDeletion = 'foregroundDeletion';
/** Put by the API server for `kubectl delete --cascade=orphan` (metav1.FinalizerOrphanDependents). */
export const orphanDependents = 'orphan';

/**
 * The orphan as it is now, if it may be adopted; undefined when somebody else wrote it. A deletion in the background
 * is no hindrance: what is adopted then is drained and goes with the others. Throws TryAgainError when it has changed.
 */
export async function adoptable<T extends KubeObject>(
  relay: MailRelay,
  resource: Resource<T>,
  ref: ObjectRef,
  client: KubeClient,
): Promise<T | undefined> {
  const [live, owner] = await Promise.all([
    ownOrphan(relay, resource, ref, client),
    client.find(mailRelays, relay),
  ]);
  if (live === undefined) return undefined;
  if (live.metadata.deletionTimestamp !== undefined) {
    throw new TryAgainError(`${resource.kind} ${ref.name} was deleted and is still going`);
  }
  if (!keepsChildren(relay, owner)) throw new TryAgainError(`the MailRelay has changed meanwhile`);
  return live;
}

/** The orphan as it is now; undefined when somebody else wrote it. Throws TryAgainError when it is none any more. */
export async function ownOrphan<T extends KubeObject>(
  relay: MailRelay,
  resource: Resource<T>,
  ref: ObjectRef,
  client: Pick<KubeClient, 'find'>,
): Promise<T | undefined> {
  const live = await client.find(resource, ref);
  if (live === undefined || whose(relay, live) !== 'orphan') {
    throw new TryAgainError(`${resource.kind} ${ref.name} has changed meanwhile`);
  }
  return isWrittenByUs(live) ? live : undefined;
}

/** The garbage collector is not about to take its children away from it, or it away from its children. */
function keepsChildren({ uid }: MailRelay, owner: MailRelayObject | undefined): boolean {
  if (owner === undefined || owner.metadata.uid !== uid) return false;
  const { finalizers = [] } = owner.metadata;
  return !finalizers.includes(orphanDependents) && !finalizers.includes(foregroundDeletion);
}
