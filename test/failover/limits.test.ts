/** What a provider is asked to carry at most, and what a message waits for without holding anything. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { ScriptedProvider } from '../smtp/provider.ts';
import { both, drop, type Script, wait } from '../smtp/script.ts';
import { gate, until } from '../smtp/wait.ts';
import { withRelay } from './relay-under-test.ts';

const large = `From: <app@example.com>\r\nSubject: large\r\n\r\n${`${'x'.repeat(78)}\r\n`.repeat(100)}`;

describe('the limits of one provider', { concurrency: true }, () => {
  test('messagesPerSecond is honoured: a burst of one second, then the rate', () =>
    withRelay({ providers: [{ entry: { limits: { messagesPerSecond: 10 } } }] }, async relay => {
      await relay.sendMany(30);
      await relay.until('recipient-delivered', 30);
      const at = relay
        .provider()
        .messages.map(({ startedAt }) => startedAt)
        .sort((a, b) => a - b);
      const tookMs = at.at(-1)! - at[0]!;
      assert.ok(tookMs > 1800, `30 mails took ${tookMs} ms`);
      const inFirstHalf = at.filter(time => time - at[0]! < 500).length;
      assert.ok(inFirstHalf <= 16, `${inFirstHalf} in the first half second`);
    }));

  test('maxRecipientsPerMessage splits a message into transactions, each recipient once', () =>
    withRelay({ providers: [{ entry: { limits: { maxRecipientsPerMessage: 2 } } }] }, async relay => {
      const to = ['a', 'b', 'c', 'd', 'e'].map(name => `${name}@example.net`);
      const id = await relay.send({ to });
      await relay.until('recipient-delivered', 5, id);
      const carried = relay.provider().messages.map(({ recipients }) => recipients);
      assert.deepEqual(carried, [to.slice(0, 2), to.slice(2, 4), to.slice(4)]);
    }));

  test('maxMessageBytes: a larger message goes to the next provider without a connection to this one', () =>
    withRelay({ providers: [{ entry: { limits: { maxMessageBytes: 4096 } } }, {}] }, async relay => {
      await relay.send({ content: large });
      await relay.until('recipient-delivered');
      assert.equal(relay.provider(0).counters.connections, 0);
      assert.equal(relay.provider(1).messages.length, 1);
      await relay.send();
      await relay.until('recipient-delivered', 2);
      assert.equal(relay.provider(0).messages.length, 1);
    }));

  test('EHLO SIZE: a larger message goes to the next provider, and is rejected where none takes it', () =>
    withRelay({ providers: [{ maxSize: 4096 }, { maxSize: 6000 }] }, async relay => {
      await relay.send({ content: large.slice(0, 5000) });
      await relay.until('recipient-delivered');
      assert.equal(relay.provider(0).counters.transactions, 0);
      assert.equal(relay.provider(1).messages.length, 1);
      const id = await relay.send({ content: large });
      await relay.until('recipient-rejected', 1, id);
      assert.equal((await relay.stored(id))?.state, 'dead');
      assert.equal(relay.status('first').state, 'active');
    }));

  test('SMTPUTF8: mail to a provider without it goes to the next', () =>
    withRelay({ providers: [{ extensions: ['PIPELINING', '8BITMIME'] }, {}] }, async relay => {
      await relay.send({ to: ['jörg@example.net'], parameters: 'SMTPUTF8 BODY=8BITMIME' });
      await relay.until('recipient-delivered');
      assert.deepEqual(relay.provider(1).messages[0]?.recipients, ['jörg@example.net']);
      assert.equal(relay.provider(0).counters.transactions, 0);
    }));

  test('maxConnections is never exceeded, however much waits', () =>
    withRelay({ providers: [{ entry: { limits: { maxConnections: 3 } } }] }, async relay => {
      await relay.sendMany(200);
      await relay.until('recipient-delivered', 200);
      assert.ok(relay.provider().counters.connectionsMost <= 3);
    }));
});

describe('a recipient limit that the provider names itself', () => {
  test('is found anew in each message: what exceeds it goes at once, nobody is sent to twice', () =>
    withRelay({ providers: [{ maxRecipients: 3 }] }, async relay => {
      const to = Array.from({ length: 10 }, (_, index) => `r${index}@example.net`);
      const id = await relay.send({ to });
      await relay.until('recipient-delivered', 10, id);
      const carried = relay.provider().messages.flatMap(({ recipients }) => recipients);
      assert.deepEqual(carried.sort(), to);
      assert.equal(relay.heard('round-failed').length, 0);
    }));
});

describe('a provider that counts recipients only at the end of the message, as Amazon SES does', {
  concurrency: true,
}, () => {
  const refusal = '554 Transaction failed: Recipient count exceeds 50.';
  const sixty = Array.from({ length: 60 }, (_, index) => `r${index}@example.net`);
  const script: Script = {
    dot: ({ transaction }) => ((transaction?.recipients.length ?? 0) > 50 ? refusal : undefined),
  };

  test('takes a message to 60 in two transactions where no limit is set', () =>
    withRelay({ providers: [{ script }] }, async relay => {
      const id = await relay.send({ to: sixty });
      await relay.until('recipient-delivered', 60, id);
      assert.deepEqual(
        relay.provider().messages.map(({ recipients }) => recipients.length),
        [50, 10],
      );
    }));

  const tooHigh = { limits: { maxRecipientsPerMessage: 100 } };
  const sent = (provider: ScriptedProvider): string[] =>
    provider.messages.flatMap(({ recipients }) => recipients);

  test('gets it in halves at once where the limit is set too high: in one round, each recipient once', () =>
    withRelay({ providers: [{ script, entry: tooHigh }, {}] }, async relay => {
      const id = await relay.send({ to: sixty });
      await relay.until('recipient-delivered', 60, id);
      assert.deepEqual(sent(relay.provider()), sixty);
      assert.equal(relay.provider(1).counters.connections, 0);
      assert.equal(relay.heard('round-failed').length, 0);
      assert.equal(relay.status('first').state, 'active');
    }));

  test('gets later mail split before it is sent, which the log says once', () =>
    withRelay({ providers: [{ script, entry: tooHigh }] }, async relay => {
      for (let mail = 1; mail <= 3; mail++) {
        const id = await relay.send({ to: sixty });
        await relay.until('recipient-delivered', 60, id);
      }
      assert.equal(relay.heard('attempt').filter(({ outcome }) => outcome !== 'delivered').length, 1);
      assert.deepEqual(
        relay.heard('recipient-limit-found').map(({ recipients, configured }) => [recipients, configured]),
        [[30, 100]],
      );
      assert.equal(relay.log.filter(line => line.includes('recipient-limit-found')).length, 1);
    }));

  test('may hang up after saying so', () =>
    withRelay(
      {
        providers: [
          {
            entry: tooHigh,
            script: {
              dot: ({ transaction }) =>
                (transaction?.recipients.length ?? 0) > 50 ? both(refusal, drop) : undefined,
            },
          },
        ],
      },
      async relay => {
        const id = await relay.send({ to: sixty });
        await relay.until('recipient-delivered', 60, id);
        assert.deepEqual(sent(relay.provider()), sixty);
      },
    ));

  test('leaves the mail to the next provider when it calls one recipient too many', () =>
    withRelay({ providers: [{ script: { dot: refusal }, entry: tooHigh }, {}] }, async relay => {
      const id = await relay.send({ to: sixty });
      await relay.until('recipient-delivered', 60, id);
      assert.deepEqual(sent(relay.provider(1)), sixty);
      assert.equal(relay.heard('recipient-rejected').length, 0);
      assert.equal(relay.status('first').state, 'active');
      assert.equal(relay.heard('recipient-limit-found').length, 0);
    }));
});

describe('waiting', { concurrency: true }, () => {
  test('a retry delay holds no connection: with one connection others pass meanwhile', () =>
    withRelay(
      {
        providers: [
          {
            entry: { limits: { maxConnections: 1 } },
            script: {
              mail: ({ address }) => (address === 'slow@example.com' ? '451 4.3.0 later' : undefined),
            },
          },
        ],
        config: { retry: { initialDelayMilliseconds: 60_000 } },
      },
      async relay => {
        const slow = await relay.send({ from: 'slow@example.com' });
        await relay.until('attempt', 1, slow);
        await relay.sendMany(20);
        await relay.until('recipient-delivered', 20);
        assert.equal(relay.heard('attempt', slow).length, 1);
      },
    ));

  test('a backlog of resends takes at most half of the connections while fresh mail waits', () =>
    withRelay({ providers: [{ entry: { limits: { maxConnections: 4 } } }] }, async relay => {
      await relay.provider().down();
      await relay.sendMany(120);
      await relay.until('round-failed', 120);
      const busy = { old: 0, fresh: 0 };
      let mostOld = 0;
      const release = (kind: 'old' | 'fresh'): Promise<void> =>
        new Promise(resolve =>
          setTimeout(() => {
            busy[kind] -= 1;
            resolve();
          }, 20),
        );
      relay.provider().follow({
        dot: ({ transaction }) => {
          const kind = transaction?.header('subject') === 'fresh' ? 'fresh' : 'old';
          busy[kind] += 1;
          if (busy.fresh > 1) mostOld = Math.max(mostOld, busy.old);
          return wait(release(kind));
        },
      });
      await relay.provider().up();
      await until(() => relay.provider().messages.length > 8, 'the backlog to flow');
      await relay.sendMany(60, () => ({ subject: 'fresh' }), 20);
      await relay.until('recipient-delivered', 180, undefined, 30_000);
      assert.ok(mostOld <= 2, `${mostOld} of 4 connections were on resends`);
      const order = relay.provider().messages.map(message => message.header('subject'));
      const lastFresh = order.lastIndexOf('fresh');
      assert.ok(lastFresh < 165, `the last fresh mail was number ${lastFresh + 1} of 180`);
    }));

  test('a slow transaction holds one connection and nobody else', async () => {
    const held = gate();
    await withRelay(
      {
        providers: [
          {
            script: {
              dot: ({ transaction }) =>
                transaction?.sender === 'slow@example.com' ? wait(held.opened) : undefined,
            },
          },
        ],
      },
      async relay => {
        const slow = await relay.send({ from: 'slow@example.com' });
        await relay.sendMany(30);
        await relay.until('recipient-delivered', 30);
        assert.equal(relay.heard('recipient-delivered', slow).length, 0);
        held.open();
        await relay.until('recipient-delivered', 1, slow);
      },
    );
  });
});
