/**
 * Which volumes hold mail that no pod sends, or may hold some, and how that is
 * remembered: as annotations on the claim, since a claim outlives its replica
 * and its MailRelay. Pure but for the patch. A volume is called empty only when
 * its pod has said so after it could take no more mail: neither unsent mail is
 * there then, nor dead letters, nor files in quarantine.
 */
import type { MailRelay } from '../api/mail-relay.ts';
import { fieldManager } from '../api/names.ts';
import type { HeldVolume } from '../api/schema-status.ts';
import { isConflict, isNotFound } from '../kube/api-error.ts';
import { NotLeaderError } from '../kube/apply.ts';
import { formatTime } from '../kube/conditions.ts';
import { type PersistentVolumeClaim, persistentVolumeClaims } from '../resources/kinds.ts';
import { ownerReference } from '../resources/names.ts';
import { type ChildFailure, failureOf } from './child-failure.ts';
import {
  boardOf,
  emptyBoard,
  inWords,
  isAllSent,
  isEmpty,
  isUnknown,
  type OnBoard,
  together,
} from './on-board.ts';
import type { ScalePlan } from './scale.ts';
import { TryAgainError } from './try-again.ts';
import { type MarkTexts, markOf, markTexts, noMark, type WorkloadVersion } from './volume-marks.ts';
import { claimOfPod, isBound, isClaimOf, isServedBy, type VolumesDeps } from './volumes.ts';

/** status.heldVolumes has no room for more. */
const mostShown = 100;

export interface ClaimsView {
  readonly relay: MailRelay;
  /** Also those of the other spool mode, which an earlier MailRelay of the name may have left. */
  readonly claims: readonly PersistentVolumeClaim[];
  readonly plan: ScalePlan;
  /** Of this spool mode; undefined = there is none that is this MailRelay's. */
  readonly workload: WorkloadVersion | undefined;
  /** That workload goes for good, with its MailRelay. */
  readonly released: boolean;
  readonly wallTimeMs: number;
}

/** What is on a volume. */
interface Left {
  readonly board: OnBoard;
  readonly since: string;
}

/** Volumes that no pod serves under the plan and that hold mail or may hold some. */
export function heldVolumes(view: ClaimsView): HeldVolume[] {
  const held = view.claims.flatMap(claim =>
    asHeld(claim, isServed(view, claim) ? undefined : leftOn(claim, view)),
  );
  return held.slice(0, mostShown);
}

/** The same at the end of a MailRelay, when no pod is left: a volume of which nothing is known may hold mail as well. */
export function remainingVolumes(view: ClaimsView): HeldVolume[] {
  return view.claims.flatMap(claim => asHeld(claim, leftOn(claim, view) ?? ofNothingKnown(claim, view)));
}

function asHeld({ metadata }: PersistentVolumeClaim, left: Left | undefined): HeldVolume[] {
  if (left === undefined || isEmpty(left.board)) return [];
  return [{ claim: metadata.name, ...left.board, since: left.since }];
}

/** From the surest to the vaguest; undefined = nothing speaks for mail on it. */
function leftOn(claim: PersistentVolumeClaim, view: ClaimsView): Left | undefined {
  const since = sinceOf(claim, view);
  const marked = markOn(claim, view);
  const departed = departedFrom(claim, view);
  if (departed !== undefined) return { board: departed, since };
  if (marked !== undefined) return { board: marked.board, since };
  const known = toldOf(claim, view);
  if (known !== undefined) return { board: boardOf(sort => known[sort]), since };
  return isBound(claim) && mayHaveServed(claim, view.relay) ? { board: {}, since } : undefined;
}

function ofNothingKnown(claim: PersistentVolumeClaim, view: ClaimsView): Left | undefined {
  const mayHold = isBound(claim) && isClaimOf(view.relay, claim);
  return mayHold ? { board: {}, since: sinceOf(claim, view) } : undefined;
}

/** While the claim does not say, which may be unwritable, the status does: a time that moves costs a write each second. */
function sinceOf(claim: PersistentVolumeClaim, view: ClaimsView): string {
  return markOn(claim, view)?.since ?? toldOf(claim, view)?.since ?? formatTime(view.wallTimeMs);
}

function toldOf({ metadata }: PersistentVolumeClaim, { relay }: ClaimsView): HeldVolume | undefined {
  return relay.status.heldVolumes?.find(held => held.claim === metadata.name);
}

function departedFrom(claim: PersistentVolumeClaim, { relay, plan }: ClaimsView): OnBoard | undefined {
  const boards = plan.leaving
    .filter(({ pod }) => claimOfPod(relay, pod) === claim.metadata.name)
    .map(({ board }) => board);
  return boards.length === 0 ? undefined : together(boards);
}

/** The workload of this mode says nothing of claims of the other. */
function markOn(claim: PersistentVolumeClaim, { relay, workload }: ClaimsView): ReturnType<typeof markOf> {
  return markOf(claim, relay, isClaimOf(relay, claim) ? workload : undefined);
}

/**
 * Writes down what leaves, and takes it back where a pod is to serve again: to be called when the workload is about to
 * change, and not when it may not. Resolves with what could not be written.
 */
export function writeMarks(view: ClaimsView, deps: VolumesDeps): Promise<readonly ChildFailure[]> {
  return tryEach(view.claims, async claim => {
    const departed = departedFrom(claim, view);
    if (departed !== undefined)
      await patchClaim(claim, { annotations: markFor(claim, departed, view) }, deps);
    else if (isServed(view, claim)) await patchClaim(claim, { annotations: noMark }, deps);
    else await confirm(claim, view, deps);
  });
}

/**
 * Says of the workload as it is now what was said of it as it was, as far as it can still be believed, and `unknown`
 * otherwise: to be called after the workload has changed, with what is to be seen then. Resolves with what could not be
 * written.
 */
export function confirmMarks(view: ClaimsView, deps: VolumesDeps): Promise<readonly ChildFailure[]> {
  const unserved = view.claims.filter(claim => !isServed(view, claim));
  return tryEach(unserved, claim => confirm(claim, view, deps));
}

/** One that cannot be written holds up no other. */
async function tryEach(
  claims: readonly PersistentVolumeClaim[],
  write: (claim: PersistentVolumeClaim) => Promise<void>,
): Promise<readonly ChildFailure[]> {
  const failures: ChildFailure[] = [];
  for (const claim of claims) {
    try {
      await write(claim);
    } catch (error) {
      if (error instanceof NotLeaderError) throw error;
      failures.push(failureOf(error, { resource: persistentVolumeClaims, name: claim.metadata.name }));
    }
  }
  return failures;
}

async function confirm(claim: PersistentVolumeClaim, view: ClaimsView, deps: VolumesDeps): Promise<void> {
  const { relay, workload } = view;
  // Before its pod goes there is nothing to say anew.
  if (!isClaimOf(relay, claim) || isServedBy(relay, workload?.replicas ?? 0, claim)) return;
  const marked = markOn(claim, view);
  if (marked !== undefined)
    await patchClaim(claim, { annotations: markFor(claim, marked.board, view) }, deps);
}

/**
 * The last word on the volumes of a MailRelay that goes: each says what is on it, and with retention Delete those that
 * are known to be empty go with it. Nothing else ever makes a claim go.
 */
export async function releaseClaims(view: ClaimsView, deps: VolumesDeps): Promise<void> {
  const { relay } = view;
  // What goes with the workload goes with its MailRelay as well.
  const owners = [relay.uid, view.workload?.uid];
  const remaining = new Map(remainingVolumes(view).map(held => [held.claim, held]));
  for (const claim of view.claims.filter(one => isClaimOf(relay, one))) {
    const held = remaining.get(claim.metadata.name);
    const goes = held === undefined && relay.spec.spool.retention === 'Delete';
    const others = (claim.metadata.ownerReferences ?? []).filter(({ uid }) => !owners.includes(uid));
    const ownerReferences = goes ? [...others, ownerReference(relay)] : others;
    const mark = markFor(claim, held ?? emptyBoard, view);
    await patchClaim(claim, { annotations: mark, ownerReferences }, deps);
  }
}

function markFor(claim: PersistentVolumeClaim, board: OnBoard, view: ClaimsView): MarkTexts {
  return markTexts({ board, since: sinceOf(claim, view) }, claim, view.workload, view.released);
}

interface ClaimChange {
  readonly annotations: MarkTexts;
  readonly ownerReferences?: PersistentVolumeClaim['metadata']['ownerReferences'];
}

/** Writes only what differs, and only to that claim. */
async function patchClaim(
  claim: PersistentVolumeClaim,
  change: ClaimChange,
  { client, caches, mayWrite }: VolumesDeps,
): Promise<void> {
  if (!differs(claim, change)) return;
  if (!mayWrite()) throw new NotLeaderError();
  const { uid, resourceVersion } = claim.metadata;
  const metadata = { ...change, uid, resourceVersion };
  try {
    const patched = await client.mergePatch(
      persistentVolumeClaims,
      claim.metadata,
      { metadata },
      { fieldManager },
    );
    caches.of(persistentVolumeClaims, claim.metadata.namespace)?.observe(patched);
  } catch (error) {
    if (isConflict(error))
      throw new TryAgainError(`PersistentVolumeClaim ${claim.metadata.name} has changed meanwhile`);
    if (!isNotFound(error)) throw error;
  }
}

function differs(
  { metadata }: PersistentVolumeClaim,
  { annotations: texts, ownerReferences }: ClaimChange,
): boolean {
  const changed = Object.entries(texts).some(
    ([name, text]) => (metadata.annotations?.[name] ?? null) !== text,
  );
  const uids = (references: ClaimChange['ownerReferences'] = []): string =>
    references.map(({ uid }) => uid).join();
  return (
    changed || (ownerReferences !== undefined && uids(ownerReferences) !== uids(metadata.ownerReferences))
  );
}

/** For condition SpoolHealthy: which volumes, what is on them, and what to do. */
export function heldSentence(relay: MailRelay, held: readonly HeldVolume[]): string {
  const list = held.map(one => `${one.claim} (${isUnknown(one) ? 'unknown' : inWords(one)})`).join(', ');
  const strange = held.some(({ claim }) => !isClaimOf(relay, { metadata: { name: claim } }));
  const other = relay.spec.spool.mode === 'Shared' ? 'PerReplica' : 'Shared';
  const or = strange ? ` (those of spool.mode ${other}: by a MailRelay of this name with that mode)` : '';
  const remedy = held.every(isAllSent) ? 'get at it' : 'send it';
  return `volumes that no pod serves, with what is on them: ${list}; scale up again to ${remedy}${or}, or delete the claim to lose it`;
}

function isServed({ relay, plan: { replicas } }: ClaimsView, claim: PersistentVolumeClaim): boolean {
  return isServedBy(relay, replicas, claim);
}

/**
 * The claim of a replica is made for its pod. That of mode Shared is made with the MailRelay: a pod had it when it is of
 * an earlier one of the name, or when any pod has ever reported.
 */
function mayHaveServed(claim: PersistentVolumeClaim, relay: MailRelay): boolean {
  if (relay.spec.spool.mode === 'PerReplica' || !isClaimOf(relay, claim)) return true;
  return relay.status.queue !== undefined || isOlderThan(claim, relay);
}

/** An earlier MailRelay of the name made it. */
function isOlderThan({ metadata }: PersistentVolumeClaim, { creationTimestamp }: MailRelay): boolean {
  if (metadata.creationTimestamp === undefined || creationTimestamp === undefined) return false;
  return Date.parse(metadata.creationTimestamp) < Date.parse(creationTimestamp);
}
