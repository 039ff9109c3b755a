/**
 * The status of a MailRelay as a function of what was observed and of the
 * status before. Pure. Counts are rounded in time by the writer, not here.
 */
import { isDeepStrictEqual } from 'node:util';
import type { MailRelayStatus, ProviderStatus, QueueStatus } from '../api/schema-status.ts';
import { selectorText } from '../resources/names.ts';
import { answersOf } from './answers.ts';
import { conditionsOf } from './conditions.ts';
import { loadedReplicas } from './loading.ts';
import type { Observation } from './observation.ts';
import { isUsable, providerStatuses } from './provider-status.ts';
import type { RelayStatus } from './relay-status.ts';

/** What was acted on in this reconciliation; see the fields of the same names in the status. */
export interface Handled {
  readonly resendAt?: string;
  readonly reconcileAt?: string;
}

/** The bounds of schema-status.ts; an annotation may be longer, and clocks may be wrong. */
const longestRequest = 256;
const oldestSeconds = 1_000_000_000;

/** The whole status to be written. */
export function statusOf(seen: Observation, handled: Handled, wallTimeMs: number): MailRelayStatus {
  const { object, relay, volumes } = seen;
  const before = object.status ?? {};
  const statuses = seen.reports.flatMap(({ status }) => status ?? []);
  const answers = answersOf(seen.reports);
  const providers = relay === undefined ? [] : providerStatuses(relay, seen.credentials, answers);
  const conditions = conditionsOf(before.conditions ?? [], seen, providers, wallTimeMs);
  return {
    observedGeneration: object.metadata.generation ?? 0,
    conditions,
    ...workloadPart(seen),
    selector: selectorText(object.metadata),
    ...providersPart(providers, relay?.spec.forwardProviders.length ?? 0),
    ...queuePart(statuses, before),
    ...(volumes.held.length > 0 && { heldVolumes: [...volumes.held] }),
    ...handledPart(handled, before),
  };
}

function workloadPart(seen: Observation): Pick<MailRelayStatus, 'replicas' | 'readyReplicas' | 'config'> {
  const { workload, fingerprint } = seen;
  const counts = { replicas: workload?.replicas ?? 0, readyReplicas: workload?.ready ?? 0 };
  if (fingerprint === undefined) return counts;
  return { ...counts, config: { fingerprint, loadedReplicas: loadedReplicas(seen).loaded } };
}

/** Of a pod that answers no more, and while there is none, the last that is known stays: mail is where it was. */
function queuePart(
  statuses: readonly RelayStatus[],
  before: MailRelayStatus,
): Pick<MailRelayStatus, 'queue'> {
  if (statuses.length > 0) return { queue: queueOf(statuses) };
  return before.queue === undefined ? {} : { queue: before.queue };
}

function providersPart(
  providers: readonly ProviderStatus[],
  all: number,
): Pick<MailRelayStatus, 'providers' | 'activeProvider' | 'usableProviders'> {
  if (providers.length === 0) return {};
  const active = providers.find(({ state }) => state === 'Active');
  return {
    ...(active !== undefined && { activeProvider: active.name }),
    usableProviders: `${providers.filter(isUsable).length}/${all}`,
    providers: [...providers],
  };
}

/** All replicas together. */
function queueOf(statuses: readonly RelayStatus[]): QueueStatus {
  const sum = (state: keyof RelayStatus['queue']): number =>
    statuses.reduce((total, { queue }) => total + queue[state].messages, 0);
  const ages = statuses.flatMap(({ queue }) => queue.failed.oldestAgeSeconds ?? []);
  return {
    active: sum('active'),
    failed: sum('failed'),
    held: sum('held'),
    dead: sum('dead'),
    ...(ages.length > 0 && { oldestFailedSeconds: oldestOf(ages) }),
  };
}

function oldestOf(ages: readonly number[]): number {
  return Math.round(Math.min(Math.max(0, ...ages), oldestSeconds));
}

function handledPart(
  { resendAt, reconcileAt }: Handled,
  before: MailRelayStatus,
): Pick<MailRelayStatus, 'lastHandledResendAt' | 'lastHandledReconcileAt'> {
  const resend = resendAt?.slice(0, longestRequest).toWellFormed() ?? before.lastHandledResendAt;
  const reconcile = reconcileAt?.slice(0, longestRequest).toWellFormed() ?? before.lastHandledReconcileAt;
  return {
    ...(resend !== undefined && { lastHandledResendAt: resend }),
    ...(reconcile !== undefined && { lastHandledReconcileAt: reconcile }),
  };
}

/** Least time after the last write for a change of counts, and for one of words and ages alone, ms. */
const COUNTS_MS = 10_000;
const WORDS_MS = 60_000;

/**
 * How long after the last write this one may have to wait, ms. What is so (conditions, states, replicas, the loaded
 * configuration) is written at once; why it is so, in words, may be other words at every look: a provider that puts a
 * number of its own into each reply must not cost a write each time.
 */
export function patienceOf(before: MailRelayStatus | undefined, after: MailRelayStatus): number {
  if (!isDeepStrictEqual(factsOf(before ?? {}), factsOf(after))) return 0;
  return isDeepStrictEqual(countsOf(before?.queue), countsOf(after.queue)) ? WORDS_MS : COUNTS_MS;
}

/** Compared as a value: the API server gives keys back in another order. */
function factsOf(status: MailRelayStatus): unknown {
  const { queue: _queue, conditions = [], providers = [], ...rest } = status;
  const is = conditions.map(condition => [
    condition.type,
    condition.status,
    condition.reason,
    condition.observedGeneration,
  ]);
  return [rest, is, providers.map(({ name, state }) => [name, state])];
}

function countsOf({ oldestFailedSeconds: _age, ...counts }: QueueStatus = {}): unknown {
  return counts;
}
