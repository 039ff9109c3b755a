/** The wall clock steps while mail waits: nothing is forgotten, nothing expires early, nothing spins. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { until } from '../smtp/wait.ts';
import { withRelay } from './relay-under-test.ts';

const HOUR = 3_600_000;

describe('a clock that is set back', { concurrency: true }, () => {
  test('far: what failed before is sent again within one longest delay, and looked for once, not in a loop', () =>
    withRelay({ providers: [{ script: { mail: '451 4.3.0 later' } }] }, async relay => {
      relay.pass(48 * HOUR);
      const id = await relay.send();
      await relay.roundEnd(id);
      relay.provider().follow({});
      relay.pass(-48 * HOUR);
      await relay.until('recipient-delivered', 1, id);
      assert.ok(relay.heard('drain-started').length <= 2, `${relay.heard('drain-started').length} drains`);
    }));

  test('far, with a provider that goes on failing: a round or two, then the usual delays', () =>
    withRelay({ providers: [{ script: { mail: '451 4.3.0 later' } }] }, async relay => {
      relay.pass(48 * HOUR);
      const id = await relay.send();
      await relay.roundEnd(id);
      relay.pass(-48 * HOUR);
      await relay.roundEnd(id, 2);
      await until(() => relay.relay.parts.delivery.running === 0, 'the end of the round');
      assert.ok(relay.heard('drain-started').length <= 2, `${relay.heard('drain-started').length} drains`);
    }));
});
