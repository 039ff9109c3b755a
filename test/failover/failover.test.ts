/** How mail finds its way around providers that are dead, silent, throttling or refuse the password, and back. */
import assert from 'node:assert/strict';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { performance } from 'node:perf_hooks';
import { describe, test } from 'node:test';
import { startBlackHole } from '../smtp/black-hole.ts';
import type { ScriptedProvider } from '../smtp/provider.ts';
import { accept, drop, raw, type ScriptStage, stall, take } from '../smtp/script.ts';
import { until } from '../smtp/wait.ts';
import { type ProviderSetup, silentAt, withRelay } from './relay-under-test.ts';

/** For what is about time itself: a connection that was quiet for so long. */
const elapse = (ms: number): Promise<void> => new Promise(resolve => setTimeout(resolve, ms));

const hasSeen = ({ sessions }: ScriptedProvider, command: string): boolean =>
  sessions.some(({ commands }) => commands.some(line => line.startsWith(command)));

/** Has one connection, which falls silent at that stage for longer than any test takes. */
const stuckOn = (stage: ScriptStage): ProviderSetup => ({
  script: { [stage]: [stall] },
  entry: { limits: { maxConnections: 1 }, timeouts: { commandSeconds: 60, finalDotSeconds: 60 } },
});

describe('a dead primary', { concurrency: true }, () => {
  test('costs no tries once it is open: mail flows through the second, at most 5 connections go to the dead one', () =>
    withRelay({ providers: [{ entry: silentAt('greeting') }, {}] }, async relay => {
      relay.provider(0).blackHole();
      await relay.send();
      await relay.until('recipient-delivered');
      await relay.untilState('first', 'failing');
      const ids = await relay.sendMany(300);
      await relay.until('recipient-delivered', 301);
      assert.equal(relay.provider(1).messages.length, 301);
      assert.ok(
        relay.provider(0).counters.connections <= 5,
        `${relay.provider(0).counters.connections} connections`,
      );
      const tries = relay
        .heard('attempt')
        .filter(({ provider, id }) => provider === 'first' && ids.includes(id ?? ''));
      assert.equal(tries.length, 0);
    }));

  test('that returns gets the mail again, without anyone asking', () =>
    withRelay({ providers: [{}, {}] }, async relay => {
      await relay.provider(0).down();
      await relay.send();
      await relay.until('recipient-delivered');
      assert.equal(relay.provider(1).messages.length, 1);
      await relay.provider(0).up();
      await relay.untilState('first', 'active');
      await relay.send();
      await relay.until('recipient-delivered', 2);
      assert.equal(relay.provider(0).messages.length, 1);
    }));

  test('that returns while nothing else works gets at once what waits in emails/failed', () =>
    withRelay({}, async relay => {
      await relay.provider().down();
      const id = await relay.send();
      await relay.roundEnd(id);
      assert.match(await relay.file('failed', id), /Subject: a mail/);
      await relay.provider().up();
      await relay.until('recipient-delivered', 1, id);
      assert.equal(relay.heard('drain-started').length, 1);
      assert.deepEqual((await relay.inventory()).failed, []);
    }));
});

describe('a silent primary', { concurrency: true }, () => {
  test('delays the first mail by patience and no more, and later ones not at all', async () => {
    const hole = await startBlackHole();
    const entry = { host: hole.host, port: hole.port, timeouts: { connectSeconds: 60 } };
    try {
      await withRelay(
        { providers: [{ entry }, {}], config: { retry: { patienceSeconds: 3 } } },
        async relay => {
          const sent = async (): Promise<number> => {
            const startedAt = performance.now();
            const id = await relay.send();
            await relay.until('recipient-delivered', 1, id);
            return performance.now() - startedAt;
          };
          const firstMs = await sent();
          assert.ok(firstMs > 2900, `the first took ${firstMs} ms`);
          let laterMs = 0;
          for (let count = 0; count < 10; count++) laterMs += await sent();
          assert.ok(
            laterMs / 10 < firstMs / 2,
            `one of the later took ${laterMs / 10} ms, the first ${firstMs}`,
          );
          assert.equal(relay.provider(1).messages.length, 11);
          assert.equal(relay.heard('attempt').filter(({ provider }) => provider === 'first').length, 0);
        },
      );
    } finally {
      await hole.close();
    }
  });

  test('that falls silent after MAIL on every connection keeps no other mail waiting', () =>
    withRelay(
      { providers: [stuckOn('mail'), {}], config: { retry: { patienceSeconds: 1 } } },
      async relay => {
        const held = await relay.send();
        await until(() => hasSeen(relay.provider(0), 'MAIL'), 'MAIL at the first');
        const ids = await relay.sendMany(5);
        for (const id of ids) await relay.until('recipient-delivered', 1, id);
        assert.equal(relay.provider(1).messages.length, 5);
        assert.equal(relay.heard('attempt', held).length, 0, 'it is still on its first try');
        relay.provider(0).release();
        await relay.until('recipient-delivered', 1, held);
        assert.equal(relay.provider(0).messages.length, 1);
      },
    ));

  test('on one connection alone, at a slow final dot, keeps all other mail', () =>
    withRelay(
      {
        providers: [{ script: { dot: [stall] }, entry: { timeouts: { finalDotSeconds: 60 } } }, {}],
        config: { retry: { patienceSeconds: 4 } },
      },
      async relay => {
        const held = await relay.send();
        await until(() => hasSeen(relay.provider(0), 'DATA'), 'a mail at the first');
        await elapse(4100);
        const ids = await relay.sendMany(5);
        for (const id of ids) await relay.until('recipient-delivered', 1, id);
        assert.equal(relay.provider(0).messages.length, 5);
        assert.equal(relay.provider(1).counters.connections, 0);
        relay.provider(0).release();
        await relay.until('recipient-delivered', 1, held);
      },
    ));

  test('on its one connection at work and on every new one sends mail on, the first of it after patience', () =>
    withRelay(
      {
        providers: [
          {
            script: { dot: [stall] },
            entry: { timeouts: { greetingSeconds: 60, finalDotSeconds: 60 } },
          },
          {},
        ],
        config: { retry: { patienceSeconds: 1 } },
      },
      async relay => {
        const held = await relay.send();
        await until(() => hasSeen(relay.provider(0), 'DATA'), 'a mail at the first');
        await elapse(1100);
        relay.provider(0).blackHole();
        const startedAt = performance.now();
        const ids = await relay.sendMany(5);
        for (const id of ids) await relay.until('recipient-delivered', 1, id);
        const tookMs = performance.now() - startedAt;
        assert.ok(tookMs > 900, `it was left after ${tookMs} ms`);
        assert.equal(relay.provider(1).messages.length, 5);
        const { connections } = relay.provider(0).counters;
        await relay.until('recipient-delivered', 1, await relay.send());
        assert.equal(relay.provider(1).messages.length, 6);
        assert.equal(relay.provider(0).counters.connections, connections, 'later mail tries it no more');
        assert.equal(relay.heard('attempt', held).length, 0, 'it is still on its first try');
        await relay.provider(0).up();
        relay.provider(0).release();
        await relay.until('recipient-delivered', 1, held);
        assert.equal(relay.provider(0).messages.length, 1);
      },
    ));

  test('is none that had nothing to say for a while: mail that is due all at once goes to it', () => {
    const script = { rcpt: '450 4.2.2 mailbox full' };
    const first = { script, entry: { limits: { maxConnections: 1 } } };
    const setup = { providers: [first, { script }], config: { retry: { patienceSeconds: 4 } } };
    return withRelay(setup, async relay => {
      const ids = await relay.sendMany(10);
      for (const id of ids) await relay.roundEnd(id);
      for (const provider of relay.providers) provider.follow({});
      await elapse(4100);
      relay.pass(90_000);
      await relay.until('recipient-delivered', ids.length);
      assert.equal(relay.provider(0).messages.length, ids.length);
      assert.equal(relay.provider(0).counters.connections, 1);
    });
  });

  test('that is passed over while mail waits behind it gives that mail back to the first that returns', () =>
    withRelay({ providers: [{}, stuckOn('dot')], config: { retry: { patienceSeconds: 1 } } }, async relay => {
      await relay.provider(0).down();
      const held = await relay.send();
      await until(() => hasSeen(relay.provider(1), 'DATA'), 'a mail at the second');
      const waiting = await relay.send();
      await relay.provider(0).up();
      await relay.until('recipient-delivered', 1, waiting);
      assert.equal(relay.provider(0).messages.length, 1);
      assert.equal(relay.heard('attempt', held).length, 0);
      relay.provider(1).release();
      await relay.until('recipient-delivered', 1, held);
    }));

  test('never gives a message more than its tries in one round', () =>
    withRelay(
      {
        providers: [
          { script: { mail: ['451 4.3.0 later', '451 4.3.0 later'] }, entry: silentAt('greeting') },
          {},
        ],
        config: { retry: { patienceSeconds: 0 } },
      },
      async relay => {
        // After the first try its connections end and new ones hang: patience is over with a try spent.
        relay.provider(1).follow({ mail: '451 4.3.0 later' });
        const id = await relay.send();
        await relay.until('attempt', 1, id);
        relay.provider(0).blackHole();
        relay.provider(0).speak('421 4.4.2 idle\r\n');
        await relay.roundEnd(id);
        const tries = relay.heard('attempt', id).filter(({ provider }) => provider === 'first');
        assert.ok(tries.length <= 3, `${tries.length} tries`);
        assert.equal(
          new Set(tries.map(attempt => attempt.try)).size,
          tries.length,
          'no try has the number of another',
        );
      },
    ));
});

describe('a recipient that is refused as if nobody had logged in', { concurrency: true }, () => {
  const group =
    '550 5.7.133 RESOLVER.RST.SenderNotAuthenticatedForGroup; authentication required; Delivery restriction check failed because the sender was not authenticated when sending to this group';
  const script = { recipients: { 'group@example.net': group } };

  test('keeps the provider from nobody else, in that mail and after it', () =>
    withRelay({ providers: [{ script }] }, async relay => {
      const id = await relay.send({ to: ['someone@example.net', 'group@example.net'] });
      await relay.until('recipient-rejected', 1, id);
      const { recipients = [] } = (await relay.stored(id)) ?? {};
      assert.deepEqual(
        recipients.map(({ state }) => state),
        ['delivered', 'rejected'],
      );
      assert.equal(relay.status('first').state, 'active');
      await relay.send();
      await relay.until('recipient-delivered', 2);
    }));

  test('shows as a provider out of use when ten mails in a row are refused so', () =>
    withRelay({ providers: [{ script: { rcpt: '550 authentication required' } }] }, async relay => {
      await relay.sendMany(10);
      await relay.untilState('first', 'failing');
      assert.equal(relay.status('first').reason, 'AuthenticationFailure');
      assert.equal(relay.heard('recipient-rejected').length, 0);
    }));
});

describe('an unanswered final dot', { concurrency: true }, () => {
  test('is followed by no instant send elsewhere, not by a drain either, and later by the same Message-ID', () =>
    withRelay({ providers: [{ script: { dot: [take(drop)] } }, {}] }, async relay => {
      const id = await relay.send();
      await relay.roundEnd(id);
      assert.equal(relay.heard('delivery-ambiguous', id).length, 1);
      assert.equal((await relay.stored(id))?.recipients[0]?.ambiguous, 1);
      relay.relay.parts.delivery.drain('a test');
      const other = await relay.send();
      await relay.until('recipient-delivered', 1, other);
      assert.equal((await relay.stored(id))?.rounds, 1, 'what may have arrived waits until it is due');
      relay.pass(90_000);
      await relay.until('recipient-delivered', 1, id);
      const [copy, , again] = relay.provider(0).messages;
      assert.equal(relay.provider(1).messages.length, 0);
      assert.ok(copy?.messageId !== undefined);
      assert.equal(again?.messageId, copy.messageId);
    }));

  test('that repeats with every mail sends none of them again when a probe succeeds', () =>
    withRelay({ providers: [{ script: { dot: take(drop) } }] }, async relay => {
      const ids = await relay.sendMany(3, () => ({}), 1);
      for (const id of ids) await relay.roundEnd(id);
      await relay.untilState('first', 'failing');
      await relay.untilState('first', 'active');
      const last = await relay.send();
      await relay.roundEnd(last);
      assert.equal(relay.provider().messages.length, 4);
      assert.equal(relay.heard('delivery-ambiguous').length, 4);
    }));
});

describe('a provider that can be logged in to and takes no mail', () => {
  test('is tried with a few messages after each probe, less and less often', () =>
    withRelay({ providers: [{ script: { mail: '451 4.3.0 not now' } }, {}] }, async relay => {
      await relay.sendMany(20);
      await relay.until('recipient-delivered', 20);
      await relay.untilState('first', 'failing');
      const before = relay.heard('attempt').filter(({ provider }) => provider === 'first').length;
      await relay.untilState('first', 'active');
      await relay.sendMany(20);
      await relay.until('recipient-delivered', 40);
      await relay.untilState('first', 'failing');
      const failed = relay.heard('attempt').filter(({ provider }) => provider === 'first');
      const onTrial = new Set(failed.slice(before).map(({ id }) => id)).size;
      assert.ok(onTrial >= 3 && onTrial <= 6, `${onTrial} messages met it on trial`);
      assert.equal(relay.provider(1).messages.length, 40);
    }));
});

describe('an unknown mailbox that the next provider is to confirm by a rule', { concurrency: true }, () => {
  const replyRules = [{ stage: 'rcpt', enhanced: '5.1.1', meaning: 'policy-refused' }];
  const unknown = { script: { rcpt: '550 5.1.1 no such user' } };

  test('is rejected once every provider has said so', () =>
    withRelay({ providers: [unknown, unknown], config: { replyRules } }, async relay => {
      const id = await relay.send();
      await relay.until('recipient-rejected', 1, id);
      const asked = relay.heard('attempt', id).map(({ provider, stage }) => [provider, stage]);
      assert.deepEqual(asked, [
        ['first', 'rcpt'],
        ['second', 'rcpt'],
      ]);
    }));

  test('is none where the next provider takes it', () =>
    withRelay({ providers: [unknown, {}], config: { replyRules } }, async relay => {
      const id = await relay.send();
      await relay.until('recipient-delivered', 1, id);
      assert.equal(relay.provider(1).messages.length, 1);
      assert.equal(relay.heard('recipient-rejected').length, 0);
    }));
});

describe('refused credentials', () => {
  test('suspend the provider after exactly one login; a rewritten password file is used at once and drains what waits', () =>
    withRelay({ providers: [{ tls: 'starttls', users: { 'user@example.com': 'right' } }] }, async relay => {
      const passwordFile = join(relay.directory, 'password');
      await writeFile(passwordFile, 'wrong\n');
      await relay.reconfigure(config => {
        const [{ password: _, ...entry }] = config['forwardProviders'] as [Record<string, unknown>];
        return { ...config, forwardProviders: [{ ...entry, passwordFile }] };
      });
      const ids = await relay.sendMany(5);
      for (const id of ids) await relay.roundEnd(id);
      assert.equal(relay.status('first').state, 'suspended');
      const logins = (): number =>
        relay
          .provider()
          .sessions.flatMap(({ commands }) => commands)
          .filter(line => line.startsWith('AUTH')).length;
      assert.equal(logins(), 1);
      await writeFile(passwordFile, 'right\n');
      await relay.until('recipient-delivered', 5);
      assert.equal(relay.provider().messages.length, 5);
      assert.equal((await relay.inventory()).messages, 0);
    }));
});

describe('a throttle', { concurrency: true }, () => {
  test('cools the provider down for the time it names, then what waits goes without waiting for its resend', () =>
    withRelay({ providers: [{ script: { mail: ['421 4.7.0 try again in 2 seconds'] } }] }, async relay => {
      const id = await relay.send();
      await relay.roundEnd(id);
      const cooledAt = performance.now();
      assert.equal(relay.status('first').state, 'cooling');
      await relay.until('recipient-delivered', 1, id);
      const waitedMs = performance.now() - cooledAt;
      assert.ok(waitedMs > 1500, `${waitedMs} ms`);
      assert.equal(relay.heard('attempt', id).length, 2);
    }));

  test('that one mail meets again and again keeps the provider from no other mail', () =>
    withRelay(
      {
        providers: [
          {
            script: {
              mail: ({ address }) =>
                address === 'loud@example.com' ? '450 4.7.1 too fast, try again in 1 second' : undefined,
            },
          },
        ],
      },
      async relay => {
        const loud = await relay.send({ from: 'loud@example.com' });
        await relay.roundEnd(loud);
        await relay.untilState('first', 'active');
        await relay.sendMany(20);
        await relay.until('recipient-delivered', 20);
        const cooled = relay.heard('provider-state').filter(({ state }) => state === 'cooling');
        assert.equal(cooled.length, 1);
      },
    ));

  test('that one slow domain answers keeps the provider from no other mail, however much goes to that domain', () =>
    withRelay(
      {
        providers: [
          {
            script: {
              rcpt: ({ address }) =>
                address?.endsWith('@slow.example')
                  ? '450 4.7.1 try again later, too many connections'
                  : undefined,
            },
          },
          {},
        ],
        config: { retry: { patienceSeconds: 60 } },
      },
      async relay => {
        const to = (index: number): string =>
          index % 2 === 0 ? `r${index}@slow.example` : `r${index}@example.net`;
        await relay.sendMany(80, index => ({ to: [to(index)] }));
        await relay.until('recipient-delivered', 80);
        assert.deepEqual(relay.heard('provider-state'), []);
        assert.equal(relay.provider(0).messages.length, 40);
        assert.equal(relay.provider(1).messages.length, 40);
      },
    ));

  test('that recipients of several domains are answered, and nobody gets past, cools the provider down', () =>
    withRelay({ providers: [{ script: { rcpt: '450 4.7.1 rate limit exceeded' } }, {}] }, async relay => {
      await relay.sendMany(20, index => ({ to: [`r@domain${index}.example`] }), 1);
      await relay.until('recipient-delivered', 20);
      assert.equal(relay.status('first').state, 'cooling');
      const tries = relay.heard('attempt').filter(({ provider }) => provider === 'first');
      assert.ok(tries.length >= 3, `${tries.length} tries: fewer could be slow domains`);
    }));

  test('whose reply names a recipient is told of the provider without the address: in /status, events and other mail', () =>
    withRelay(
      {
        providers: [{ script: { rcpt: '450 4.7.0 <bob@example.com>: peak SMTP relay limit exceeded' } }],
      },
      async relay => {
        const first = await relay.send({ to: ['bob@example.com'] });
        await relay.roundEnd(first);
        const second = await relay.send({ to: ['ann@example.net'] });
        await relay.roundEnd(second);
        const said = '450 4.7.0 <[address]>: peak SMTP relay limit exceeded';
        const { health } = relay.relay.endpoints;
        const status = await (await fetch(`http://${health?.host}:${health?.port}/status`)).json();
        const [provider] = (status as { providers: { state: string; message: string }[] }).providers;
        assert.deepEqual([provider?.state, provider?.message], ['cooling', said]);
        assert.ok(!JSON.stringify(status).includes('bob@'), JSON.stringify(status));
        assert.deepEqual(
          relay.heard('provider-state').map(({ message }) => message),
          [said],
        );
        assert.equal((await relay.stored(second))?.reason, said);
        assert.match((await relay.stored(first))?.recipients[0]?.reply ?? '', /<bob@example\.com>/);
      },
    ));

  test('sends mail to the next provider meanwhile', () =>
    withRelay(
      { providers: [{ script: { mail: '454 4.7.0 too many messages, retry after 30 seconds' } }, {}] },
      async relay => {
        await relay.sendMany(20, () => ({}), 1);
        await relay.until('recipient-delivered', 20);
        assert.equal(relay.provider(1).messages.length, 20);
        const tries = relay.heard('attempt').filter(({ provider }) => provider === 'first');
        assert.ok(tries.length <= 3, `${tries.length} tries: only what was under way already`);
      },
    ));
});

describe('a pooled connection that the provider has closed', { concurrency: true }, () => {
  test('costs no try when it turns out at MAIL', () =>
    withRelay({ providers: [{ script: { mail: [accept, drop] } }] }, async relay => {
      await relay.send();
      await relay.until('recipient-delivered');
      const id = await relay.send();
      await relay.until('recipient-delivered', 1, id);
      const attempts = relay.heard('attempt', id);
      assert.deepEqual(
        attempts.map(({ outcome, try: number }) => [outcome, number]),
        [['delivered', 1]],
      );
      assert.equal(relay.provider().counters.connections, 2);
    }));

  test('is noticed while idle and not used', () =>
    withRelay({}, async relay => {
      await relay.send();
      await relay.until('recipient-delivered');
      relay.provider().speak('421 4.4.2 idle for too long\r\n');
      await until(() => relay.status('first').connections === 0, 'the connection to be forgotten');
      const id = await relay.send();
      await relay.until('recipient-delivered', 1, id);
      assert.equal(relay.heard('attempt', id).length, 1);
    }));

  test('is closed by the relay at the end of its lifetime', () =>
    withRelay({ providers: [{ entry: { limits: { connectionLifetimeSeconds: 1 } } }] }, async relay => {
      await relay.send();
      await relay.until('recipient-delivered');
      await new Promise(resolve => setTimeout(resolve, 1100));
      await relay.send();
      await relay.until('recipient-delivered', 2);
      await until(() => relay.status('first').connections === 0, 'the old connection to be closed');
      await relay.send();
      await relay.until('recipient-delivered', 3);
      assert.equal(relay.provider().counters.connections, 2);
    }));
});

describe('what people are told', { concurrency: true }, () => {
  test('of a 250 out of place is that it was, in the queue, the status and the log', () =>
    withRelay(
      {
        providers: [{ script: { greeting: raw('250 ok\r\n') } }, { script: { data: raw('250 ok\r\n') } }],
      },
      async relay => {
        const id = await relay.send();
        await relay.roundEnd(id);
        await relay.untilState('first', 'failing');
        const why = 'answered out of place with 250 ok';
        const waiting = await relay.stored(id);
        assert.deepEqual([waiting?.reason, waiting?.recipients[0]?.reply], [`data: ${why}`, `data: ${why}`]);
        assert.equal(relay.status('first').message, `greeting: ${why}`);
        const lines = relay.heard('attempt').map(({ stage, code, reply }) => [stage, code, reply]);
        assert.deepEqual(
          new Set(lines.map(line => line.join(' '))),
          new Set([`greeting 250 ${why}`, `data 250 ${why}`]),
        );
      },
    ));

  test('of a closed connection says the step once', () =>
    withRelay({ providers: [{ script: { ehlo: drop } }, { script: { mail: drop } }] }, async relay => {
      const id = await relay.send();
      await relay.roundEnd(id);
      await relay.untilState('first', 'failing');
      const why = 'the provider closed the connection';
      assert.equal((await relay.stored(id))?.recipients[0]?.reply, `mail: ${why}`);
      assert.equal(relay.status('first').message, `ehlo: ${why}`);
      assert.deepEqual(new Set(relay.heard('attempt').map(({ reply }) => reply)), new Set([why]));
    }));
});
