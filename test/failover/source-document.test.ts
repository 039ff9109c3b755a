/** What the source document promises, on the whole relay, in the order of its sentences (docs/source-document.md). */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { startBlackHole } from '../smtp/black-hole.ts';
import { until } from '../smtp/wait.ts';
import { type Json, silentAt, withRelay } from './relay-under-test.ts';

const entries = (config: Json): Json[] => config['forwardProviders'] as Json[];

describe('the source document', { concurrency: 4 }, () => {
  test('mail is still sent when the main provider is unavailable', () =>
    withRelay({ providers: [{}, {}] }, async relay => {
      await relay.provider(0).down();
      await relay.send();
      await relay.until('recipient-delivered');
      assert.equal(relay.provider(1).messages.length, 1);
    }));

  test('providers are tried by priority, the smallest number first, wherever they stand in the list', () =>
    withRelay(
      { providers: [{ entry: { priority: 2 } }, { entry: { priority: 0 } }, { entry: { priority: 1 } }] },
      async relay => {
        await relay.send();
        await relay.until('recipient-delivered');
        assert.equal(relay.provider(1).messages.length, 1);
        await relay.provider(1).down();
        await relay.send();
        await relay.until('recipient-delivered', 2);
        assert.equal(relay.provider(2).messages.length, 1);
        await relay.provider(2).down();
        await relay.send();
        await relay.until('recipient-delivered', 3);
        assert.equal(relay.provider(0).messages.length, 1);
      },
    ));

  test('without priorities the order of the list counts', () =>
    withRelay({ providers: [{}, {}, {}] }, async relay => {
      for (const [index, expected] of [
        [1, 0, 0],
        [1, 1, 0],
        [1, 1, 1],
      ].entries()) {
        if (index > 0) await relay.provider(index - 1).down();
        await relay.send();
        await relay.until('recipient-delivered', index + 1);
        assert.deepEqual(
          relay.providers.map(({ messages }) => messages.length),
          expected,
        );
      }
    }));

  test('a connection that times out leads to the next provider', async () => {
    const hole = await startBlackHole();
    try {
      const entry = { host: hole.host, port: hole.port, ...silentAt('connect') };
      await withRelay({ providers: [{ entry }, {}] }, async relay => {
        await relay.send();
        await relay.until('recipient-delivered');
        assert.match(relay.heard('attempt')[0]?.reply ?? '', /nothing answered in time/);
        assert.equal(relay.provider(1).messages.length, 1);
      });
    } finally {
      await hole.close();
    }
  });

  test('refused authentication leads to the next provider', () =>
    withRelay(
      { providers: [{ tls: 'starttls', users: { user: 'right' }, entry: { password: 'wrong' } }, {}] },
      async relay => {
        await relay.send();
        await relay.until('recipient-delivered');
        assert.equal(relay.heard('attempt')[0]?.stage, 'auth');
        assert.equal(relay.provider(1).messages.length, 1);
      },
    ));

  test('each provider gets up to 3 tries of a mail, 1 s and then 2 s apart', () => {
    const asked: number[] = [];
    const later = () => {
      asked.push(performance.now());
      return '451 4.3.0 later';
    };
    return withRelay(
      {
        providers: [{ script: { mail: later } }, {}],
        config: { retry: { initialDelayMilliseconds: 1000 } },
      },
      async relay => {
        const id = await relay.send();
        await relay.until('recipient-delivered', 1, id);
        const tries = relay.heard('attempt', id).filter(({ provider }) => provider === 'first');
        assert.deepEqual(
          tries.map(attempt => [attempt.try, attempt.retryInMs]),
          [
            [1, 1000],
            [2, 2000],
            [3, undefined],
          ],
        );
        const [first = 0, second = 0, third = 0, ...more] = asked;
        assert.deepEqual(more, []);
        // A timer may fire a millisecond early; how late, is up to the machine.
        assert.ok(second - first > 990 && third - second > 1990, asked.join(' '));
        assert.equal(relay.provider(1).messages.length, 1);
      },
    );
  });

  test('three failed connections to a provider are 1 s and then 2 s apart as well', () =>
    withRelay({ config: { retry: { initialDelayMilliseconds: 1000 } } }, async relay => {
      await relay.provider().down();
      const id = await relay.send();
      await relay.roundEnd(id);
      assert.deepEqual(
        relay.heard('attempt').map(attempt => [attempt.stage, attempt.retryInMs]),
        [
          ['connect', 1000],
          ['connect', 2000],
          ['connect', undefined],
        ],
      );
    }));

  test('mail that every provider failed is saved in emails/failed and sent again later', () =>
    withRelay(
      { providers: [{ script: { mail: '451 4.3.0 later' } }, { script: { data: '451 4.3.0 later' } }] },
      async relay => {
        const id = await relay.send({ subject: 'saved' });
        await relay.roundEnd(id);
        assert.match(await relay.file('failed', id), /Subject: saved/);
        for (let round = 1; round < 4; round++) {
          relay.pass(3_600_000);
          await relay.roundEnd(id, round + 1);
        }
        relay.provider(1).follow({});
        relay.pass(3_600_000);
        await relay.until('recipient-delivered', 1, id);
        assert.equal(relay.provider(1).messages[0]?.header('subject'), 'saved');
        assert.deepEqual((await relay.inventory()).failed, []);
      },
    ));

  test('forwardSMTP false switches the list off and the old form too', () =>
    withRelay({ config: { forwardSMTP: false } }, async relay => {
      await relay.send();
      const [entry] = entries(relay.config);
      await relay.reconfigure(({ forwardProviders: _, ...config }) => ({
        ...config,
        forwardHost: entry?.['host'],
        forwardPort: entry?.['port'],
      }));
      await relay.send();
      assert.equal(relay.provider().counters.connections, 0);
      assert.equal(await relay.metric('mailrelay_queue_messages', { state: 'held' }), 2);
      await relay.reconfigure(config => ({ ...config, forwardSMTP: true }));
      await relay.until('recipient-delivered', 2);
    }));

  test('host and port are required', () =>
    withRelay({}, async relay => {
      for (const key of ['host', 'port']) {
        const without = (config: Json): Json => ({
          ...config,
          forwardProviders: entries(config).map(entry =>
            Object.fromEntries(Object.entries(entry).filter(([name]) => name !== key)),
          ),
        });
        await assert.rejects(relay.reconfigure(without), new RegExp(key));
        await relay.reconfigure(config => ({
          ...config,
          forwardProviders: [{ ...entries(config)[0], [key]: relay.provider()[key as 'host'] }],
        }));
      }
    }));

  test('an empty user name and password mean no authentication', () =>
    withRelay({ providers: [{ entry: { username: '', password: '' } }] }, async relay => {
      await relay.send();
      await relay.until('recipient-delivered');
      assert.equal(relay.provider().messages[0]?.session.user, undefined);
    }));

  test('ssl is false by default, which is STARTTLS, and true is TLS from the first byte', () =>
    withRelay(
      {
        providers: [
          { tls: 'starttls', users: { user: 'secret' }, entry: { ssl: undefined } },
          { tls: 'implicit', users: { user: 'secret' } },
        ],
      },
      async relay => {
        await relay.send();
        await relay.until('recipient-delivered');
        const [session] = relay.provider(0).sessions;
        assert.ok(session?.commands.includes('STARTTLS') && session.secure && session.user === 'user');
        await relay.provider(0).down();
        await relay.send();
        await relay.until('recipient-delivered', 2);
        const [direct] = relay.provider(1).sessions;
        assert.ok(direct?.secure && !direct.commands.includes('STARTTLS') && direct.user === 'user');
      },
    ));

  test('a provider that wants an app password is suspended and says so in status', () =>
    withRelay(
      {
        providers: [
          {
            tls: 'starttls',
            users: { user: 'secret' },
            script: { auth: '534 5.7.9 Application-specific password required' },
          },
        ],
      },
      async relay => {
        const id = await relay.send();
        await relay.roundEnd(id);
        const { state, message } = relay.status('first');
        assert.equal(state, 'suspended');
        assert.match(message, /Application-specific password required/);
      },
    ));

  test('every attempt at every provider is logged with its result', () =>
    withRelay({ providers: [{ script: { mail: '451 4.3.0 later' } }, {}] }, async relay => {
      const id = await relay.send();
      await relay.until('recipient-delivered', 1, id);
      await relay.halt();
      const lines = relay.log
        .map(line => JSON.parse(line) as Json)
        .filter(({ event }) => event === 'attempt');
      assert.deepEqual(
        lines.map(line => [line['id'], line['provider'], line['try'], line['outcome'], line['code']]),
        [
          [id, 'first', 1, 'failed', 451],
          [id, 'first', 2, 'failed', 451],
          [id, 'first', 3, 'failed', 451],
          [id, 'second', 1, 'delivered', 250],
        ],
      );
    }));

  test('the old form with one provider sends', () =>
    withRelay({}, async relay => {
      const [entry] = entries(relay.config);
      await relay.reconfigure(({ forwardProviders: _, ...config }) => ({
        ...config,
        forwardSMTP: true,
        forwardHost: entry?.['host'],
        forwardPort: entry?.['port'],
        forwardSSL: false,
      }));
      await relay.send();
      await relay.until('recipient-delivered');
    }));

  test('where both forms are given the list is used', () =>
    withRelay({ providers: [{}, {}] }, async relay => {
      const { host, port } = relay.provider(1);
      await relay.reconfigure(config => ({
        ...config,
        forwardProviders: entries(config).slice(0, 1),
        forwardHost: host,
        forwardPort: port,
      }));
      await relay.send();
      await relay.until('recipient-delivered');
      await until(() => relay.provider(0).messages.length === 1, 'the mail at the one of the list');
      assert.equal(relay.provider(1).counters.connections, 0);
      assert.ok(
        relay
          .heard('config-loaded')
          .at(-1)
          ?.warnings.some(warning => /forwardHost/.test(warning)),
      );
    }));
});
