/**
 * Conditions Ready and Reconciling: whether an application may count on the
 * relay, and whether the cluster is already what the spec says. Ready is True
 * for a generation only once what it asks for has been brought about, so that
 * `kubectl wait --for=condition=Ready` after an edit waits for its end. Pure.
 */
import type { ProviderStatus } from '../api/schema-status.ts';
import { type Condition, findCondition } from '../kube/conditions.ts';
import type { Judged, Judgement } from './judgement.ts';
import { loadedReplicas, loadingSentence } from './loading.ts';
import type { Observation } from './observation.ts';
import { isUsable } from './provider-status.ts';

type Readiness = Judgement<'Ready'>;

/** Why the cluster is not yet what the spec says, while the operator is at it. */
export function reconciling(seen: Observation): Judgement<'Reconciling'> | undefined {
  if (seen.deleting) return under('Draining', drainSentence(seen));
  if (seen.problems !== undefined || seen.suspended !== undefined) return undefined;
  // kstatus takes Reconciling for "wait on" even beside Stalled: nobody would be told to come and help.
  if (seen.obstacles.length > 0) return undefined;
  if (seen.retrying.length > 0) return under('Retrying', seen.retrying.join('; '));
  if (seen.scale !== undefined && seen.scale.draining.length > 0) {
    return under('ScalingDown', drainSentence(seen));
  }
  if (!rolledOut(seen)) return under('Progressing', progressSentence(seen));
  const { loaded, all } = loadedReplicas(seen);
  if (loaded < all) return under('LoadingConfiguration', loadingSentence(seen));
  return undefined;
}

function under(reason: Judgement<'Reconciling'>['reason'], message: string): Judgement<'Reconciling'> {
  return { status: 'True', reason, message };
}

/** The summary: may an application count on it? `before`: the conditions as they were told last. */
export function ready(
  seen: Observation,
  judged: Judged,
  providers: readonly ProviderStatus[],
  before: readonly Condition[],
): Readiness {
  if (seen.deleting) return no('Draining', drainSentence(seen));
  if (seen.problems !== undefined) return no('InvalidConfiguration', judged.ConfigurationValid.message);
  if (seen.suspended !== undefined) return suspendedReady(seen.suspended.pending);
  const inTheWay = seen.obstacles.filter(({ mailNeeds }) => mailNeeds);
  if (inTheWay.length > 0) return no('Stalled', inTheWay.map(({ message }) => message).join('; '));
  return (
    unavailable(seen) ?? unfinished(seen, before) ?? notLoaded(seen) ?? readyToSend(seen, judged, providers)
  );
}

function no(reason: Readiness['reason'], message: string): Readiness {
  return { status: 'False', reason, message };
}

function unavailable(seen: Observation): Readiness | undefined {
  const { workload, relay } = seen;
  // A replica that is to go turns not ready, for as long as it has mail to send: nobody counts on it.
  const wanted = Math.min(workload?.desired ?? Infinity, relay?.spec.replicas ?? Infinity);
  if (wanted === 0) return no('PodsUnavailable', 'no pod is wanted: spec.replicas is 0');
  if (workload !== undefined && workload.ready >= wanted) return undefined;
  return no('PodsUnavailable', `${progressSentence(seen)}: see the events of the pods`);
}

/** Enough pods are ready, but not yet those that the spec asks for. */
function unfinished(seen: Observation, before: readonly Condition[]): Readiness | undefined {
  if (isUntried(seen, before)) {
    return { status: 'Unknown', reason: 'Progressing', message: seen.retrying.join('; ') };
  }
  if (isUpToDate(seen)) return undefined;
  return { status: 'Unknown', reason: 'Progressing', message: progressSentence(seen) };
}

/** A step fails, and this generation has never been brought about as a whole. */
function isUntried({ retrying, object }: Observation, before: readonly Condition[]): boolean {
  if (retrying.length === 0) return false;
  const was = findCondition(before, 'Ready');
  return was?.reason === 'Progressing' || (was?.observedGeneration ?? 0) < (object.metadata.generation ?? 0);
}

function notLoaded(seen: Observation): Readiness | undefined {
  const { loaded, all } = loadedReplicas(seen);
  return loaded < all ? no('ConfigurationNotLoaded', loadingSentence(seen)) : undefined;
}

function readyToSend(
  { relay }: Observation,
  judged: Judged,
  providers: readonly ProviderStatus[],
): Readiness {
  if (relay?.spec.forwardSMTP === false) {
    const message = 'mail is accepted and held: forwardSMTP is false';
    return { status: 'True', reason: 'ForwardingOff', message };
  }
  const usable = providers.filter(isUsable);
  if (usable.length === 0) return no('NoUsableProvider', judged.ProvidersHealthy.message);
  const { ConfigurationValid, CredentialsAvailable, ProvidersHealthy, SpoolHealthy, Stalled } = judged;
  const unwell = [ConfigurationValid, CredentialsAvailable, ProvidersHealthy, SpoolHealthy].filter(
    ({ status }) => status === 'False',
  );
  // What is in nobody's way here is something that mail does without.
  const messages = [...unwell, ...(Stalled === undefined ? [] : [Stalled])].map(({ message }) => message);
  if (messages.length > 0) return { status: 'True', reason: 'Degraded', message: messages.join('; ') };
  const active = providers.find(({ state }) => state === 'Active') ?? usable[0];
  return { status: 'True', reason: 'Available', message: `mail goes through ${active?.name}` };
}

function suspendedReady(pending: readonly string[]): Readiness {
  const what = pending.length === 0 ? 'no changes wait' : `changes wait: ${pending.join(', ')}`;
  return { status: 'Unknown', reason: 'Suspended', message: `suspend is true; ${what}` };
}

function drainSentence({ scale, retrying, awaitedEnd }: Observation): string {
  if (retrying.length > 0) return `${retrying.join('; ')}; it is tried again`;
  if (awaitedEnd !== undefined) return awaitedEnd;
  const pods = scale?.draining.join(', ') || 'the next pod of the volume';
  if (scale?.awaited.length === 0) return `${pods} must end: nothing more is waited for`;
  const unsent = scale?.unsent === undefined ? 'an unknown number of' : `${scale.unsent}`;
  return `${pods} must first send ${unsent} messages`;
}

function progressSentence({ workload }: Observation): string {
  if (workload === undefined) return 'the workload is being created';
  const { ready: are, updated, desired } = workload;
  return `${are} of ${desired} pods are ready, ${updated} up to date`;
}

function rolledOut(seen: Observation): boolean {
  const { workload } = seen;
  if (workload === undefined) return false;
  return isUpToDate(seen) && workload.replicas <= workload.desired && workload.ready >= workload.desired;
}

/** The controller has seen the newest template, and no pod of an older one is left: those may be the ready ones. */
function isUpToDate({ workload }: Observation): boolean {
  if (workload === undefined) return false;
  const { observed, desired, updated, replicas } = workload;
  return observed && updated >= Math.max(desired, replicas);
}
