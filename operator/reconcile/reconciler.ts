/**
 * One MailRelay from what is wanted to what is there: an ordered list of small
 * steps that fill in an observation, then one status write at the end. Reads
 * come from caches; nothing is written that is already so.
 */
import { type MailRelay, mailRelays } from '../api/mail-relay.ts';
import { annotations, drainFinalizer, fieldManager } from '../api/names.ts';
import { parseMailRelay } from '../api/parse.ts';
import { isForbidden, isNotFound } from '../kube/api-error.ts';
import { type Applier, NotLeaderError } from '../kube/apply.ts';
import type { Clock } from '../kube/clock.ts';
import type { EventRecorder } from '../kube/events.ts';
import type { ObjectRef } from '../kube/object.ts';
import type { KubeClient } from '../kube/resource.ts';
import type { StatusWriter } from '../kube/status.ts';
import type { HandlerResult } from '../kube/work-queue.ts';
import { configJson } from '../resources/config-json.ts';
import type { BuildContext } from '../resources/context.ts';
import { childNames, replicaPod } from '../resources/names.ts';
import { applyChildren, pendingChanges, TryAgainError } from './apply-children.ts';
import type { Caches } from './caches.ts';
import { readCredentials } from './credentials.ts';
import { eventsOf } from './events.ts';
import type { Observation, WorkloadState } from './observation.ts';
import type { PodReports } from './pod-reports.ts';
import { addressesOf, livePods, newRevision, nudge } from './pods.ts';
import { planScale, type ScalePlan } from './scale.ts';
import type { SecretFactsCache } from './secret-facts.ts';
import { type Handled, patienceOf, statusOf } from './status.ts';
import { claimsOf, growReplicaClaims, heldVolumes, sharedClaimSize, volumeState } from './volumes.ts';
import { liveStatefulSet, liveWorkload, workloadState } from './workload.ts';

/** What is the same for every MailRelay. */
export type FixedContext = Pick<
  BuildContext,
  'image' | 'operatorNamespace' | 'monitoringNamespaces' | 'runbooks'
>;

export interface ReconcilerDeps {
  readonly client: KubeClient;
  readonly caches: Caches;
  readonly applier: Applier;
  readonly statusWriter: StatusWriter;
  readonly events: EventRecorder;
  readonly reports: PodReports;
  readonly secretFacts: SecretFactsCache;
  readonly clock: Clock;
  readonly mayWrite: () => boolean;
  readonly context: FixedContext;
}

/** While replicas drain: how often the deadline is looked at, ms. */
const DRAIN_LOOK_MS = 2000;
/** What waits for a cache or for a predecessor to go. */
const SOON_MS = 1000;

/** An object in the way is not watched, and a quota is raised without a word: somebody may have mended it. */
const OBSTACLE_LOOK_MS = 30_000;

/** Put by the API server for `kubectl delete --cascade=foreground` (metav1.FinalizerDeleteDependents). */
const foregroundDeletion = 'foregroundDeletion';

type Draft = { -readonly [K in keyof Observation]: Observation[K] };

export class Reconciler {
  readonly #deps: ReconcilerDeps;
  /** Since when each draining pod drains, by MailRelay. Starts anew with the operator: a drain may take longer, never shorter. */
  readonly #drainingSince = new Map<string, Map<string, number>>();

  constructor(deps: ReconcilerDeps) {
    this.#deps = deps;
  }

  /** Works on one key (`namespace/name`). Throws to be tried again with backoff. */
  async reconcile(key: string): Promise<HandlerResult> {
    const object = this.#deps.caches.relays.getByKey(key);
    if (object === undefined) return this.#forget(key);
    const parsed = parseMailRelay(object);
    const seen: Draft = {
      object,
      obstacles: [],
      retrying: [],
      reports: this.#deps.reports.of(key),
      // Volumes with mail are remembered in the status alone: what does not look at them must not forget them.
      volumes: { pending: [], held: object.status?.heldVolumes ?? [] },
      deleting: object.metadata.deletionTimestamp !== undefined,
    };
    if (parsed.relay === undefined) return this.#invalid(key, seen, parsed.problems);
    const { relay } = parsed;
    seen.relay = relay;
    this.#look(relay, seen);
    if (seen.deleting) return this.#finalize(key, relay, seen);
    if (relay.spec.suspend) return this.#suspended(key, relay, seen);
    return this.#bringAbout(key, relay, seen);
  }

  /** What caches show before anything is done: a step that fails must not make the status forget it. */
  #look(relay: MailRelay, seen: Draft): void {
    Object.assign(seen, this.#workload(relay));
    const claims = claimsOf(relay, this.#deps.caches);
    const held = (relay.status.heldVolumes ?? []).filter(({ claim }) =>
      claims.some(({ metadata }) => metadata.name === claim),
    );
    seen.volumes = volumeState(relay, claims, undefined, held);
  }

  async #bringAbout(key: string, relay: MailRelay, seen: Draft): Promise<HandlerResult> {
    let failure: unknown;
    const context = this.#intend(key, relay, seen, relay.spec.replicas);
    try {
      await this.#ensureFinalizer(relay);
      await this.#steps(key, relay, seen, context);
    } catch (error) {
      if (error instanceof NotLeaderError) throw error;
      failure = error;
      seen.retrying = [error instanceof Error ? error.message : String(error)];
    }
    const wait = await this.#report(key, seen);
    if (failure instanceof TryAgainError) return { requeueAfterMs: SOON_MS };
    if (failure !== undefined) throw failure;
    return soonest(
      wait,
      seen.scale !== undefined && seen.scale.draining.length > 0 ? DRAIN_LOOK_MS : undefined,
      seen.obstacles.length > 0 ? OBSTACLE_LOOK_MS : undefined,
    );
  }

  async #steps(key: string, relay: MailRelay, seen: Draft, context: BuildContext): Promise<void> {
    await this.#readCredentials(relay, seen);
    seen.obstacles = await applyChildren(relay, context, this.#deps);
    Object.assign(seen, this.#workload(relay));
    await this.#lookAfterPods(key, relay, seen);
    await this.#lookAfterVolumes(relay, seen, context.liveClaimSize);
  }

  /** What is to be, before anything is done: it is told also when a step fails, above all who leaves with mail. */
  #intend(key: string, relay: MailRelay, seen: Draft, wanted: number): BuildContext {
    const { caches, clock } = this.#deps;
    const plan = this.#plan(key, relay, wanted);
    const context = this.#context(relay, plan);
    seen.scale = plan;
    seen.fingerprint = configJson(relay, context).fingerprint;
    const held = heldVolumes(relay, claimsOf(relay, caches), plan, clock.wallTime());
    seen.volumes = { ...seen.volumes, held };
    return context;
  }

  async #readCredentials(relay: MailRelay, seen: Draft): Promise<void> {
    try {
      seen.credentials = await readCredentials(relay, name =>
        this.#deps.secretFacts.of({ name, namespace: relay.namespace }),
      );
    } catch (error) {
      const reason = isForbidden(error) ? 'SecretForbidden' : 'ReadFailed';
      seen.secretsUnread = { reason, message: error instanceof Error ? error.message : String(error) };
      if (reason === 'ReadFailed') throw error;
    }
  }

  /** Who stays, who drains, who goes now. */
  #plan(key: string, relay: MailRelay, wanted: number): ScalePlan {
    const { caches } = this.#deps;
    const live = liveWorkload(relay, caches)?.spec?.replicas;
    const ordinal = relay.spec.spool.mode === 'PerReplica';
    const since = this.#drainingSince.get(key) ?? new Map<string, number>();
    const now = this.#deps.clock.now();
    const plan = planScale({
      wanted,
      live,
      ordinal,
      adopted: !ordinal && relay.spec.spool.accessMode === 'ReadWriteMany',
      podName: at => replicaPod(relay, at),
      pods: livePods(relay, caches).map(({ metadata }) => metadata.name),
      mayHoldMail: claimsOf(relay, caches).some(({ status }) => status?.phase === 'Bound'),
      reports: this.#deps.reports.of(key),
      drainingSince: since,
      now,
      timeoutMs: relay.spec.spool.drainTimeoutSeconds * 1000,
    });
    this.#drainingSince.set(key, new Map(plan.awaited.map(pod => [pod, since.get(pod) ?? now])));
    return plan;
  }

  #context(relay: MailRelay, plan: ScalePlan): BuildContext {
    const liveClaimSize = sharedClaimSize(relay, this.#deps.caches);
    const template = liveStatefulSet(relay, this.#deps.caches)?.spec?.volumeClaimTemplates?.[0];
    const liveTemplateSize = template?.spec?.resources?.requests?.['storage'];
    return {
      ...this.#deps.context,
      replicas: plan.replicas,
      draining: plan.draining,
      ...(liveClaimSize !== undefined && { liveClaimSize }),
      ...(liveTemplateSize !== undefined && { liveTemplateSize }),
    };
  }

  async #lookAfterPods(key: string, relay: MailRelay, seen: Draft): Promise<void> {
    const { reports, caches } = this.#deps;
    const live = livePods(relay, caches);
    const { fingerprint = '' } = seen;
    const awaiting = reports.of(key).some(({ status }) => status?.fingerprint !== fingerprint);
    const draining = (seen.scale?.draining.length ?? 0) > 0;
    reports.follow(key, addressesOf(live), awaiting || draining ? fingerprint : undefined);
    seen.reports = reports.of(key);
    const credentialsRevision = newRevision(seen.credentials, this.#deps.clock.wallTime());
    await nudge(live, { fingerprint, credentialsRevision }, this.#deps);
  }

  async #lookAfterVolumes(relay: MailRelay, seen: Draft, sizeBefore: string | undefined): Promise<void> {
    const { caches } = this.#deps;
    const refusedGrowth = await growReplicaClaims(relay, this.#deps);
    const claims = claimsOf(relay, caches);
    const { claim } = childNames(relay);
    const refusal = seen.obstacles.find(({ message }) =>
      message.startsWith(`PersistentVolumeClaim ${claim}:`),
    );
    const grows = sizeBefore !== undefined && refusal !== undefined;
    if (grows) seen.obstacles = seen.obstacles.filter(obstacle => obstacle !== refusal);
    const refused = refusedGrowth ?? (grows ? refusal.message : undefined);
    const served = (seen.workload?.desired ?? 0) > 0;
    const state = volumeState(relay, claims, refused, seen.volumes.held);
    seen.volumes = served ? state : { ...state, pending: [] };
  }

  async #ensureFinalizer(relay: MailRelay): Promise<void> {
    if (relay.finalizers.includes(drainFinalizer)) return;
    await this.#patchFinalizers(relay, [...relay.finalizers, drainFinalizer]);
  }

  /** `finalizers` come from the cache, so the write holds only for the object as it is there. */
  async #patchFinalizers(ref: ObjectRef, finalizers: readonly string[]): Promise<void> {
    if (!this.#deps.mayWrite()) throw new NotLeaderError();
    const { resourceVersion } = this.#deps.caches.relays.get(ref)?.metadata ?? {};
    const metadata = { finalizers, ...(resourceVersion !== undefined && { resourceVersion }) };
    const patched = await this.#deps.client.mergePatch(mailRelays, ref, { metadata }, { fieldManager });
    this.#deps.caches.relays.observe(patched);
  }

  async #letGo(key: string, ref: ObjectRef, finalizers: readonly string[]): Promise<undefined> {
    const others = finalizers.filter(name => name !== drainFinalizer);
    await this.#patchFinalizers(ref, others).catch(ignoreGone);
    return this.#forget(key);
  }

  /** Being deleted: everything on board is sent first, as far as time allows. */
  async #finalize(key: string, relay: MailRelay, seen: Draft): Promise<HandlerResult> {
    if (!relay.finalizers.includes(drainFinalizer)) return this.#forget(key);
    const context = this.#intend(key, relay, seen, 0);
    // With foreground deletion Kubernetes takes the children first, whatever waits: making them anew would be a fight.
    if (context.replicas > 0 && !relay.finalizers.includes(foregroundDeletion)) {
      seen.obstacles = await applyChildren(relay, context, this.#deps);
      Object.assign(seen, this.#workload(relay));
      await this.#lookAfterPods(key, relay, seen);
      const wait = await this.#report(key, seen);
      return soonest(wait, DRAIN_LOOK_MS);
    }
    this.#tell(seen, relay.status);
    return this.#letGo(key, relay, relay.finalizers);
  }

  async #suspended(key: string, relay: MailRelay, seen: Draft): Promise<HandlerResult> {
    const plan = this.#plan(key, relay, relay.spec.replicas);
    // Nobody is told to drain, so nobody's time to drain runs.
    this.#drainingSince.delete(key);
    const context = this.#context(relay, plan);
    seen.suspended = { pending: pendingChanges(relay, context, this.#deps) };
    seen.fingerprint = configJson(relay, context).fingerprint;
    await this.#readCredentials(relay, seen);
    Object.assign(seen, this.#workload(relay));
    this.#deps.reports.follow(key, addressesOf(livePods(relay, this.#deps.caches)));
    seen.reports = this.#deps.reports.of(key);
    return soonest(await this.#report(key, seen));
  }

  async #invalid(key: string, seen: Draft, problems: readonly string[]): Promise<HandlerResult> {
    seen.problems = problems;
    const { metadata } = seen.object;
    if (seen.deleting && metadata.finalizers?.includes(drainFinalizer) === true) {
      // Nothing can be planned from it; holding it up would help nobody.
      return this.#letGo(key, metadata, metadata.finalizers);
    }
    return soonest(await this.#report(key, seen));
  }

  /** Writes the status if it says something new. Resolves with when to come again for what was too early. */
  async #report(key: string, seen: Observation): Promise<number | undefined> {
    if (isPremature(seen)) return SOON_MS;
    const { statusWriter, clock, caches } = this.#deps;
    const { object } = seen;
    // The finalizer was written since: over the version before it the API server would refuse the status.
    const newest = caches.relays.getByKey(key);
    const live = newest !== undefined && newest.metadata.uid === object.metadata.uid ? newest : object;
    const before = object.status ?? {};
    const status = statusOf(seen, handledIn(seen), clock.wallTime());
    const outcome = await statusWriter.write(mailRelays, live, status, {
      minIntervalMs: patienceOf(before, status),
    });
    if (outcome.outcome === 'written') {
      caches.relays.observe(outcome.object);
      for (const event of eventsOf(before, status, seen)) this.#deps.events.record(object, event);
    }
    if (outcome.outcome === 'gone') this.#forget(key);
    return outcome.outcome === 'deferred' ? outcome.afterMs : undefined;
  }

  /** Events of a MailRelay whose status nobody will read any more. */
  #tell(seen: Observation, before: MailRelay['status']): void {
    const after = statusOf(seen, {}, this.#deps.clock.wallTime());
    for (const event of eventsOf(before, after, seen)) this.#deps.events.record(seen.object, event);
  }

  #workload(relay: MailRelay): { workload?: WorkloadState } {
    const live = liveWorkload(relay, this.#deps.caches);
    return live === undefined ? {} : { workload: workloadState(live) };
  }

  #forget(key: string): undefined {
    this.#drainingSince.delete(key);
    this.#deps.reports.forget(key);
    return undefined;
  }
}

/**
 * A pod has not been asked yet, which takes moments: nothing can be said of it. Without this every start of the
 * operator would call every relay not ready, and then ready again. Mail left behind is told at once.
 */
function isPremature({ reports, scale }: Observation): boolean {
  const unasked = reports.some(({ status, error }) => status === undefined && error === undefined);
  return unasked && (scale?.leaving.length ?? 0) === 0;
}

/** The requests that were acted on: none while nothing is written, or not all of it could be. */
function handledIn({ object, problems, suspended, retrying }: Observation): Handled {
  if (problems !== undefined || suspended !== undefined || retrying.length > 0) return {};
  const asked = object.metadata.annotations ?? {};
  const resendAt = asked[annotations.resendRequestedAt];
  const reconcileAt = asked[annotations.reconcileRequestedAt];
  return { ...(resendAt !== undefined && { resendAt }), ...(reconcileAt !== undefined && { reconcileAt }) };
}

function soonest(...waits: readonly (number | undefined)[]): HandlerResult {
  const known = waits.filter(wait => wait !== undefined);
  return known.length === 0 ? undefined : { requeueAfterMs: Math.min(...known) };
}

function ignoreGone(error: unknown): void {
  if (!isNotFound(error)) throw error;
}
