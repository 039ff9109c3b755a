/**
 * metav1.Condition lists as values: set, read. Pure; a list is always sorted by type, so that equal
 * states are equal JSON, and lastTransitionTime moves only when the status does.
 */

export interface Condition {
  type: string;
  status: 'True' | 'False' | 'Unknown';
  /** CamelCase, never empty. */
  reason: string;
  message: string;
  /** RFC 3339, seconds. */
  lastTransitionTime: string;
  observedGeneration?: number | undefined;
}

export type ConditionInput = Omit<Condition, 'lastTransitionTime'>;

const longestMessage = 32_768;

/** RFC 3339 with seconds, as metav1.Time is written. */
export function formatTime(wallTimeMs: number): string {
  return `${new Date(wallTimeMs).toISOString().slice(0, 19)}Z`;
}

/** The list with `input` in it; `lastTransitionTime` is kept while the status stays the same. */
export function setCondition(
  conditions: readonly Condition[],
  input: ConditionInput,
  wallTimeMs: number,
): Condition[] {
  const before = findCondition(conditions, input.type);
  const same = before?.status === input.status;
  const next: Condition = {
    ...input,
    // A character cut in half is not stored as it is, and would differ for ever.
    message: input.message.slice(0, longestMessage).toWellFormed(),
    lastTransitionTime: same ? before.lastTransitionTime : formatTime(wallTimeMs),
  };
  return sortConditions([...conditions.filter(condition => condition.type !== input.type), next]);
}

/** The list without the condition `type`. */
export function removeCondition(conditions: readonly Condition[], type: string): Condition[] {
  return sortConditions(conditions.filter(condition => condition.type !== type));
}

export function findCondition(
  conditions: readonly Condition[] | undefined,
  type: string,
): Condition | undefined {
  return conditions?.find(condition => condition.type === type);
}

function sortConditions(conditions: readonly Condition[]): Condition[] {
  return [...conditions].sort((a, b) => (a.type < b.type ? -1 : a.type > b.type ? 1 : 0));
}
