/**
 * How many replicas each MailRelay is to have now and who drains, from what
 * the caches and the pods say. Remembers one thing: since when a pod drains.
 */
import type { MailRelay } from '../api/mail-relay.ts';
import type { BuildContext } from '../resources/context.ts';
import { replicaPod } from '../resources/names.ts';
import type { Pod } from './caches.ts';
import type { ReconcilerDeps } from './deps.ts';
import { endingPods, livePods } from './pods.ts';
import { planLoss, planScale, type ScaleInput, type ScalePlan } from './scale.ts';
import { claimOfPod, claimsOf, isBound, sharedClaimSize } from './volumes.ts';
import { liveStatefulSet, liveWorkload } from './workload.ts';

type PlannerDeps = Pick<ReconcilerDeps, 'caches' | 'reports' | 'clock' | 'context'>;

/** Pods of a workload that is somebody else's are nobody's to plan, whatever labels they have. */
interface Whose {
  readonly workloadTaken: boolean;
}

/** Of one MailRelay, since when each pod drains, and the first of them; another one of the same name begins anew. */
interface Drains {
  readonly uid: string;
  readonly begunAt: number;
  readonly since: ReadonlyMap<string, number>;
}

export class Planner {
  readonly #deps: PlannerDeps;
  /** Starts anew with the operator: a drain may take longer, never shorter. */
  readonly #drains = new Map<string, Drains>();

  constructor(deps: PlannerDeps) {
    this.#deps = deps;
  }

  /** Who stays, who drains, who goes now. */
  plan(key: string, relay: MailRelay, wanted: number, whose: Whose): ScalePlan {
    const input = this.#input(key, relay, wanted, whose);
    const { drainingSince, begunAt = input.now, now } = input;
    const plan = planScale(input);
    // Who may go has drained until it goes: the workload may not be written for the moment.
    const drains = [...plan.awaited, ...plan.leaving.map(({ pod }) => pod)];
    const since = new Map(drains.map(pod => [pod, drainingSince.get(pod) ?? now]));
    if (since.size === 0) this.#drains.delete(key);
    else this.#drains.set(key, { uid: relay.uid, begunAt, since });
    return plan;
  }

  /** Everybody goes, whatever they have on board. */
  loss(key: string, relay: MailRelay, whose: Whose): ScalePlan {
    return planLoss(this.#input(key, relay, 0, whose));
  }

  context(relay: MailRelay, plan: ScalePlan): BuildContext {
    const { caches, context } = this.#deps;
    const liveClaimSize = sharedClaimSize(relay, caches);
    const template = liveStatefulSet(relay, caches)?.spec?.volumeClaimTemplates?.[0];
    const liveTemplateSize = template?.spec?.resources?.requests?.['storage'];
    return {
      ...context,
      replicas: plan.replicas,
      draining: plan.draining,
      ...(liveClaimSize !== undefined && { liveClaimSize }),
      ...(liveTemplateSize !== undefined && { liveTemplateSize }),
    };
  }

  /** Nobody drains any more. */
  forget(key: string): void {
    this.#drains.delete(key);
  }

  /** Somebody else may say from now on who drains. */
  forgetAll(): void {
    this.#drains.clear();
  }

  #input(key: string, relay: MailRelay, wanted: number, { workloadTaken }: Whose): ScaleInput {
    const { caches, reports, clock } = this.#deps;
    const { spool } = relay.spec;
    const ordinal = spool.mode === 'PerReplica';
    const bound = new Set(
      claimsOf(relay, caches)
        .filter(isBound)
        .map(({ metadata }) => metadata.name),
    );
    const known = this.#drains.get(key);
    const drains = known?.uid === relay.uid ? known : undefined;
    const podNames = (those: readonly Pod[]) =>
      workloadTaken ? [] : those.map(({ metadata }) => metadata.name);
    return {
      wanted,
      live: liveWorkload(relay, caches)?.spec?.replicas,
      ordinal,
      adopted: !ordinal && spool.accessMode === 'ReadWriteMany',
      podName: at => replicaPod(relay, at),
      pods: podNames(livePods(relay, caches)),
      ending: podNames(endingPods(relay, caches)),
      mayHoldMail: pod => bound.has(claimOfPod(relay, pod)),
      reports: workloadTaken ? [] : reports.of(key),
      drainingSince: drains?.since ?? new Map(),
      begunAt: drains?.begunAt,
      now: clock.now(),
      timeoutMs: spool.drainTimeoutSeconds * 1000,
    };
  }
}
