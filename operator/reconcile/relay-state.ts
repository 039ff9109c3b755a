/** What metrics say of a MailRelay: how it stands, in one word, and how many of its pods Prometheus should find. Pure. */
import { type Condition, findCondition } from '../kube/conditions.ts';
import type { Observation } from './observation.ts';

/** Each with its meaning; of several that apply the last. */
export const relayStates = {
  ready: 'condition Ready is True',
  'not-ready': 'it is not',
  suspended: 'spec.suspend is true',
  failing: 'the last reconcile failed and is tried again',
  stalled: 'condition Stalled is True: somebody must change something',
  'out-of-view': 'the operator may not or cannot read what it needs in its namespace, and leaves it alone',
} as const;

export type RelayState = keyof typeof relayStates;

/** `conditions`: those that are told now. */
export function relayState({ retrying }: Observation, conditions: readonly Condition[]): RelayState {
  if (findCondition(conditions, 'Stalled')?.status === 'True') return 'stalled';
  if (retrying.length > 0) return 'failing';
  const ready = findCondition(conditions, 'Ready');
  if (ready?.reason === 'Suspended') return 'suspended';
  return ready?.status === 'True' ? 'ready' : 'not-ready';
}

/**
 * How many pods there should be for Prometheus to read: none of a MailRelay that goes, or for which no ServiceMonitor
 * is wanted. While nothing is made of the spec, since it is wrong or suspended: those that its workload has.
 */
export function expectedPods({ object, relay, problems, workload, deleting }: Observation): number {
  if (deleting || !isRead(object.spec)) return 0;
  const isFollowed = relay !== undefined && problems === undefined && !relay.spec.suspend;
  return isFollowed ? relay.spec.replicas : (workload?.desired ?? 0);
}

/** Also of a spec that is wrong elsewhere. */
function isRead(spec: unknown): boolean {
  const { monitoring } = (spec ?? {}) as { monitoring?: { serviceMonitor?: { enabled?: unknown } } };
  return monitoring?.serviceMonitor?.enabled !== false;
}
