/** What a new configuration does to mail that waits, and to mail that is on its way. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { wait } from '../smtp/script.ts';
import { gate, until } from '../smtp/wait.ts';
import { type Json, withRelay } from './relay-under-test.ts';

const reversed = (config: Json): Json => ({
  ...config,
  forwardProviders: [...(config['forwardProviders'] as Json[])].reverse(),
});

describe('the list of providers, changed live', { concurrency: true }, () => {
  test('another order: the next mail follows it, the one under way is unharmed and sent once', async () => {
    const held = gate();
    await withRelay({ providers: [{ script: { dot: [wait(held.opened)] } }, {}] }, async relay => {
      const under = await relay.send();
      await until(() => relay.provider(0).transactions.length === 1, 'the transaction under way');
      await relay.reconfigure(reversed);
      const next = await relay.send();
      await relay.until('recipient-delivered', 1, next);
      assert.equal(relay.provider(1).messages.length, 1);
      held.open();
      await relay.until('recipient-delivered', 1, under);
      assert.equal(relay.provider(0).messages.length, 1);
      assert.equal(relay.heard('attempt', under).length, 1);
      assert.equal(relay.status('second').state, 'active');
    });
  });

  test('a provider removed while messages wait for it: they go to the next', async () => {
    const held = gate();
    const entry = { limits: { maxConnections: 1 } };
    await withRelay({ providers: [{ entry, script: { dot: [wait(held.opened)] } }, {}] }, async relay => {
      const ids = await relay.sendMany(5);
      await until(() => relay.provider(0).transactions.length === 1, 'one under way, four waiting');
      await relay.reconfigure(config => ({
        ...config,
        forwardProviders: (config['forwardProviders'] as Json[]).slice(1),
      }));
      await relay.until('recipient-delivered', 4);
      assert.equal(relay.provider(1).messages.length, 4);
      held.open();
      await relay.until('recipient-delivered', 5);
      assert.equal(relay.provider(0).messages.length, 1);
      assert.equal(new Set(relay.heard('recipient-delivered').map(({ id }) => id)).size, ids.length);
    });
  });

  test('a provider added while all others are down gets what waits at once', () =>
    withRelay({ providers: [{}, {}] }, async relay => {
      const [first, second] = relay.config['forwardProviders'] as [Json, Json];
      await relay.reconfigure(config => ({ ...config, forwardProviders: [first] }));
      await relay.provider(0).down();
      const id = await relay.send();
      await relay.roundEnd(id);
      await relay.reconfigure(config => ({ ...config, forwardProviders: [first, second] }));
      await relay.until('recipient-delivered', 1, id);
      assert.equal(relay.provider(1).messages.length, 1);
    }));

  test('a provider of which TLS is demanded from now on: what is open in clear is closed, the next mail goes elsewhere', () =>
    withRelay({ providers: [{}, {}] }, async relay => {
      await relay.until('recipient-delivered', 1, await relay.send());
      assert.equal(relay.provider(0).counters.connectionsNow, 1);
      await relay.reconfigure(config => {
        const [first, second] = config['forwardProviders'] as [Json, Json];
        const tls = { ...(first['tls'] as Json), required: true };
        return { ...config, forwardProviders: [{ ...first, tls }, second] };
      });
      await until(() => relay.provider(0).counters.connectionsNow === 0, 'its connection to be closed');
      await relay.until('recipient-delivered', 1, await relay.send());
      assert.deepEqual([relay.provider(0).messages.length, relay.provider(1).messages.length], [1, 1]);
      assert.equal(relay.status('first').state, 'failing');
      assert.equal(relay.status('first').reason, 'TlsFailure');
    }));

  test('a configuration that cannot be used changes nothing', () =>
    withRelay({}, async relay => {
      await assert.rejects(relay.reconfigureProvider(0, { pasword: 'x' }), /pasword/);
      await relay.send();
      await relay.until('recipient-delivered');
    }));

  test('under a steady flow, twenty reorders lose nothing and double nothing', () =>
    withRelay({ providers: [{}, {}, {}] }, async relay => {
      const sending = relay.sendMany(400);
      for (let count = 0; count < 20; count++) await relay.reconfigure(reversed);
      const ids = await sending;
      await relay.until('recipient-delivered', ids.length);
      const received = relay.providers.flatMap(({ messages }) => messages).length;
      assert.equal(received, ids.length);
      assert.equal(relay.heard('delivery-ambiguous').length, 0);
    }));
});
