/**
 * The claims of a StatefulSet's pods, found as Kubernetes finds them, by name: also those that the cache does not show
 * since they lack the labels that it selects by, as after a restored backup. What is taken up says from then on whose
 * it is, and asks Argo CD to leave it. Claims of somebody else are told, and never written to.
 */
import type { MailRelay } from '../api/mail-relay.ts';
import { fieldManager, labels } from '../api/names.ts';
import { isConflict, isNotFound } from '../kube/api-error.ts';
import { NotLeaderError } from '../kube/apply.ts';
import {
  type PersistentVolumeClaim,
  persistentVolumeClaims,
  type StatefulSet,
  statefulSets,
} from '../resources/kinds.ts';
import { childLabels, childNames, isVolumeName, replicaClaim } from '../resources/names.ts';
import { syncOptions, withoutPruning } from '../resources/persistent-volume-claim.ts';
import { adoptable } from './adoption.ts';
import type { Obstacle } from './observation.ts';
import { nameTaken } from './obstacles.ts';
import { controllerOf, whose } from './ownership.ts';
import { TryAgainError } from './try-again.ts';
import { isClaimOf, namedClaims, type VolumesDeps } from './volumes.ts';
import { liveStatefulSet } from './workload.ts';

/** Resolves with those that the pods of so many replicas would mount and that are somebody else's. */
export async function takeUpClaims(
  relay: MailRelay,
  replicas: number,
  deps: VolumesDeps,
): Promise<readonly Obstacle[]> {
  const shown = namedClaims(relay, deps.caches).filter(claim => !isApplied(relay, claim));
  const { ours, taken } = await unshownClaims(relay, replicas, shown, deps);
  for (const claim of [...shown, ...ours]) await sayWhose(relay, claim, deps);
  return taken.map(claim =>
    nameTaken(relay, { resource: persistentVolumeClaims, podsNeed: true, mailNeeds: true }, claim),
  );
}

/** As a child of its own: apply-children.ts looks after it. */
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
  if (relay.spec.spool.mode !== 'PerReplica') return { ours: [], taken: [] };
  const live = liveStatefulSet(relay, caches);
  const known = new Set(shown.map(({ metadata }) => metadata.name));
  const names = [...namesToFind(relay, Math.max(replicas, live?.spec?.replicas ?? 0))];
  const { namespace } = relay;
  const found = await Promise.all(
    names
      .filter(name => !known.has(name))
      .map(name => client.find(persistentVolumeClaims, { name, namespace })),
  );
  const claims = found.filter(claim => claim !== undefined);
  if (claims.length === 0) return { ours: [], taken: [] };
  const isOrphan = live !== undefined && whose(relay, live) === 'orphan';
  const set = isOrphan ? await adoptable(relay, statefulSets, live.metadata, client) : live;
  const { ours = [], taken = [] } = Object.groupBy(claims, claim =>
    isOf(relay, set, claim) ? 'ours' : 'taken',
  );
  return { ours, taken };
}

/** Those of every replica that there is or is to be, and those that held mail when it was last said. */
function namesToFind(relay: MailRelay, replicas: number): Set<string> {
  const told = (relay.status.heldVolumes ?? []).map(({ claim }) => claim);
  const held = told.filter(name => isVolumeName(relay, name) && name !== childNames(relay).claim);
  return new Set([...Array.from({ length: replicas }, (_, at) => replicaClaim(relay, at)), ...held]);
}

/** Without labels and owner it belongs to the StatefulSet whose pods mount it. */
function isOf(relay: MailRelay, set: StatefulSet | undefined, claim: PersistentVolumeClaim): boolean {
  const volume = { ...claim, kind: persistentVolumeClaims.kind };
  if (whose(relay, volume) !== 'foreign') return true;
  if (set === undefined) return false;
  const owner = controllerOf(claim);
  if (owner !== undefined) return owner.uid === set.metadata.uid;
  const instance = claim.metadata.labels?.[labels.instance];
  return instance === undefined || instance === relay.name;
}

/** Writes only what differs, and only to that claim. */
async function sayWhose(
  relay: MailRelay,
  { metadata: is }: PersistentVolumeClaim,
  { client, caches, mayWrite }: VolumesDeps,
): Promise<void> {
  const wanted = childLabels(relay);
  const options = withoutPruning(is.annotations?.[syncOptions]);
  const isLabelled = Object.entries(wanted).every(([label, value]) => is.labels?.[label] === value);
  if (isLabelled && is.annotations?.[syncOptions] === options) return;
  if (!mayWrite()) throw new NotLeaderError();
  const { uid, resourceVersion } = is;
  const metadata = { uid, resourceVersion, labels: wanted, annotations: { [syncOptions]: options } };
  try {
    const patched = await client.mergePatch(persistentVolumeClaims, is, { metadata }, { fieldManager });
    caches.of(persistentVolumeClaims)?.observe(patched);
  } catch (error) {
    if (isConflict(error)) throw new TryAgainError(`PersistentVolumeClaim ${is.name} has changed meanwhile`);
    if (!isNotFound(error)) throw error;
  }
}
