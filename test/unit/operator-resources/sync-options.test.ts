import assert from 'node:assert/strict';
import { test } from 'node:test';
import { withoutPruning } from '../../../operator/resources/persistent-volume-claim.ts';

const cases: readonly [string, string | undefined, string][] = [
  ['nobody asks for anything', undefined, 'Prune=false'],
  ['it is asked for', 'Prune=false', 'Prune=false'],
  ['it is asked for beside something else', 'Prune=false,Delete=false', 'Prune=false,Delete=false'],
  ['something else is asked for', 'Delete=false, Replace=true', 'Delete=false,Replace=true,Prune=false'],
  ['pruning is to be confirmed', 'Prune=confirm', 'Prune=false'],
  ['the text is empty', '', 'Prune=false'],
];
for (const [when, text, wanted] of cases) {
  test(`a claim asks Argo CD not to prune it when ${when}`, () => assert.equal(withoutPruning(text), wanted));
}
