/**
 * A MailRelay that is being deleted: everything on board is sent first, as far
 * as time allows, whatever its spec says now; then the volumes that are known
 * to be empty may go with it. A volume that holds mail, or may hold some, is
 * kept, always, and says so.
 */
import { type MailRelay, mailRelays } from '../api/mail-relay.ts';
import { drainFinalizer, fieldManager } from '../api/names.ts';
import { isNotFound } from '../kube/api-error.ts';
import { NotLeaderError } from '../kube/apply.ts';
import type { BuildContext } from '../resources/context.ts';
import { foregroundDeletion, orphanDependents } from './adoption.ts';
import type { ReconcilerDeps } from './deps.ts';
import { drainInPlace } from './drain-in-place.ts';
import { type ClaimsView, releaseClaims, remainingVolumes } from './held-volumes.ts';
import type { Planner } from './planner.ts';
import { farewell } from './reporter.ts';
import { bringAbout, claimsView, type Draft, intend, lookAfterPods, watchPods } from './steps.ts';
import { takeUpClaims } from './take-up-claims.ts';
import { workloadNow, workloadVersion } from './workload.ts';

/** One step of it. Resolves with true when the MailRelay has been let go, false while its pods drain. */
export async function finalize(
  key: string,
  relay: MailRelay,
  seen: Draft,
  { planner, deps }: { readonly planner: Planner; readonly deps: ReconcilerDeps },
): Promise<boolean> {
  if (!relay.finalizers.includes(drainFinalizer)) return true;
  if (!relay.finalizers.includes(orphanDependents)) {
    seen.taken = await takeUpClaims(relay, 0, deps);
    const plan = isLoss(relay, seen) ? planner.loss(key, relay) : planner.plan(key, relay, 0);
    const context = planner.context(relay, plan);
    const view = claimsView(relay, plan, deps);
    intend(relay, seen, { plan, context, view });
    if (plan.replicas > 0) {
      await drain(key, relay, seen, { context, view, deps });
      return false;
    }
    const workload = workloadVersion(await workloadNow(relay, deps.client));
    await release({ ...view, workload }, seen, deps);
  }
  await letGo(relay, deps);
  return true;
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

/**
 * With foreground deletion Kubernetes takes the children first, whatever waits, and making them anew would be a fight.
 * Without a workload nobody could send anything either.
 */
function isLoss(relay: MailRelay, { workload }: Draft): boolean {
  return relay.finalizers.includes(foregroundDeletion) || workload === undefined;
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
