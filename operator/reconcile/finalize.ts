/**
 * A MailRelay that is being deleted: everything on board is sent first, as far
 * as time allows, whatever its spec says now; then its pods go, and when the
 * last of them is gone, the volumes that are known to be empty may go with it.
 * A volume that holds mail, or may hold some, is kept, always, and says so.
 */
import { type MailRelay, mailRelays } from '../api/mail-relay.ts';
import { drainFinalizer, fieldManager } from '../api/names.ts';
import { isNotFound } from '../kube/api-error.ts';
import { NotLeaderError } from '../kube/apply.ts';
import type { BuildContext } from '../resources/context.ts';
import { foregroundDeletion, orphanDependents } from './adoption.ts';
import type { ReconcilerDeps } from './deps.ts';
import { drainInPlace } from './drain-in-place.ts';
import {
  type ClaimsView,
  confirmMarks,
  releaseClaims,
  remainingVolumes,
  writeMarks,
} from './held-volumes.ts';
import { lookAtRest, type Rest, scaleOrphanToNothing, scaleToNothing } from './last-pods.ts';
import type { Planner } from './planner.ts';
import { farewell } from './reporter.ts';
import type { ScalePlan } from './scale.ts';
import {
  bringAbout,
  claimsView,
  type Draft,
  intend,
  lookAfterPods,
  lookAtClaims,
  lookAtWorkload,
  noteFailures,
  throwFailures,
  watchLastPods,
  watchPods,
} from './steps.ts';
import { takeUpWorkload } from './take-up-workload.ts';

/** One step of it. Resolves with true when the MailRelay has been let go, false while pods drain or are still there. */
export async function finalize(
  key: string,
  relay: MailRelay,
  seen: Draft,
  { planner, deps }: { readonly planner: Planner; readonly deps: ReconcilerDeps },
): Promise<boolean> {
  if (!relay.finalizers.includes(drainFinalizer)) return true;
  const keepsAll = relay.finalizers.includes(orphanDependents);
  if (!keepsAll && !(await isBroughtToEnd(key, relay, seen, { planner, deps }))) return false;
  await letGo(relay, deps);
  return true;
}

async function isBroughtToEnd(
  key: string,
  relay: MailRelay,
  seen: Draft,
  { planner, deps }: { readonly planner: Planner; readonly deps: ReconcilerDeps },
): Promise<boolean> {
  if (!isForeground(relay)) await takeUpWorkload(relay, deps);
  lookAtWorkload(relay, seen, deps);
  await lookAtClaims(relay, 0, seen, deps);
  const loss = isLoss(relay, seen);
  const plan = loss ? planner.loss(key, relay, seen) : planner.plan(key, relay, 0, seen);
  const context = planner.context(relay, plan);
  const view = claimsView(relay, plan, deps);
  intend(relay, seen, { plan, context, view });
  if (plan.replicas > 0) {
    await drain(key, relay, seen, { context, view, deps });
    return false;
  }
  if (seen.claims.unseen.length > 0 && !loss) {
    seen.awaitedEnd = unseenSentence(seen.claims.unseen);
    return false;
  }
  const { workload, awaited } = await dismiss(key, relay, seen, { plan, loss, deps });
  if (awaited !== undefined) {
    seen.awaitedEnd = awaited;
    return false;
  }
  await release({ ...claimsView(relay, plan, deps), workload, released: true }, seen, deps);
  return true;
}

/** Of a volume that no cache shows nobody knows yet whether it was sent. */
function unseenSentence(claims: readonly string[]): string {
  return `PersistentVolumeClaim ${claims.join(', ')} must first be labelled: nobody knows yet whether mail is on it`;
}

async function drain(
  key: string,
  relay: MailRelay,
  seen: Draft,
  { context, view, deps }: { context: BuildContext; view: ClaimsView; deps: ReconcilerDeps },
): Promise<void> {
  if (seen.problems === undefined) {
    await bringAbout(relay, seen, { context, view }, deps);
    return lookAfterPods(key, relay, seen, deps);
  }
  const fingerprint = await drainInPlace(relay, context.draining, deps);
  if (fingerprint === undefined) return watchPods(key, relay, seen, deps);
  seen.fingerprint = fingerprint;
  seen.configWritten = true;
  return lookAfterPods(key, relay, seen, deps);
}

/** Without a workload nobody could send anything either. */
function isLoss(relay: MailRelay, { workload }: Draft): boolean {
  return isForeground(relay) || workload === undefined;
}

/** Kubernetes takes the children first then, whatever waits, and making them anew would be a fight. */
function isForeground({ finalizers }: MailRelay): boolean {
  return finalizers.includes(foregroundDeletion);
}

/** What the pods leave is written down, and then they are to go; those of a loss go by themselves, but for an orphan's. */
async function dismiss(
  key: string,
  relay: MailRelay,
  seen: Draft,
  { plan, loss, deps }: { plan: ScalePlan; loss: boolean; deps: ReconcilerDeps },
): Promise<Rest> {
  // No other configuration is written any more.
  const { fingerprint } = relay.status.config ?? {};
  if (fingerprint !== undefined) seen.fingerprint = fingerprint;
  const view = (): ClaimsView => ({ ...claimsView(relay, plan, deps), released: loss });
  noteFailures(seen, await writeMarks(view(), deps));
  // A pod that goes before it is written down what it leaves takes the knowledge with it.
  throwFailures(seen);
  await (loss ? scaleOrphanToNothing(relay, deps) : scaleToNothing(relay, deps));
  noteFailures(seen, await confirmMarks(view(), deps));
  throwFailures(seen);
  lookAtWorkload(relay, seen, deps);
  watchLastPods(key, relay, seen, deps);
  return lookAtRest(relay, deps);
}

async function release(view: ClaimsView, seen: Draft, deps: ReconcilerDeps): Promise<void> {
  seen.volumes = { ...seen.volumes, held: remainingVolumes(view) };
  await releaseClaims(view, deps);
  farewell(seen, deps);
}

/** Makes sure that a deletion waits for the drain. */
export async function ensureFinalizer(relay: MailRelay, deps: ReconcilerDeps): Promise<void> {
  if (relay.finalizers.includes(drainFinalizer)) return;
  await patchFinalizers(relay, [...relay.finalizers, drainFinalizer], deps);
}

async function letGo(relay: MailRelay, deps: ReconcilerDeps): Promise<void> {
  const others = relay.finalizers.filter(name => name !== drainFinalizer);
  await patchFinalizers(relay, others, deps).catch((error: unknown) => {
    if (!isNotFound(error)) throw error;
  });
}

/** `finalizers` come from the cache, so the write holds only for the object as it is there, never for a successor. */
async function patchFinalizers(
  relay: MailRelay,
  finalizers: readonly string[],
  { client, caches, mayWrite }: ReconcilerDeps,
): Promise<void> {
  if (!mayWrite()) throw new NotLeaderError();
  const { uid } = relay;
  const { resourceVersion } = caches.relays.get(relay)?.metadata ?? {};
  const metadata = { finalizers, uid, ...(resourceVersion !== undefined && { resourceVersion }) };
  await caches.relays.whileWriting(relay, async () => {
    caches.relays.observe(await client.mergePatch(mailRelays, relay, { metadata }, { fieldManager }));
  });
}
