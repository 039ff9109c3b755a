/**
 * Scaling down without losing sight of mail: replicas that are to go are
 * drained first, one at a time from the top, and go when they are empty or
 * their time is up. Pure: from what is wanted, what runs and what the pods
 * say, to how many replicas there should be and who is draining.
 */
import type { PodReport } from './pod-reports.ts';

export interface ScaleInput {
  /** spec.replicas, or 0 while being deleted. */
  readonly wanted: number;
  /** Replicas of the live workload; undefined = there is none yet. */
  readonly live: number | undefined;
  /** Ordinal replicas of a StatefulSet, or the interchangeable ones of a Deployment. */
  readonly ordinal: boolean;
  /** Other replicas can send what one leaves behind (a shared volume). */
  readonly adopted: boolean;
  /** Name of the pod with that ordinal. */
  readonly podName: (ordinal: number) => string;
  /** Names of the pods there are. */
  readonly pods: readonly string[];
  readonly reports: readonly PodReport[];
  /** When each pod began to drain, ms of the same clock as `now`. */
  readonly drainingSince: ReadonlyMap<string, number>;
  readonly now: number;
  readonly timeoutMs: number;
}

export interface ScalePlan {
  /** What the workload is to have now. */
  readonly replicas: number;
  /** Pods that take no new mail and send what they have. */
  readonly draining: readonly string[];
  /** Pods that go now with mail on board: their time is up. */
  readonly leaving: readonly { readonly pod: string; readonly messages: number }[];
  /** Unsent messages on the draining pods; undefined = not known of all. */
  readonly unsent: number | undefined;
}

/** Plans one step. Call it again when a pod has news or after a while. */
export function planScale(input: ScaleInput): ScalePlan {
  const { wanted, live = wanted, ordinal, adopted } = input;
  if (live <= wanted || (adopted && wanted > 0)) return settledAt(wanted);
  return ordinal ? shrinkFromTop(input, live) : shrinkToNothing(input, live);
}

function settledAt(replicas: number): ScalePlan {
  return { replicas, draining: [], leaving: [], unsent: 0 };
}

function shrinkFromTop(input: ScaleInput, live: number): ScalePlan {
  const draining: string[] = [];
  for (let at = input.wanted; at < live; at += 1) draining.push(input.podName(at));
  let replicas = live;
  const leaving: { pod: string; messages: number }[] = [];
  for (let top = draining.at(-1); top !== undefined && mayGo(top, input); top = draining.at(-1)) {
    const messages = unsentOf(top, input) ?? 0;
    if (messages > 0) leaving.push({ pod: top, messages });
    draining.pop();
    replicas -= 1;
  }
  return { replicas, draining, leaving, unsent: sum(draining, input) };
}

/** All or none: which pod of a Deployment goes first is not ours to say. */
function shrinkToNothing(input: ScaleInput, live: number): ScalePlan {
  const { pods, wanted } = input;
  if (wanted > 0) return settledAt(wanted);
  if (!pods.every(pod => mayGo(pod, input))) {
    return { replicas: live, draining: pods, leaving: [], unsent: sum(pods, input) };
  }
  const leaving = pods.flatMap(pod => {
    const messages = unsentOf(pod, input) ?? 0;
    return messages > 0 ? [{ pod, messages }] : [];
  });
  return { replicas: 0, draining: pods, leaving, unsent: sum(pods, input) };
}

function mayGo(pod: string, input: ScaleInput): boolean {
  const since = input.drainingSince.get(pod);
  if (since !== undefined && input.now - since >= input.timeoutMs) return true;
  const status = reportOf(pod, input)?.status;
  return status?.draining === true && unsentOf(pod, input) === 0;
}

function sum(pods: readonly string[], input: ScaleInput): number | undefined {
  const counts = pods.map(pod => unsentOf(pod, input));
  return counts.some(count => count === undefined)
    ? undefined
    : counts.reduce((total: number, count) => total + (count ?? 0), 0);
}

/** Messages it still has to send; held and dead ones stay whatever happens. */
function unsentOf(pod: string, input: ScaleInput): number | undefined {
  const status = reportOf(pod, input)?.status;
  return status === undefined ? undefined : status.queue.active.messages + status.queue.failed.messages;
}

function reportOf(pod: string, { reports }: ScaleInput): PodReport | undefined {
  return reports.find(report => report.pod === pod);
}
