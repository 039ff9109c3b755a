/** Connections beyond those that a provider has: refused, or opened in vain, and what mail that waits for one does. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { ScriptedProvider } from '../smtp/provider.ts';
import { type Action, reset, stall, wait } from '../smtp/script.ts';
import { gate, until } from '../smtp/wait.ts';
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

  for (const [what, stage, refusal] of [
    ['closed at once', 'connect', reset],
    ['left without a greeting', 'greeting', stall],
  ] as const) {
    test(`and is ${what} costs a provider that works no mail`, async () => {
      let first: ScriptedProvider | undefined;
      const limit = (): Action | undefined =>
        first !== undefined && first.counters.connectionsNow > 2 ? refusal : undefined;
      const held = gate();
      const entry = { limits: { maxConnections: 10 }, timeouts: { greetingSeconds: 1 } };
      const script = { [stage]: limit, dot: () => wait(held.opened) };
      const config = { forwardSMTP: false, retry: { patienceSeconds: 60 } };
      await withRelay({ providers: [{ script, entry }, {}], config }, async relay => {
        first = relay.provider(0);
        await relay.sendMany(50);
        // All of it waits when the first connection is there, so that several more are opened at a time.
        await relay.reconfigure(all => ({ ...all, forwardSMTP: true }));
        await relay.until('attempt', 3);
        held.open();
        await relay.until('recipient-delivered', 50);
        assert.equal(relay.provider(0).messages.length, 50);
        assert.deepEqual(relay.heard('provider-state'), []);
      });
    });
  }

  test('and is closed keeps no mail behind those that hang: it leaves after patience', () => {
    let first: ScriptedProvider | undefined;
    const limit = (): Action | undefined =>
      first !== undefined && first.counters.connectionsNow > 2 ? reset : undefined;
    const setup = { script: { connect: limit, dot: stall }, entry: { timeouts: { finalDotSeconds: 60 } } };
    return withRelay({ providers: [setup, {}], config: { retry: { patienceSeconds: 3 } } }, async relay => {
      first = relay.provider(0);
      const held = [await relay.send(), await relay.send()];
      await until(() => relay.provider(0).transactions.length === 2, 'two transactions that hang');
      const ids = await relay.sendMany(5);
      for (const id of ids) await relay.until('recipient-delivered', 1, id);
      assert.equal(relay.provider(1).messages.length, 5);
      relay.provider(0).release();
      for (const id of held) await relay.until('recipient-delivered', 1, id);
      assert.equal(relay.provider(0).messages.length, 2);
    });
  });
});
