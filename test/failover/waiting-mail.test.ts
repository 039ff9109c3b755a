/** Mail that waits: held, sent again, given up, sent once more, and never lost to a fault of our own. */
import assert from 'node:assert/strict';
import { rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { performance } from 'node:perf_hooks';
import { describe, test } from 'node:test';
import { wait } from '../smtp/script.ts';
import { until } from '../smtp/wait.ts';
import { type RelayUnderTest, withRelay } from './relay-under-test.ts';

const HOUR = 3_600_000;
const FIVE_DAYS = 5 * 24 * HOUR;

describe('forwardSMTP', { concurrency: true }, () => {
  test('false: mail is accepted, kept, and not sent; true: it is sent', () =>
    withRelay({ config: { forwardSMTP: false } }, async relay => {
      const ids = await relay.sendMany(10);
      assert.equal(relay.relay.parts.spool.counts().active.messages, 10);
      assert.equal(relay.provider().counters.connections, 0);
      await relay.reconfigure(config => ({ ...config, forwardSMTP: true }));
      await relay.until('recipient-delivered', 10);
      assert.equal(relay.provider().messages.length, 10);
      assert.equal(new Set(relay.heard('recipient-delivered').map(({ id }) => id)).size, ids.length);
    }));

  test('switched off while mail flows: what is under way finishes, the rest waits, nothing is sent twice', () =>
    withRelay({}, async relay => {
      const sending = relay.sendMany(200);
      await relay.until('recipient-delivered', 20);
      await relay.reconfigure(config => ({ ...config, forwardSMTP: false }));
      await sending;
      await until(() => relay.relay.parts.delivery.running === 0, 'the last transaction');
      const { length } = relay.provider().messages;
      assert.equal(relay.relay.parts.spool.counts().active.messages, 200 - length);
      await relay.reconfigure(config => ({ ...config, forwardSMTP: true }));
      await relay.until('recipient-delivered', 200);
      assert.equal(relay.provider().messages.length, 200);
    }));

  test('false with a provider that is down: nothing expires while it is held', () =>
    withRelay({ config: { forwardSMTP: false } }, async relay => {
      const id = await relay.send();
      relay.pass(FIVE_DAYS * 2);
      await relay.send();
      assert.equal((await relay.stored(id))?.state, 'active');
    }));
});

describe('resends', { concurrency: true }, () => {
  test('carry the file in emails/failed as it is: shown whole and sent as edited', () =>
    withRelay({ providers: [{ script: { mail: '451 4.3.0 later' } }] }, async relay => {
      const id = await relay.send();
      await relay.roundEnd(id);
      const edited = `Subject: edited\n\n${'by hand\n'.repeat(50_000)}`;
      await writeFile(join(relay.directory, 'emails', 'failed', `${id}.eml`), edited);
      const { host, port } = relay.relay.endpoints.admin;
      const shown = await fetch(`http://${host}:${port}/v1/queue/${id}/body`);
      const canonical = edited.replaceAll('\n', '\r\n');
      assert.equal(await shown.text(), canonical);
      relay.provider().follow({});
      assert.equal(await relay.relay.queue.resend({ ids: [id] }), 1);
      relay.relay.parts.delivery.look();
      await relay.until('recipient-delivered');
      assert.equal(relay.provider().messages[0]?.body.toString(), canonical);
    }));

  test('come after 1, 2, 4 minutes, ±20 %, and end with delivery', () =>
    withRelay({ providers: [{ script: { mail: '451 4.3.0 later' } }] }, async relay => {
      const id = await relay.send();
      for (const [round, minutes] of [1, 2, 4].entries()) {
        await relay.roundEnd(id, round + 1);
        const { dueInMs } = relay.heard('round-failed', id)[round]!;
        assert.ok(
          Math.abs(dueInMs - minutes * 60_000) <= minutes * 12_000 + 50,
          `${dueInMs} ms after round ${round + 1}`,
        );
        relay.pass(dueInMs + 1000);
      }
      await relay.roundEnd(id, 4);
      relay.provider().follow({});
      relay.pass(HOUR);
      await relay.until('recipient-delivered', 1, id);
      assert.deepEqual((await relay.inventory()).failed, []);
    }));

  test('carry only recipients that still wait', () =>
    withRelay(
      { providers: [{ script: { recipients: { 'b@example.net': '450 4.2.0 greylisted' } } }] },
      async relay => {
        const id = await relay.send({ to: ['a@example.net', 'b@example.net', 'c@example.net'] });
        await relay.roundEnd(id);
        relay.provider().follow({});
        relay.pass(90_000);
        await relay.until('recipient-delivered', 3, id);
        const carried = relay.provider().messages.map(({ recipients }) => recipients);
        assert.deepEqual(carried, [['a@example.net', 'c@example.net'], ['b@example.net']]);
      },
    ));
});

describe('expiry', { concurrency: true }, () => {
  async function expire(relay: RelayUnderTest, from: string): Promise<string> {
    await relay.provider().down();
    const id = await relay.send({ from });
    await relay.roundEnd(id);
    relay.pass(FIVE_DAYS + 1000);
    await relay.until('recipient-expired', 1, id);
    return id;
  }

  test('moves the mail to emails/dead with its last answer, and no bounce by default', () =>
    withRelay({}, async relay => {
      const id = await expire(relay, 'app@example.com');
      await until(async () => (await relay.stored(id))?.state === 'dead', 'the message to be dead');
      const message = await relay.stored(id);
      assert.match(message?.reason ?? '', /^1 of 1 recipient expired/);
      assert.equal(await relay.metric('mailrelay_expired_total'), 1);
      const { messages, failed, dead } = await relay.inventory();
      assert.deepEqual({ messages, failed, dead }, { messages: 1, failed: [], dead: [`${id}.eml`] });
    }));

  test('sends a bounce where bounces are on', () =>
    withRelay({ config: { resend: { bounces: true } } }, async relay => {
      const id = await expire(relay, 'app@example.com');
      await until(async () => (await relay.stored(id))?.state === 'dead', 'the message to be dead');
      await relay.provider().up();
      await until(() => relay.provider().messages.length === 1, 'the bounce');
      const [bounce] = relay.provider().messages;
      assert.equal(bounce?.sender, '');
      assert.deepEqual(bounce?.recipients, ['app@example.com']);
      assert.match(bounce?.body.toString() ?? '', /someone@example\.net/);
    }));

  test('tells of a refused recipient at once, and of the other when it ends', () => {
    const recipients = {
      'typo@example.net': '550 5.1.1 no such user',
      'full@example.net': '452 4.2.2 mailbox full',
    };
    return withRelay(
      { providers: [{ script: { recipients } }], config: { resend: { bounces: true } } },
      async relay => {
        const id = await relay.send({ to: ['typo@example.net', 'full@example.net'] });
        const provider = relay.provider();
        const named = () =>
          provider.messages
            .filter(({ sender }) => sender === '')
            .map(({ body }) =>
              [...`${body}`.matchAll(/^Final-Recipient: rfc822; (\S+)/gm)].map(([, who]) => who),
            );
        await until(() => named().length === 1, 'the bounce');
        assert.deepEqual(named(), [['typo@example.net']]);
        await until(async () => (await relay.stored(id))?.state === 'failed', 'the other to wait');
        relay.pass(FIVE_DAYS + 1000);
        await until(() => named().length === 2, 'the second bounce');
        assert.deepEqual(named(), [['typo@example.net'], ['full@example.net']]);
      },
    );
  });

  test('never sends a bounce for a null sender', () =>
    withRelay({ config: { resend: { bounces: true } } }, async relay => {
      const id = await expire(relay, '');
      await until(async () => (await relay.stored(id))?.state === 'dead', 'the message to be dead');
      const all = await relay.relay.parts.spool.list({});
      assert.deepEqual(
        all.map(message => message.id),
        [id],
      );
    }));

  test('a bounce that is refused itself makes no further bounce', () =>
    withRelay(
      { providers: [{ script: { mail: '550 5.7.1 not allowed' } }], config: { resend: { bounces: true } } },
      async relay => {
        await relay.send();
        await relay.until('message-dead', 2);
        await until(() => relay.relay.parts.delivery.running === 0, 'quiet');
        const all = await relay.relay.parts.spool.list({});
        assert.deepEqual(
          all.map(({ sender, state }) => [sender, state]),
          [
            ['app@example.com', 'dead'],
            ['', 'dead'],
          ],
        );
      },
    ));
});

describe('a dead message', () => {
  test('is sent again when someone asks, to those who were not reached', () =>
    withRelay(
      { providers: [{ script: { recipients: { 'b@example.net': '550 5.1.1 no such user' } } }] },
      async relay => {
        const id = await relay.send({ to: ['a@example.net', 'b@example.net'] });
        await relay.until('message-dead', 1, id);
        relay.provider().follow({});
        assert.equal(await relay.relay.parts.spool.resend({ ids: [id] }), 1);
        relay.relay.parts.delivery.look();
        await relay.until('recipient-delivered', 2, id);
        assert.deepEqual(
          relay.provider().messages.map(({ recipients }) => recipients),
          [['a@example.net'], ['b@example.net']],
        );
        const { messages, dead } = await relay.inventory();
        assert.deepEqual({ messages, dead }, { messages: 0, dead: [] });
      },
    ));
});

describe('a body that cannot be read', () => {
  test('stops nothing else, loses nothing, and repeats nobody who was reached', () =>
    withRelay({ providers: [{ entry: { limits: { maxRecipientsPerMessage: 1 } } }] }, async relay => {
      await relay.provider().down();
      const id = await relay.send({ to: ['a@example.net', 'b@example.net'] });
      const other = await relay.send();
      await relay.roundEnd(id);
      await relay.roundEnd(other);
      // The file goes after the first of two transactions has carried it.
      const file = join(relay.directory, 'emails', 'failed', `${id}.eml`);
      const content = await relay.file('failed', id);
      relay.provider().follow({
        dot: ({ transaction }) => {
          if (transaction?.recipients[0] !== 'a@example.net') return undefined;
          return wait(rm(file));
        },
      });
      await relay.provider().up();
      await relay.until('recipient-delivered', 1, other);
      await relay.until('recipient-delivered', 1, id);
      await relay.until('spool-trouble');
      assert.equal(relay.relay.parts.delivery.broken, undefined);
      const message = await until(async () => {
        const stored = await relay.stored(id);
        return (stored?.rounds ?? 0) > 1 ? stored : undefined;
      }, 'the second round');
      assert.deepEqual(
        message.recipients.map(({ state }) => state),
        ['delivered', 'pending'],
      );
      assert.match(message.reason, /could not be read/);
      await writeFile(file, content);
      relay.pass(HOUR);
      await relay.until('recipient-delivered', 2, id);
      const carried = relay
        .provider()
        .messages.flatMap(({ recipients }) => recipients)
        .sort();
      assert.deepEqual(carried, ['a@example.net', 'b@example.net', 'someone@example.net']);
    }));
});

describe('a provider that is throttled again and again', () => {
  test('brings no mail forward that waits for another one, which works all the time', () => {
    const throttle = '421 4.7.0 try again in 2 seconds';
    const second = { script: { recipients: { 'full@example.net': '452 4.2.2 mailbox full' } } };
    return withRelay({ providers: [{ script: { mail: [throttle, throttle] } }, second] }, async relay => {
      const id = await relay.send({ to: ['full@example.net'] });
      await relay.roundEnd(id);
      await relay.untilState('first', 'active');
      const other = await relay.send();
      await relay.until('recipient-delivered', 1, other);
      await relay.untilState('first', 'active');
      assert.equal(relay.heard('provider-state').filter(({ state }) => state === 'cooling').length, 2);
      assert.equal(relay.heard('drain-started').length, 0);
      assert.equal((await relay.stored(id))?.rounds, 1);
    });
  });
});

describe('ten thousand queued messages', () => {
  test('drain by themselves when the provider returns, with flat memory', () =>
    withRelay({ providers: [{ keep: 'count' }] }, async relay => {
      await relay.provider().down();
      await relay.send();
      await relay.untilState('first', 'failing');
      await relay.sendMany(10_000, () => ({}), 40);
      const { spool, delivery } = relay.relay.parts;
      await until(() => spool.counts().failed.messages === 10_001, 'all to wait in emails/failed', 60_000);
      const before = process.memoryUsage().rss;
      let most = before;
      const watch = setInterval(() => {
        most = Math.max(most, process.memoryUsage().rss);
      }, 50);
      const startedAt = performance.now();
      await relay.provider().up();
      await until(() => relay.provider().counters.messages === 10_001, 'the backlog to drain', 120_000);
      clearInterval(watch);
      await until(() => delivery.running === 0, 'the last settlement');
      assert.equal(spool.counts().failed.messages, 0);
      const grownMiB = (most - before) / 1_048_576;
      const seconds = (performance.now() - startedAt) / 1000;
      assert.ok(
        grownMiB < 150,
        `memory grew by ${grownMiB.toFixed(0)} MiB while draining in ${seconds.toFixed(1)} s`,
      );
    }));
});
