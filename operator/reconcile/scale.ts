/**
 * Scaling down without losing sight of mail: replicas that are to go are
 * drained first, one at a time from the top, and go when they are empty or
 * their time is up. Never calls a volume empty that may hold mail. Pure: from
 * what is wanted, what runs and what the pods say, to how many replicas there
 * should be, who is draining and what is left behind.
 */
import { shutdownSeconds } from '../resources/config-json.ts';
import { atLeast, boardOf, type OnBoard } from './on-board.ts';
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
  /** Names of pods on their way out, which may still take mail. */
  readonly ending: readonly string[];
  /** There is a volume that this pod, or with '' any pod, may have written to. */
  readonly mayHoldMail: (pod: string) => boolean;
  readonly reports: readonly PodReport[];
  /** When each pod began to drain, ms of the same clock as `now`. */
  readonly drainingSince: ReadonlyMap<string, number>;
  /** When anybody of those who drain now, or whose place they took, began; undefined = nobody drains yet. */
  readonly begunAt: number | undefined;
  readonly now: number;
  readonly timeoutMs: number;
}

/** A pod that goes, and what it leaves on its volume. */
export interface Departure {
  /** '' where the pod of a volume was not there. */
  readonly pod: string;
  readonly board: OnBoard;
}

export interface ScalePlan {
  /** What the workload is to have now. */
  readonly replicas: number;
  /** Pods that are to take no new mail and send what they have; also those that go, until they are gone. */
  readonly draining: readonly string[];
  /** Whose time runs: the draining pods, or '' while the pod of a volume with mail is not there. */
  readonly awaited: readonly string[];
  /** Pods that go now, with what they leave on their volumes. */
  readonly leaving: readonly Departure[];
  /** Unsent messages on the draining pods; undefined = not known of all. */
  readonly unsent: number | undefined;
}

/**
 * A relay says that it drains as soon as it has the configuration, and takes mail for the grace time after that:
 * an empty queue means nothing before it is over. One second more for the timers of the relay.
 */
const settleMs = (shutdownSeconds.graceSeconds + 1) * 1000;

/** Plans one step. Call it again when a pod has news or after a while. */
export function planScale(input: ScaleInput): ScalePlan {
  const { wanted, live = wanted, ordinal, adopted } = input;
  if (adopted && wanted > 0) return settledAt(wanted);
  if (live <= wanted) return { ...settledAt(wanted), draining: surplus(input) };
  return ordinal ? shrinkFromTop(input, live) : shrinkToNothing(input, live);
}

/** Pods that their controller has not come to yet: called back to work they would take mail that nobody sends. */
function surplus({ wanted, ordinal, podName, pods }: ScaleInput): string[] {
  if (!ordinal) return wanted > 0 ? [] : [...pods];
  const staying = new Set(Array.from({ length: wanted }, (_, at) => podName(at)));
  return pods.filter(pod => !staying.has(pod));
}

/** For pods that go whatever is planned, since their workload is gone or going: what they leave, as far as they said. */
export function planLoss(input: ScaleInput): ScalePlan {
  const pods = new Set([...input.pods, ...input.ending, ...input.reports.map(({ pod }) => pod)]);
  return { ...settledAt(0), leaving: departures([...pods], input) };
}

function settledAt(replicas: number): ScalePlan {
  return { replicas, draining: [], awaited: [], leaving: [], unsent: 0 };
}

function shrinkFromTop(input: ScaleInput, live: number): ScalePlan {
  const awaited: string[] = [];
  for (let at = input.wanted; at < live; at += 1) awaited.push(input.podName(at));
  const gone: string[] = [];
  for (let top = awaited.at(-1); top !== undefined && mayGo(top, input); top = awaited.at(-1)) {
    gone.push(top);
    awaited.pop();
  }
  const replicas = live - gone.length;
  const leaving = departures(gone, input);
  const draining = [...new Set([...awaited, ...surplus(input)])];
  return { replicas, draining, awaited, leaving, unsent: sum(awaited, input) };
}

/** All or none: which pod of a Deployment goes first is not ours to say. */
function shrinkToNothing(input: ScaleInput, live: number): ScalePlan {
  const { pods, ending, wanted } = input;
  if (wanted > 0) return settledAt(wanted);
  // Between two pods (an eviction, a rollout) the volume is as full as ever: its next pod has to send.
  const podless = pods.length === 0 && input.mayHoldMail('');
  // One that ends may have taken mail a moment ago, which another one is to send.
  const awaited = [...(podless ? [''] : pods), ...ending];
  if (!awaited.every(pod => mayGo(pod, input))) {
    const unsent = awaited.length > pods.length ? undefined : sum(pods, input);
    return { replicas: live, draining: pods, awaited, leaving: [], unsent };
  }
  const leaving = departures(awaited, input);
  return { replicas: 0, draining: pods, awaited, leaving, unsent: sum(pods, input) };
}

function departures(pods: readonly string[], input: ScaleInput): Departure[] {
  return pods
    .filter(pod => reportOf(pod, input) !== undefined || input.mayHoldMail(pod))
    .map(pod => ({ pod, board: leftBy(pod, input) }));
}

/** Nothing is on board only where that is certain; a pod that may have taken mail since it said so leaves nobody knows what. */
function leftBy(pod: string, input: ScaleInput): OnBoard {
  const board = onBoard(pod, input);
  const [report, since] = [reportOf(pod, input), input.drainingSince.get(pod)];
  const certain = report !== undefined && since !== undefined && isShut(report, since);
  // The slots of pods that are gone are in no count.
  return certain && !input.adopted ? board : atLeast(board);
}

function mayGo(pod: string, input: ScaleInput): boolean {
  // Where neither a pod nor a volume ever came about there is nothing to wait for.
  if (input.ordinal && !input.pods.includes(pod) && !input.ending.includes(pod) && !input.mayHoldMail(pod)) {
    return true;
  }
  const since = input.drainingSince.get(pod);
  if (since === undefined) return false;
  // The time of a replica is its own; one volume has its time, however many pods take turns at it.
  const begunAt = input.ordinal ? since : (input.begunAt ?? since);
  if (input.now - begunAt >= input.timeoutMs) return true;
  const report = reportOf(pod, input);
  return report !== undefined && isShut(report, since) && unsentOf(pod, input) === 0;
}

/**
 * Nothing can come in any more: said by an answer of this drain, not of an earlier one, and after the grace time. What
 * the relay says itself has the last word: its clock may have stood still, as on a node that was suspended.
 */
function isShut({ status, error, askedAt = 0, drainingSince = Infinity }: PodReport, since: number): boolean {
  if (error !== undefined || status?.draining !== true || status.listener?.accepts === true) return false;
  return askedAt - Math.max(since, drainingSince) >= settleMs && (status.listener?.connections ?? 0) === 0;
}

function sum(pods: readonly string[], input: ScaleInput): number | undefined {
  const counts = pods.map(pod => unsentOf(pod, input));
  return counts.some(count => count === undefined)
    ? undefined
    : counts.reduce((total: number, count) => total + (count ?? 0), 0);
}

/** What stays on its volume when it goes: also what nobody waits for, as messages held by hand, dead letters, files. */
function onBoard(pod: string, input: ScaleInput): OnBoard {
  const { queue, quarantine } = reportOf(pod, input)?.status ?? {};
  const counts = {
    messages: queue && queue.active.messages + queue.failed.messages + queue.held.messages,
    deadMessages: queue?.dead.messages,
    quarantinedFiles: quarantine?.files,
  };
  return boardOf(sort => counts[sort]);
}

/** Messages it still has to send; held and dead ones stay whatever happens. */
function unsentOf(pod: string, input: ScaleInput): number | undefined {
  const status = reportOf(pod, input)?.status;
  return status === undefined ? undefined : status.queue.active.messages + status.queue.failed.messages;
}

function reportOf(pod: string, { reports }: ScaleInput): PodReport | undefined {
  return reports.find(report => report.pod === pod);
}
