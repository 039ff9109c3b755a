import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { KubeObject } from '../../../operator/kube/object.ts';
import { isAppliedBy, trim } from '../../../operator/kube/trim.ts';
import { deployments } from '../../../operator/resources/kinds.ts';

const entry = (manager: string, operation: string) => ({
  ...{ manager, operation, apiVersion: 'apps/v1', fieldsType: 'FieldsV1', fieldsV1: { 'f:spec': {} } },
});
const written = (...managedFields: object[]): KubeObject => ({ metadata: { name: 'mail', managedFields } });

describe('an object that is trimmed', () => {
  test('keeps that a manager has applied it, and nothing else of managedFields', () => {
    const ours = trim(written(entry('other', 'Update'), entry('us', 'Apply')), deployments, 'us');
    assert.deepEqual(ours.metadata.managedFields, [{ manager: 'us', operation: 'Apply' }]);
    assert.equal(isAppliedBy('us', ours), true);
    // A watch and an answer may both bring it: trimmed twice it says the same.
    assert.deepEqual(trim(ours, deployments, 'us'), ours);
  });

  test('keeps nothing of them where that manager has only updated it, or nobody asks', () => {
    const theirs = written(entry('us', 'Update'), entry('other', 'Apply'));
    assert.equal(trim(theirs, deployments, 'us').metadata.managedFields, undefined);
    assert.equal(trim(written(entry('us', 'Apply')), deployments).metadata.managedFields, undefined);
  });
});
