/** Stopping as on SIGTERM, under load, and starting again: nothing lost, nothing doubled unless counted. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { hello } from '../smtp/client.ts';
import { drop, stall, take, wait } from '../smtp/script.ts';
import { gate, until } from '../smtp/wait.ts';
import { put, scene, text } from '../unit/spool/fixture.ts';
import { type Json, type RelayUnderTest, withRelay } from './relay-under-test.ts';

/** Keeps sending until it fails. Resolves with the subjects that got their 250. */
async function sendUntilClosed(relay: RelayUnderTest, name: string): Promise<string[]> {
  const acknowledged: string[] = [];
  try {
    const client = await hello(relay.relay.endpoints.smtp);
    for (let count = 0; ; count++) {
      const subject = `${name}-${count}`;
      await relay.sendOver(client, { subject });
      acknowledged.push(subject);
    }
  } catch {
    return acknowledged;
  }
}

const subjects = (relay: RelayUnderTest): string[] =>
  relay.providers.flatMap(({ messages }) => messages.map(message => message.header('subject') ?? ''));

describe('a stop', { concurrency: true }, () => {
  test('under load loses nothing, and the next start sends the rest exactly once', () =>
    withRelay({ providers: [{}, {}] }, async relay => {
      const running = ['a', 'b', 'c', 'd'].map(name => sendUntilClosed(relay, name));
      await relay.until('recipient-delivered', 200);
      await relay.halt();
      const acknowledged = (await Promise.all(running)).flat();
      await relay.start();
      const missing = (): string[] => acknowledged.filter(subject => !subjects(relay).includes(subject));
      await until(() => missing().length === 0, `${missing().length} mails to be sent after the restart`);
      assert.equal(relay.heard('delivery-ambiguous').length, 0);
      assert.equal(new Set(subjects(relay)).size, subjects(relay).length, 'none twice');
      assert.equal((await relay.inventory()).messages, 0);
    }));

  test('lets a transaction under way finish within the deadline', async () => {
    const held = gate();
    await withRelay({ providers: [{ script: { dot: wait(held.opened) } }] }, async relay => {
      await relay.send();
      await until(() => relay.provider().transactions.length === 1, 'the transaction');
      const halted = relay.halt();
      setTimeout(held.open, 200);
      await halted;
      assert.equal(relay.provider().messages.length, 1);
      assert.equal(relay.heard('recipient-delivered').length, 1);
      assert.equal((await relay.inventory()).messages, 0);
    });
  });

  test('cuts what does not finish: counted as ambiguous, kept, and not sent at once by the next start', async () => {
    const held = gate();
    await withRelay(
      {
        providers: [{ script: { dot: [wait(held.opened)] } }],
        config: { shutdown: { graceSeconds: 0, deadlineSeconds: 1 } },
      },
      async relay => {
        const id = await relay.send();
        await until(() => relay.provider().transactions.length === 1, 'the transaction');
        await relay.halt();
        assert.equal(relay.heard('delivery-ambiguous', id).length, 1);
        await relay.start();
        const other = await relay.send();
        await relay.until('recipient-delivered', 1, other);
        assert.equal((await relay.stored(id))?.recipients[0]?.ambiguous, 1);
        relay.pass(90_000);
        await relay.until('recipient-delivered', 1, id);
        held.open();
      },
    );
  });

  for (const [what, entries] of Object.entries({
    replaced: [{ timeouts: { finalDotSeconds: 60, commandSeconds: 20 } }, {}],
    removed: [{}],
  })) {
    test(`cuts at its deadline what still runs on a provider that a reload has ${what}`, () =>
      withRelay(
        {
          providers: [{ script: { dot: stall }, entry: { timeouts: { finalDotSeconds: 60 } } }, {}],
          config: { shutdown: { graceSeconds: 0, deadlineSeconds: 1 } },
        },
        async relay => {
          const id = await relay.send();
          await until(() => relay.provider().transactions.length === 1, 'the transaction');
          await relay.reconfigure(config => {
            const old = (config['forwardProviders'] as Json[]).slice(-entries.length);
            return { ...config, forwardProviders: old.map((entry, at) => ({ ...entry, ...entries[at] })) };
          });
          const startedAt = performance.now();
          await relay.halt();
          const tookMs = performance.now() - startedAt;
          assert.ok(tookMs < 30_000, `the stop took ${tookMs} ms`);
          assert.equal(relay.heard('delivery-ambiguous', id).length, 1);
        },
      ));
  }

  test('between two transactions of a message remembers that the first is unknown', async () => {
    const held = gate();
    const entry = { limits: { maxRecipientsPerMessage: 1, maxConnections: 1 } };
    await withRelay(
      { providers: [{ entry, script: { dot: [take(drop), wait(held.opened)] } }] },
      async relay => {
        const id = await relay.send({ to: ['a@example.net', 'b@example.net'] });
        await relay.until('delivery-ambiguous', 1, id);
        await until(() => relay.provider().transactions.length === 2, 'the second transaction');
        const halted = relay.halt();
        held.open();
        await halted;
        await relay.start();
        const stored = await relay.stored(id);
        assert.deepEqual(
          stored?.recipients.map(({ state, ambiguous }) => [state, ambiguous]),
          [
            ['pending', 1],
            ['delivered', undefined],
          ],
        );
        const other = await relay.send();
        await relay.until('recipient-delivered', 1, other);
        assert.equal(relay.heard('delivery-ambiguous', id).length, 1);
        assert.equal(relay.provider().messages.length, 3);
      },
    );
  });

  test('during a retry delay is not delayed by it', () =>
    withRelay(
      {
        providers: [{ script: { mail: '451 4.3.0 later' } }],
        config: { retry: { initialDelayMilliseconds: 60_000 } },
      },
      async relay => {
        const id = await relay.send();
        await relay.until('attempt', 1, id);
        const startedAt = performance.now();
        await relay.halt();
        assert.ok(performance.now() - startedAt < 30_000);
        await relay.start();
        assert.equal((await relay.stored(id))?.recipients[0]?.state, 'pending');
      },
    ));

  test('takes on no other store meanwhile, and a reload begins nothing', async t => {
    const held = gate();
    const other = await (await scene(t)).open();
    const id = await put(other, text(100));
    await withRelay({ providers: [{ script: { dot: wait(held.opened) } }] }, async relay => {
      await relay.send();
      await until(() => relay.provider().transactions.length === 1, 'the transaction');
      const { delivery, live } = relay.relay.parts;
      const halted = relay.halt();
      const adopted = delivery.adopt(other, assert.fail);
      // Its answers come in order: a claim made before would be answered by now.
      await other.list({});
      delivery.reconfigure({ ...live.current(), providers: [] });
      delivery.reconfigure(live.current());
      await other.list({});
      assert.equal(delivery.running, 1, 'the transaction under way');
      held.open();
      await halted;
      await adopted.stop();
      assert.equal((await other.list({ ids: [id] }))[0]?.rounds, 0);
      assert.equal(relay.provider().messages.length, 1);
    });
  });
});
