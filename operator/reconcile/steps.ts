/**
 * The steps that a reconciliation is made of; each fills in what it has found
 * out, so that a later one that fails does not make the status forget it.
 */
import type { MailRelay } from '../api/mail-relay.ts';
import { kind } from '../api/names.ts';
import { isForbidden } from '../kube/api-error.ts';
import type { KubeObject } from '../kube/object.ts';
import { configJson } from '../resources/config-json.ts';
import type { BuildContext } from '../resources/context.ts';
import { childNames } from '../resources/names.ts';
import { applyChildren } from './apply-children.ts';
import type { Pod } from './caches.ts';
import type { ChildFailure } from './child-failure.ts';
import { readCredentials } from './credentials.ts';
import type { ReconcilerDeps } from './deps.ts';
import { refusedEvent } from './events.ts';
import { type ClaimsView, confirmMarks, heldVolumes, writeMarks } from './held-volumes.ts';
import type { Observation } from './observation.ts';
import { addressesOf, endingPods, livePods, newRevision, nudge } from './pods.ts';
import type { ScalePlan } from './scale.ts';
import { type TakenUp, takeUpClaims } from './take-up-claims.ts';
import { isWorkloadTaken } from './taken-workload.ts';
import { TryAgainError } from './try-again.ts';
import { claimsOf, growReplicaClaims, isClaimOf, isLarger, namedClaims, volumeState } from './volumes.ts';
import { liveWorkload, loweredBehind, workloadState, workloadVersion } from './workload.ts';

/** An observation that is being made. */
export type Draft = { -readonly [K in keyof Observation]: Observation[K] } & {
  /** Errors that hold nothing else up. `retrying` tells of them already, but for nudges, without which all comes about. */
  failures: readonly unknown[];
  /** What is known of claims that caches do not show. */
  claims: Pick<TakenUp, 'taken' | 'unseen'>;
  /** Somebody else's workload has the name: nothing is made of it and of its pods. */
  workloadTaken: boolean;
};

/** What there is before anything is done. What caches show is known also when the API server cannot be asked whose it is. */
export async function look(relay: MailRelay, seen: Draft, deps: ReconcilerDeps): Promise<void> {
  try {
    seen.workloadTaken = await isWorkloadTaken(relay, deps);
  } finally {
    lookAtWhatRuns(relay, seen, deps);
  }
}

function lookAtWhatRuns(relay: MailRelay, seen: Draft, deps: ReconcilerDeps): void {
  lookAtWorkload(relay, seen, deps);
  const replicas = seen.workload?.desired ?? 0;
  const plan = { replicas, draining: [], awaited: [], leaving: [], unsent: undefined };
  const held = heldVolumes(claimsView(relay, plan, deps));
  seen.volumes = volumeState(relay, claimsOf(relay, deps.caches), undefined, held);
}

/** What is to be, before anything is done: it is told also when a step fails, above all who leaves with mail. */
export function intend(
  relay: MailRelay,
  seen: Draft,
  { plan, context, view }: { plan: ScalePlan; context: BuildContext; view: ClaimsView },
): void {
  seen.scale = plan;
  seen.fingerprint = configJson(relay, context).fingerprint;
  seen.volumes = { ...seen.volumes, held: heldVolumes(view) };
}

export function claimsView(relay: MailRelay, plan: ScalePlan, { caches, clock }: ReconcilerDeps): ClaimsView {
  const workload = workloadVersion(liveWorkload(relay, caches));
  const claims = namedClaims(relay, caches);
  return { relay, plan, workload, claims, released: false, wallTimeMs: clock.wallTime() };
}

export async function lookAtSecrets(relay: MailRelay, seen: Draft, deps: ReconcilerDeps): Promise<void> {
  try {
    seen.credentials = await readCredentials(relay, name =>
      deps.secretFacts.of({ name, namespace: relay.namespace }),
    );
  } catch (error) {
    const reason = isForbidden(error) ? 'SecretForbidden' : 'ReadFailed';
    seen.secretsUnread = { reason, message: error instanceof Error ? error.message : String(error) };
    if (reason === 'ReadFailed') throw error;
  }
}

/**
 * Writes what is to be written. What leaves is marked on its volume first, and the workload changes last. Children that
 * fail are noted, for the rest to go on: see throwFailures.
 */
export async function bringAbout(
  relay: MailRelay,
  seen: Draft,
  { context, view }: { context: BuildContext; view: ClaimsView },
  deps: ReconcilerDeps,
): Promise<void> {
  awaitPredecessor(view, seen);
  tellIfLowered(relay, context, seen, deps);
  const { taken, unseen } = seen.claims;
  const before = async () => (seen.workloadTaken ? [] : writeMarks(claimsView(relay, view.plan, deps), deps));
  const withheld = taken || unseen.length > 0;
  const applied = await applyChildren(relay, context, { withheld, before }, deps);
  note(seen, applied);
  seen.configWritten = applied.configWritten;
  if (applied.workloadSettled) {
    noteFailures(seen, await confirmMarks(claimsView(relay, view.plan, deps), deps));
  }
  lookAtWorkload(relay, seen, deps);
}

/** Whose the claims are; those that cannot be written are noted, for the rest to go on. */
export async function lookAtClaims(
  relay: MailRelay,
  replicas: number,
  seen: Draft,
  deps: ReconcilerDeps,
): Promise<void> {
  const takenUp = await takeUpClaims(relay, replicas, deps);
  seen.claims = takenUp;
  note(seen, takenUp);
}

function note(seen: Draft, { obstacles, failures }: Pick<TakenUp, 'obstacles' | 'failures'>): void {
  seen.obstacles = [...seen.obstacles, ...obstacles];
  noteFailures(seen, failures);
}

/** What could not be written, to be told of and tried again; the rest goes on. */
export function noteFailures(seen: Draft, failures: readonly ChildFailure[]): void {
  seen.failures = [...seen.failures, ...failures.map(({ error }) => error)];
  seen.retrying = [...seen.retrying, ...failures.map(({ message }) => message)];
}

/** A step that failed, to be told of and tried again. */
export function noteFailure(seen: Draft, error: unknown): void {
  if (seen.failures.includes(error)) return;
  seen.failures = [...seen.failures, error];
  seen.retrying = [...seen.retrying, error instanceof Error ? error.message : String(error)];
}

/** When everything else is done: throws one of what failed, that which says to come again the soonest. */
export function throwFailures({ failures }: Draft): void {
  if (failures.length > 0) throw failures.find(error => error instanceof TryAgainError) ?? failures[0];
}

/** A claim that goes would take with it what a new pod writes to it. */
function awaitPredecessor({ relay, claims, plan }: ClaimsView, { workload }: Draft): void {
  if ((workload?.desired ?? 0) > 0 || plan.replicas === 0) return;
  const going = claims.find(claim => isClaimOf(relay, claim) && isGoing(claim, relay));
  if (going !== undefined) {
    throw new TryAgainError(`PersistentVolumeClaim ${going.metadata.name} was deleted and is still going`);
  }
}

/** Also one of a predecessor that the garbage collector has not come to yet. */
function isGoing({ metadata }: KubeObject, relay: MailRelay): boolean {
  if (metadata.deletionTimestamp !== undefined) return true;
  return (metadata.ownerReferences ?? []).some(owner => owner.kind === kind && owner.uid !== relay.uid);
}

/** Replicas go by the MailRelay alone, so that each can send what it has. */
function tellIfLowered(relay: MailRelay, context: BuildContext, seen: Draft, deps: ReconcilerDeps): void {
  const lowered = loweredBehind(relay, context, deps.caches);
  if (lowered === undefined) return;
  deps.events.record(seen.object, refusedEvent(lowered.what, lowered.to, context.replicas));
}

/** Whom to ask how they are, and how often; and the nudge that makes the kubelet bring what is new. */
export async function lookAfterPods(
  key: string,
  relay: MailRelay,
  seen: Draft,
  deps: ReconcilerDeps,
): Promise<void> {
  const { reports, caches } = deps;
  const live = seen.workloadTaken ? [] : livePods(relay, caches);
  const { fingerprint = '', configWritten = false } = seen;
  const awaiting = configWritten && reports.of(key).some(({ status }) => status?.fingerprint !== fingerprint);
  const draining = (seen.scale?.draining.length ?? 0) > 0;
  reports.follow(key, addressesOf(live), awaiting || draining ? fingerprint : undefined);
  seen.reports = reports.of(key);
  const credentialsRevision = newRevision(seen.credentials, deps.clock.wallTime());
  // Told too early, a kubelet would bring what was before, and hear nothing when there is something new.
  const wanted = { fingerprint: configWritten ? fingerprint : undefined, credentialsRevision };
  seen.failures = [...seen.failures, ...(await nudge(live, wanted, deps))];
}

/** Asks the pods and changes nothing about them. */
export function watchPods(key: string, relay: MailRelay, seen: Draft, deps: ReconcilerDeps): void {
  ask(key, livePods(relay, deps.caches), seen, deps);
}

/** Also those on their way out: what they leave is news until they are gone. */
export function watchLastPods(key: string, relay: MailRelay, seen: Draft, deps: ReconcilerDeps): void {
  ask(key, [...livePods(relay, deps.caches), ...endingPods(relay, deps.caches)], seen, deps);
}

function ask(key: string, who: readonly Pod[], seen: Draft, { reports }: ReconcilerDeps): void {
  reports.follow(key, seen.workloadTaken ? [] : addressesOf(who));
  seen.reports = reports.of(key);
}

export async function lookAfterVolumes(
  relay: MailRelay,
  seen: Draft,
  sizeBefore: string | undefined,
  deps: ReconcilerDeps,
): Promise<void> {
  const refusedGrowth = await growReplicaClaims(relay, deps);
  const { claim } = childNames(relay);
  const grows = sizeBefore !== undefined && isLarger(String(relay.spec.spool.size), sizeBefore);
  const refusal = seen.obstacles.find(
    ({ message }) => grows && message.startsWith(`PersistentVolumeClaim ${claim}:`),
  );
  if (refusal !== undefined) seen.obstacles = seen.obstacles.filter(obstacle => obstacle !== refusal);
  const served = (seen.workload?.desired ?? 0) > 0;
  const refused = refusedGrowth ?? refusal?.message;
  const state = volumeState(relay, claimsOf(relay, deps.caches), refused, seen.volumes.held);
  seen.volumes = served ? state : { ...state, pending: [] };
}

export function lookAtWorkload(relay: MailRelay, seen: Draft, { caches }: ReconcilerDeps): void {
  const live = liveWorkload(relay, caches);
  if (live !== undefined && !seen.workloadTaken) seen.workload = workloadState(live);
}
