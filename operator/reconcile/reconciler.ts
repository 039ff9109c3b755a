/**
 * One MailRelay from what is wanted to what is there: an ordered list of small
 * steps that fill in an observation, then one status write at the end, also
 * when a step fails. Reads come from caches; nothing is written that is already so.
 */
import type { MailRelay, MailRelayObject } from '../api/mail-relay.ts';
import { parseMailRelay } from '../api/parse.ts';
import { NotLeaderError } from '../kube/apply.ts';
import type { HandlerResult } from '../kube/work-queue.ts';
import { configJson } from '../resources/config-json.ts';
import { pendingChanges } from './apply-children.ts';
import type { ReconcilerDeps } from './deps.ts';
import { ensureFinalizer, finalize } from './finalize.ts';
import { Planner } from './planner.ts';
import type { PodReport } from './pod-reports.ts';
import { expectedPods } from './relay-state.ts';
import { report } from './reporter.ts';
import {
  bringAbout,
  claimsView,
  type Draft,
  intend,
  look,
  lookAfterPods,
  lookAfterVolumes,
  lookAtClaims,
  lookAtSecrets,
  noteFailure,
  throwFailures,
  watchPods,
} from './steps.ts';
import { TryAgainError } from './try-again.ts';
import { asItRuns, conflictsWithWhatRuns } from './what-runs.ts';

/** While replicas drain: how often the deadline is looked at, ms. */
const DRAIN_LOOK_MS = 2000;
/** What waits for a cache or for a predecessor to go. */
const SOON_MS = 1000;

/** An object in the way is not watched, nor is one without our labels, and a quota is raised without a word. */
const OBSTACLE_LOOK_MS = 30_000;

/** In how many ms to come again, or that it is over. */
type Next = number | 'gone' | undefined;

export class Reconciler {
  readonly #deps: ReconcilerDeps;
  readonly #planner: Planner;
  /** MailRelays that have been let go, by uid, until the cache has heard of it: working on them would begin anew. */
  readonly #gone = new Map<string, string>();

  constructor(deps: ReconcilerDeps) {
    this.#deps = deps;
    this.#planner = new Planner(deps);
  }

  /** Works on one key (`namespace/name`). Throws to be tried again with backoff. */
  async reconcile(key: string): Promise<HandlerResult> {
    try {
      return await this.#reconcile(key);
    } catch (error) {
      // Also what no condition tells of, since it is the status that cannot be written.
      if (!(error instanceof NotLeaderError)) this.#deps.gauges.become(key, 'failing');
      throw error;
    }
  }

  /** Does nothing about a MailRelay of which not everything can be seen, and lets nobody's time to drain run. */
  leave(key: string): void {
    this.#planner.forget(key);
    this.#deps.reports.forget(key);
    this.#deps.gauges.become(key, 'out-of-view');
  }

  /** To be called when somebody else may lead from now on: whoever drains then has all of the time when this leads again. */
  rest(): void {
    this.#planner.forgetAll();
    this.#deps.gauges.forgetAll();
  }

  async #reconcile(key: string): Promise<HandlerResult> {
    const object = this.#deps.caches.relays.getByKey(key);
    if (object === undefined) this.#gone.delete(key);
    if (object === undefined || this.#isGone(key, object)) return this.#forget(key);
    const { caches, reports } = this.#deps;
    const parsed = parseMailRelay(object);
    const problems = parsed.problems ?? conflictsWithWhatRuns(parsed.relay, caches);
    const wrong = parsed.relay === undefined || problems.length > 0;
    const relay = wrong ? asItRuns(object, caches) : parsed.relay;
    const seen = draft(object, relay, wrong ? problems : undefined, reports.of(key));
    return this.#attempt(key, seen, async () => {
      await look(relay, seen, this.#deps);
      this.#deps.gauges.expect(key, expectedPods(seen));
      return this.#step(key, relay, seen);
    });
  }

  async #step(key: string, relay: MailRelay, seen: Draft): Promise<Next> {
    if (seen.deleting) return this.#finalize(key, relay, seen);
    if (seen.problems !== undefined) return this.#invalid(key, relay, seen);
    if (relay.spec.suspend) return this.#suspended(key, relay, seen);
    return this.#bringAbout(key, relay, seen);
  }

  async #bringAbout(key: string, relay: MailRelay, seen: Draft): Promise<Next> {
    await lookAtClaims(relay, relay.spec.replicas, seen, this.#deps);
    const plan = this.#planner.plan(key, relay, relay.spec.replicas, seen);
    const context = this.#planner.context(relay, plan);
    const view = claimsView(relay, plan, this.#deps);
    intend(relay, seen, { plan, context, view });
    await ensureFinalizer(relay, this.#deps);
    await lookAtSecrets(relay, seen, this.#deps);
    await bringAbout(relay, seen, { context, view }, this.#deps);
    await lookAfterPods(key, relay, seen, this.#deps);
    await lookAfterVolumes(relay, seen, context.liveClaimSize, this.#deps);
    // The time to drain ends also while something else fails.
    if (plan.draining.length > 0) return DRAIN_LOOK_MS;
    throwFailures(seen);
    return seen.obstacles.length > 0 ? OBSTACLE_LOOK_MS : undefined;
  }

  async #finalize(key: string, relay: MailRelay, seen: Draft): Promise<Next> {
    const gone = await finalize(key, relay, seen, { planner: this.#planner, deps: this.#deps });
    if (!gone) return isHeldUp(seen) ? OBSTACLE_LOOK_MS : DRAIN_LOOK_MS;
    this.#gone.set(key, relay.uid);
    return 'gone';
  }

  async #suspended(key: string, relay: MailRelay, seen: Draft): Promise<Next> {
    const plan = this.#planner.plan(key, relay, relay.spec.replicas, seen);
    // Nobody is told to drain, so nobody's time to drain runs.
    this.#planner.forget(key);
    const context = this.#planner.context(relay, plan);
    seen.suspended = { pending: pendingChanges(relay, context, this.#deps) };
    seen.fingerprint = configJson(relay, context).fingerprint;
    watchPods(key, relay, seen, this.#deps);
    await lookAtSecrets(relay, seen, this.#deps);
    return undefined;
  }

  /** Nothing can be made of the spec; what runs goes on, and is told. */
  #invalid(key: string, relay: MailRelay, seen: Draft): undefined {
    this.#planner.forget(key);
    watchPods(key, relay, seen, this.#deps);
    return undefined;
  }

  /** Runs the steps and reports, whether they succeed or not. */
  async #attempt(key: string, seen: Draft, steps: () => Promise<Next>): Promise<HandlerResult> {
    try {
      const wait = await steps();
      return wait === 'gone' ? this.#forget(key) : after(await this.#report(key, seen), wait);
    } catch (error) {
      if (error instanceof NotLeaderError) throw error;
      noteFailure(seen, error);
      await this.#report(key, seen);
      if (error instanceof TryAgainError) return after(SOON_MS);
      throw error;
    }
  }

  /** Resolves with when to come again for what it was too early to say. */
  async #report(key: string, seen: Draft): Promise<number | undefined> {
    const { gone, afterMs } = await report(seen, this.#deps);
    if (gone) this.#forget(key);
    return afterMs;
  }

  /** Forgets it when another one of the name has come. */
  #isGone(key: string, { metadata: { uid } }: MailRelayObject): boolean {
    if (this.#gone.get(key) === uid) return true;
    this.#gone.delete(key);
    return false;
  }

  #forget(key: string): undefined {
    this.#planner.forget(key);
    this.#deps.reports.forget(key);
    this.#deps.gauges.forget(key);
    return undefined;
  }
}

/** Nothing is known yet but what was told last. */
function draft(
  object: MailRelayObject,
  relay: MailRelay,
  problems: readonly string[] | undefined,
  reports: readonly PodReport[],
): Draft {
  const { fingerprint } = relay.status.config ?? {};
  return {
    object,
    relay,
    ...(problems !== undefined && { problems }),
    ...(fingerprint !== undefined && { fingerprint }),
    obstacles: [],
    claims: { taken: false, unseen: [] },
    workloadTaken: false,
    retrying: [],
    failures: [],
    reports,
    volumes: { pending: [], held: [] },
    deleting: object.metadata.deletionTimestamp !== undefined,
  };
}

/** Nobody's time runs: what must come to pass is watched, or somebody must mend something first. */
function isHeldUp({ scale, obstacles, awaitedEnd, failures }: Draft): boolean {
  if (awaitedEnd !== undefined && failures.length === 0) return true;
  const drains = scale !== undefined && scale.draining.length + scale.awaited.length > 0;
  return obstacles.length > 0 && !drains;
}

/** The soonest of them. */
function after(...waits: readonly (number | undefined)[]): HandlerResult {
  const known = waits.filter(wait => wait !== undefined);
  return known.length === 0 ? undefined : { requeueAfterMs: Math.min(...known) };
}
