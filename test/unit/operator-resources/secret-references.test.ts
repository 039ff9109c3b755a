import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { mentionedSecrets, referencedSecrets } from '../../../operator/resources/secret-references.ts';
import { everythingSpec, minimalSpec, relayOf, threeProvidersSpec } from '../operator-api/relays.ts';

describe('the Secrets of a MailRelay', () => {
  test('are found in a spec that was not checked as in one that was', () => {
    for (const spec of [minimalSpec, threeProvidersSpec, everythingSpec]) {
      assert.deepEqual(mentionedSecrets(spec).sort(), referencedSecrets(relayOf(spec).spec));
    }
  });

  test('are looked for without harm in what is no spec at all', () => {
    for (const spec of [
      undefined,
      null,
      7,
      [],
      { forwardProviders: 'x', listener: null },
      { listener: [] },
    ]) {
      assert.deepEqual(mentionedSecrets(spec), []);
    }
    const wrong = { forwardProviders: { secretRef: { name: 5 }, tls: { caRef: { name: 'ca' } } } };
    assert.deepEqual(mentionedSecrets(wrong), ['ca']);
  });
});
