import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { deployments } from '../../operator/resources/kinds.ts';
import { waitUntil } from '../kube/wait-until.ts';
import { openProvider, Rig } from './rig.ts';

describe('a child that cannot be written', () => {
  let rig: Rig;
  before(async () => {
    rig = await Rig.start();
    await rig.operator();
  });
  after(() => rig?.stop());

  const mistakes: readonly [string, Record<string, unknown>, RegExp][] = [
    ['a field that there is not', { nodeAfinity: {} }, /nodeAfinity: field not declared in schema/],
    ['text for an object', { nodeAffinity: 'x' }, /nodeAffinity: expected map, got/],
    [
      'a value that is not allowed',
      {
        nodeAffinity: {
          preferredDuringSchedulingIgnoredDuringExecution: [{ weight: 1000, preference: {} }],
        },
      },
      /weight: Invalid value: 1000/,
    ],
  ];
  for (const [index, [what, affinity, words]] of mistakes.entries()) {
    test(`for ${what} in affinity is Stalled with the words of the API server, until it is mended`, async () => {
      const namespace = await rig.namespace(`mistake-${index}`);
      const ref = { name: 'mail', namespace };
      await rig.createRelay(namespace, { ...openProvider, affinity });
      const { message } = await rig.waitForReason(namespace, 'Stalled', 'Refused');
      assert.match(message, /^Deployment mail: /);
      assert.match(message, words);
      assert.equal(await rig.condition(namespace, 'Reconciling'), undefined);
      await rig.patchRelay(namespace, { affinity: null });
      await rig.waitFor(deployments, ref);
      await waitUntil('it is no longer stalled', async () => !(await rig.condition(namespace, 'Stalled')));
    });
  }
});
