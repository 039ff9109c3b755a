/** What every list of conditions must keep to, whatever was observed: the API conventions and kstatus. */
import assert from 'node:assert/strict';
import { type ConditionType, conditionReasons } from '../../../operator/api/conditions.ts';
import type { Condition } from '../../../operator/kube/conditions.ts';

const always = ['ConfigurationValid', 'CredentialsAvailable', 'ProvidersHealthy', 'Ready', 'SpoolHealthy'];
const abnormal = ['Reconciling', 'Stalled'];

/** Fails the test with the condition that breaks a rule. `before`: the list that it was made from. */
export function assertConditionRules(
  conditions: readonly Condition[],
  generation: number,
  before: readonly Condition[] = [],
): void {
  const types = conditions.map(({ type }) => type);
  assert.deepEqual(types, [...new Set(types)].sort(), 'each type once, sorted');
  for (const type of always) assert.ok(types.includes(type), `${type} is always there`);
  const both = abnormal.every(type => types.includes(type));
  const goes = conditions.some(({ reason }) => reason === 'Draining');
  assert.ok(!both || goes, 'nothing goes on while it is stalled, but for a deletion');
  for (const condition of conditions) assertOne(condition, generation, before);
}

function assertOne(condition: Condition, generation: number, before: readonly Condition[]): void {
  const { type, status, reason, message, lastTransitionTime } = condition;
  const told = JSON.stringify(condition);
  assert.ok(always.includes(type) || abnormal.includes(type), told);
  assert.ok(
    reason in conditionReasons[type as ConditionType],
    `a reason of operator/api/conditions.ts: ${told}`,
  );
  assert.ok(
    message.trim() !== '' && !/undefined|NaN|\[object/.test(message),
    `a message for people: ${told}`,
  );
  assert.match(lastTransitionTime, /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$/, told);
  assert.equal(condition.observedGeneration, generation, told);
  if (abnormal.includes(type)) assert.equal(status, 'True', `there only while true: ${told}`);
  const was = before.find(other => other.type === type);
  if (was?.status === status)
    assert.equal(lastTransitionTime, was.lastTransitionTime, `status is the same: ${told}`);
}
