/**
 * The claims that pods mount, found as Kubernetes finds them, by name: also those that the cache does not show since
 * they lack the labels that it selects by, as after a restored backup. What is taken up says from then on whose it is,
 * has no owner, and asks Argo CD to leave it. Claims of somebody else are told, and never written to. One that cannot be
 * written is told, and holds up only what needs it.
 */
import type { MailRelay } from '../api/mail-relay.ts';
import { fieldManager, labels } from '../api/names.ts';
import { isConflict, isNotFound, isRefusal } from '../kube/api-error.ts';
import { NotLeaderError } from '../kube/apply.ts';
import {
  type Deployment,
  type PersistentVolumeClaim,
  persistentVolumeClaims,
  type StatefulSet,
} from '../resources/kinds.ts';
import { childLabels, childNames, isVolumeName, replicaClaim } from '../resources/names.ts';
import { syncOptions, withoutPruning } from '../resources/persistent-volume-claim.ts';
import { ownOrphan } from './adoption.ts';
import { type ChildFailure, failureOf } from './child-failure.ts';
import type { Obstacle } from './observation.ts';
import { nameTaken, refusalOf } from './obstacles.ts';
import { controllerOf, whose } from './ownership.ts';
import { TryAgainError } from './try-again.ts';
import { isClaimOf, namedClaims, type VolumesDeps } from './volumes.ts';
import { liveWorkload, workloadResource } from './workload.ts';

type Workload = Deployment | StatefulSet;

export interface TakenUp {
  /** Of those that the pods of so many replicas would mount, what only a person can mend. */
  readonly obstacles: readonly Obstacle[];
  /** What may succeed when it is tried again. */
  readonly failures: readonly ChildFailure[];
  /** Pods would mount a claim of somebody else: the workload stays as it is. */
  readonly taken: boolean;
  /** Names of claims that could not be labelled, so that no cache shows them. */
  readonly unseen: readonly string[];
}

/** Claims of somebody else are obstacles; of the claim of mode Shared applyChildren tells that. */
export async function takeUpClaims(relay: MailRelay, replicas: number, deps: VolumesDeps): Promise<TakenUp> {
  const shown = namedClaims(relay, deps.caches);
  const { ours, taken } = await unshownClaims(relay, replicas, shown, deps);
  const outcomes: Outcome[] = [];
  for (const claim of shown) outcomes.push(await tryToSayWhose(relay, claim, deps));
  const unseen: string[] = [];
  for (const claim of ours) {
    const outcome = await tryToSayWhose(relay, claim, deps);
    outcomes.push(outcome);
    if ((outcome.obstacle ?? outcome.failure) !== undefined) unseen.push(claim.metadata.name);
  }
  const told = taken.filter(claim => !isApplied(relay, claim)).map(claim => nameTaken(relay, subject, claim));
  return {
    obstacles: [...told, ...outcomes.flatMap(({ obstacle }) => obstacle ?? [])],
    failures: outcomes.flatMap(({ failure }) => failure ?? []),
    taken: told.length > 0,
    unseen,
  };
}

const subject = { resource: persistentVolumeClaims, podsNeed: true, mailNeeds: true };

/** At most one of both. */
interface Outcome {
  readonly obstacle?: Obstacle;
  readonly failure?: ChildFailure;
}

async function tryToSayWhose(
  relay: MailRelay,
  claim: PersistentVolumeClaim,
  deps: VolumesDeps,
): Promise<Outcome> {
  try {
    await sayWhose(relay, claim, deps);
    return {};
  } catch (error) {
    if (error instanceof NotLeaderError) throw error;
    const { name } = claim.metadata;
    if (isRefusal(error)) return { obstacle: refusalOf(error, { ...subject, name, mailNeeds: false }) };
    return { failure: failureOf(error, { ...subject, name }) };
  }
}

/** As a child of its own: apply-children.ts looks after it, once it is known to be ours. */
function isApplied(relay: MailRelay, claim: PersistentVolumeClaim): boolean {
  return relay.spec.spool.mode === 'Shared' && isClaimOf(relay, claim);
}

interface Unshown {
  readonly ours: readonly PersistentVolumeClaim[];
  readonly taken: readonly PersistentVolumeClaim[];
}

async function unshownClaims(
  relay: MailRelay,
  replicas: number,
  shown: readonly PersistentVolumeClaim[],
  { caches, client }: VolumesDeps,
): Promise<Unshown> {
  const live = liveWorkload(relay, caches);
  const known = new Set(shown.map(({ metadata }) => metadata.name));
  const names = namesToFind(relay, replicas, live).filter(name => !known.has(name));
  const { namespace } = relay;
  const found = await Promise.all(
    names.map(name => client.find(persistentVolumeClaims, { name, namespace })),
  );
  const claims = found.filter(claim => claim !== undefined);
  if (claims.length === 0) return { ours: [], taken: [] };
  const isOrphan = live !== undefined && whose(relay, live) === 'orphan';
  // Whether it may be adopted now says nothing of whose the mail on its volumes is.
  const workload = isOrphan ? await ownOrphan(relay, workloadResource(relay), live.metadata, client) : live;
  const { ours = [], taken = [] } = Object.groupBy(claims, claim =>
    isOf(relay, workload, claim) ? 'ours' : 'taken',
  );
  return { ours, taken };
}

/**
 * Of a StatefulSet those of every replica that there is or is to be, and those that held mail when it was last said. A
 * Deployment that there is not yet has no claim but the one that is made for it.
 */
function namesToFind(relay: MailRelay, replicas: number, live: Workload | undefined): string[] {
  const { claim: shared } = childNames(relay);
  if (relay.spec.spool.mode === 'Shared') return live === undefined ? [] : [shared];
  const told = (relay.status.heldVolumes ?? []).map(({ claim }) => claim);
  const held = told.filter(name => isVolumeName(relay, name) && name !== shared);
  const length = Math.max(replicas, live?.spec?.replicas ?? 0);
  return [...new Set([...Array.from({ length }, (_, at) => replicaClaim(relay, at)), ...held])];
}

/** Without labels and owner it belongs to the workload whose pods mount it. */
function isOf(relay: MailRelay, workload: Workload | undefined, claim: PersistentVolumeClaim): boolean {
  const volume = { ...claim, kind: persistentVolumeClaims.kind };
  if (whose(relay, volume) !== 'foreign') return true;
  if (workload === undefined) return false;
  const owner = controllerOf(claim);
  if (owner !== undefined) return owner.uid === workload.metadata.uid;
  const instance = claim.metadata.labels?.[labels.instance];
  return instance === undefined || instance === relay.name;
}

/** What Argo CD is asked of one that is applied stands in its manifest. */
function isSaid(relay: MailRelay, claim: PersistentVolumeClaim): boolean {
  const { labels: has, annotations: texts } = claim.metadata;
  const asked = texts?.[syncOptions];
  if (!isApplied(relay, claim) && asked !== withoutPruning(asked)) return false;
  return Object.entries(childLabels(relay)).every(([label, value]) => has?.[label] === value);
}

/** Writes only what differs, and only to that claim; also one that is applied, since no manifest takes an owner off. */
async function sayWhose(
  relay: MailRelay,
  claim: PersistentVolumeClaim,
  { client, caches, mayWrite }: VolumesDeps,
): Promise<void> {
  const { metadata: is } = claim;
  const wanted = childLabels(relay);
  const options = withoutPruning(is.annotations?.[syncOptions]);
  const owners = is.ownerReferences ?? [];
  // The garbage collector would take the mail with the workload.
  const workload = liveWorkload(relay, caches)?.metadata.uid;
  const others = owners.filter(({ uid: owner }) => owner !== workload);
  const isFree = others.length === owners.length;
  if (isFree && isSaid(relay, claim)) return;
  if (!mayWrite()) throw new NotLeaderError();
  const metadata = {
    ...{ uid: is.uid, resourceVersion: is.resourceVersion },
    ...{ labels: wanted, annotations: { [syncOptions]: options } },
    ...(!isFree && { ownerReferences: others }),
  };
  try {
    const patched = await client.mergePatch(persistentVolumeClaims, is, { metadata }, { fieldManager });
    caches.of(persistentVolumeClaims, is.namespace)?.observe(patched);
  } catch (error) {
    if (isConflict(error)) throw new TryAgainError(`PersistentVolumeClaim ${is.name} has changed meanwhile`);
    if (!isNotFound(error)) throw error;
  }
}
