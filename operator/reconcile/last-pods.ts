/**
 * The end of a MailRelay's pods. The workload is told to have none, in place: also where its spec is wrong, or where
 * what its pods need is somebody else's. Who is still there is waited for, since a pod that ends may write on its volume
 * until it is gone; the last word has the API server, as caches may be behind.
 */
import type { MailRelay } from '../api/mail-relay.ts';
import { fieldManager } from '../api/names.ts';
import { isConflict, isNotFound } from '../kube/api-error.ts';
import { NotLeaderError } from '../kube/apply.ts';
import type { KubeObject } from '../kube/object.ts';
import type { Deployment, StatefulSet } from '../resources/kinds.ts';
import { ownerReference } from '../resources/names.ts';
import { ownOrphan } from './adoption.ts';
import { targetOf } from './apply-children.ts';
import type { ReconcilerDeps } from './deps.ts';
import { isOursToTake, isTheirs, whose } from './ownership.ts';
import { endingPods, livePods, podsNow } from './pods.ts';
import { TryAgainError } from './try-again.ts';
import type { WorkloadVersion } from './volume-marks.ts';
import { liveWorkload, workloadNow, workloadResource, workloadVersion } from './workload.ts';

/** The workload and the pods when nothing more is wanted of them. */
export interface Rest {
  /** undefined: there is none, or it is somebody else's. */
  readonly workload: WorkloadVersion | undefined;
  /** In words, what must come to pass before the MailRelay may go; undefined = nothing. */
  readonly awaited: string | undefined;
}

/** Lets the workload want no pod. Nothing is made of a workload that is not there. */
export async function scaleToNothing(relay: MailRelay, deps: ReconcilerDeps): Promise<void> {
  const live = liveWorkload(relay, deps.caches);
  if (live === undefined || (live.spec?.replicas ?? 0) === 0) return;
  const target = await targetOf(relay, workloadResource(relay), live, deps.client);
  if (target === undefined) return;
  const { resourceVersion, ownerReferences = [] } = target.live.metadata;
  // An orphan becomes a child, so that it goes with its MailRelay.
  const adopted = { resourceVersion, ownerReferences: [...ownerReferences, ownerReference(relay)] };
  await wantNone(relay, target.live, target.exactly ? adopted : {}, deps);
}

/**
 * The same for a MailRelay whose children Kubernetes takes: it does not come for an orphan of ours, which is no child,
 * and must not become one any more.
 */
export async function scaleOrphanToNothing(relay: MailRelay, deps: ReconcilerDeps): Promise<void> {
  const live = liveWorkload(relay, deps.caches);
  if (live === undefined || (live.spec?.replicas ?? 0) === 0 || whose(relay, live) !== 'orphan') return;
  const orphan = await ownOrphan(relay, workloadResource(relay), live.metadata, deps.client);
  if (orphan === undefined) return;
  await wantNone(relay, orphan, { resourceVersion: orphan.metadata.resourceVersion }, deps);
}

async function wantNone(
  relay: MailRelay,
  { metadata: { uid, name, namespace } }: KubeObject,
  metadata: object,
  { client, caches, mayWrite }: ReconcilerDeps,
): Promise<void> {
  if (!mayWrite()) throw new NotLeaderError();
  const resource = workloadResource(relay);
  const ref = { name, ...(namespace !== undefined && { namespace }) };
  const patch = { metadata: { uid, ...metadata }, spec: { replicas: 0 } };
  const cache = caches.of(resource, namespace);
  await cache
    ?.whileWriting(ref, async () => {
      cache.observe(await client.mergePatch(resource, ref, patch, { fieldManager }));
    })
    .catch((error: unknown) => {
      if (!isConflict(error) && !isNotFound(error)) throw error;
      throw new TryAgainError(`${resource.kind} ${name} has changed meanwhile`);
    });
}

/** Looks whether anybody is left, or may still come. */
export async function lookAtRest(relay: MailRelay, deps: ReconcilerDeps): Promise<Rest> {
  const found = await workloadNow(relay, deps.client);
  // Its pods may have our labels, and are not ours to wait for.
  if (found !== undefined && isTheirs(relay, found)) return { workload: undefined, awaited: undefined };
  const workload = found !== undefined && isOursToTake(relay, found) ? found : undefined;
  const names = await podsLeft(relay, deps);
  const unsettled = `${workloadResource(relay).kind} ${relay.name} must first be scaled to nothing`;
  const awaited = [
    ...(workload !== undefined && !isOver(workload) ? [unsettled] : []),
    ...(names.length > 0 ? [endSentence(relay, names)] : []),
  ];
  return {
    workload: workloadVersion(workload),
    awaited: awaited.length > 0 ? awaited.join('; ') : undefined,
  };
}

/** No pod comes of it any more. Where no controller has ever seen it there are no controllers. */
function isOver({ metadata, spec, status }: Deployment | StatefulSet): boolean {
  if (metadata.deletionTimestamp !== undefined) return true;
  const { generation = 0 } = metadata;
  return (spec?.replicas ?? 0) === 0 && (status?.observedGeneration ?? generation) >= generation;
}

async function podsLeft(relay: MailRelay, { caches, client }: ReconcilerDeps): Promise<string[]> {
  const cached = [...livePods(relay, caches), ...endingPods(relay, caches)];
  const left = cached.length > 0 ? cached : await podsNow(relay, client);
  return left.map(({ metadata }) => metadata.name).sort();
}

const mostNamed = 3;

function endSentence({ namespace }: MailRelay, names: readonly string[]): string {
  const named = names.slice(0, mostNamed).join(', ');
  const more = names.length > mostNamed ? ` and ${names.length - mostNamed} more` : '';
  const who = `${names.length === 1 ? 'pod' : 'pods'} ${named}${more}`;
  return `nothing is waited for but the end of ${who}, which may write on the volume until then; where the node is gone for good: kubectl -n ${namespace} delete pod ${names[0]} --force`;
}
