/** Connections beyond those that a provider has: refused, or opened in vain, and what mail that waits for one does. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { stall } from '../smtp/script.ts';
import { until } from '../smtp/wait.ts';
import { withRelay } from './relay-under-test.ts';

describe('one connection more than a provider has', { concurrency: true }, () => {
  test('is tried again soon where it was refused beside one that hangs, though nothing else happens', () =>
    withRelay(
      { providers: [{ script: { dot: [stall] }, entry: { timeouts: { finalDotSeconds: 200 } } }] },
      async relay => {
        const held = await relay.send();
        await until(() => relay.provider().transactions.length === 1, 'the transaction that hangs');
        await relay.provider().down({ keepConnections: true });
        const waiting = await relay.send();
        await relay.until('attempt');
        await relay.provider().up();
        await relay.until('recipient-delivered', 1, waiting, 120_000);
        assert.equal(relay.heard('attempt', held).length, 0, 'the other hangs on');
        relay.provider().release();
        await relay.until('recipient-delivered', 1, held);
      },
    ));
});
