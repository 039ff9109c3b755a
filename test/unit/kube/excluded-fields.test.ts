import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { ApiError } from '../../../operator/kube/api-error.ts';
import { withoutExcluded } from '../../../operator/kube/excluded-fields.ts';

const wanted = {
  metadata: { name: 'x' },
  spec: { strategy: { type: 'Recreate' }, containers: [{ name: 'main' }] },
};
const refusal = (...causes: { reason: string; field: string }[]) =>
  new ApiError({ code: 422, reason: 'Invalid', message: 'no', details: { causes } });
const forbidden = (field: string) => ({ reason: 'FieldValueForbidden', field });

describe('what is taken away before an apply can succeed', () => {
  test('is the field that the server forbids; those beside it become ours', () => {
    assert.deepEqual(withoutExcluded(wanted, refusal(forbidden('spec.strategy.rollingUpdate'))), {
      spec: { strategy: { type: 'Recreate', rollingUpdate: null } },
    });
  });

  test('is the whole list when the field is inside one', () => {
    assert.deepEqual(withoutExcluded(wanted, refusal(forbidden('spec.containers[0].probe.tcpSocket'))), {
      spec: { containers: [{ name: 'main' }] },
    });
  });

  test('is all of several fields at once', () => {
    const error = refusal(
      forbidden('spec.strategy.a'),
      forbidden('spec.strategy.b'),
      forbidden('spec.containers[1].c'),
    );
    assert.deepEqual(withoutExcluded(wanted, error), {
      spec: { strategy: { type: 'Recreate', a: null, b: null }, containers: [{ name: 'main' }] },
    });
  });

  for (const [why, error] of [
    ['another refusal', refusal({ reason: 'FieldValueInvalid', field: 'spec.strategy.type' })],
    ['a field where nothing is ours', refusal(forbidden('spec.other.field'))],
    ['a list where nothing is ours', refusal(forbidden('spec.volumes[0].name'))],
    ['a field of ours that must not change', refusal(forbidden('spec'))],
    ['no field', refusal(forbidden(''))],
    ['a conflict', new ApiError({ code: 409, reason: 'Conflict', message: 'no' })],
    ['no answer', new Error('reset')],
  ] as const) {
    test(`is nothing for ${why}`, () => assert.equal(withoutExcluded(wanted, error), undefined));
  }
});
