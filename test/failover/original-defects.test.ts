/**
 * The defects of the program that this relay takes the place of, one test
 * each, named after the defect: every one of them would fail there.
 */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { describe, test } from 'node:test';
import { authority } from '../smtp/certificates.ts';
import { hello } from '../smtp/client.ts';
import { drop, stall, take } from '../smtp/script.ts';
import { until } from '../smtp/wait.ts';
import { type Json, silentAt, withRelay } from './relay-under-test.ts';

const MAIN = join(import.meta.dirname, '..', '..', 'relay', 'main.ts');
const account = { users: { 'jane.doe@example.com': 'correct horse battery' }, tls: 'starttls' } as const;

/** Runs the program in a process of its own, sends one mail, and kills it the moment the 250 is there. */
async function acknowledgeAndDie(configPath: string): Promise<void> {
  const program = spawn(process.execPath, [MAIN, 'run', '--config', configPath], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  try {
    let port: string | undefined;
    for await (const line of createInterface(program.stdout)) {
      port = /accepting mail on 127\.0\.0\.1:(\d+)/.exec(line)?.[1];
      if (port !== undefined) break;
    }
    const client = await hello({ host: '127.0.0.1', port: Number(port) });
    const reply = await client.send({
      from: 'app@example.com',
      to: ['someone@example.net'],
      body: 'Subject: kept\r\n\r\nHello.\r\n',
    });
    program.kill('SIGKILL');
    assert.equal(reply.code, 250);
    client.destroy();
  } finally {
    program.kill('SIGKILL');
    if (program.exitCode === null && program.signalCode === null) await once(program, 'exit');
  }
}

describe('defects of the original', { concurrency: 4 }, () => {
  test('250 before the mail is durable', () =>
    withRelay({ config: { forwardSMTP: false } }, async relay => {
      await relay.halt();
      await acknowledgeAndDie(relay.configPath);
      await relay.start();
      await relay.reconfigure(config => ({ ...config, forwardSMTP: true }));
      await relay.until('recipient-delivered');
      assert.equal(relay.provider().messages[0]?.header('subject'), 'kept');
    }));

  test('failed queue never run', () =>
    withRelay({ providers: [{ script: { mail: '451 4.3.0 later' } }] }, async relay => {
      const id = await relay.send();
      await relay.roundEnd(id);
      relay.provider().follow({});
      relay.pass(90_000);
      await relay.until('recipient-delivered', 1, id);
    }));

  test('failed queue never run after a restart', () =>
    withRelay({}, async relay => {
      await relay.provider().down();
      const id = await relay.send();
      await relay.roundEnd(id);
      await relay.halt();
      await relay.provider().up();
      // Its next round would be due in a minute: the start does not wait for it.
      await relay.start();
      await relay.until('recipient-delivered', 1, id);
      assert.equal(relay.heard('drain-started').at(-1)?.reason, 'the relay started');
    }));

  test('file names that collide', () =>
    withRelay({}, async relay => {
      await relay.provider().down();
      const content =
        'Message-ID: <same@example.com>\r\nSubject: same\r\nFrom: <app@example.com>\r\n\r\nHello.\r\n';
      const ids = await relay.sendMany(50, () => ({ content }), 10);
      for (const id of ids) await relay.roundEnd(id);
      const { failed } = await relay.inventory();
      assert.deepEqual(failed, ids.map(id => `${id}.eml`).sort());
      assert.equal(new Set(ids).size, 50);
    }));

  test('file names that escape the directory', () =>
    withRelay({}, async relay => {
      const before = await tree(relay.directory);
      await relay.provider().down();
      const content =
        'Message-ID: <../../../escaped>\r\nSubject: ../../escaped\r\nFrom: <app@example.com>\r\n\r\nHello.\r\n';
      const id = await relay.send({
        from: '../../escaped@example.com',
        to: ['/tmp/escaped@example.net'],
        content,
      });
      await relay.roundEnd(id);
      assert.match(id, /^[0-9a-z]{17}$/);
      const { failed } = await relay.inventory();
      assert.deepEqual(failed, [`${id}.eml`]);
      const added = (await tree(relay.directory)).filter(path => !before.includes(path));
      assert.deepEqual(
        added.filter(path => !path.startsWith('emails/')),
        [],
      );
      assert.deepEqual(
        added.filter(path => path.includes('escaped')),
        [],
      );
    }));

  test('every error retried on every provider, 550 user unknown too', () =>
    withRelay({ providers: [{ script: { rcpt: '550 5.1.1 user unknown' } }, {}] }, async relay => {
      const id = await relay.send();
      await relay.until('recipient-rejected', 1, id);
      assert.equal(relay.heard('attempt', id).length, 1);
      assert.equal(relay.provider(1).counters.connections, 0);
    }));

  test('one accepted recipient counted as success for all', () =>
    withRelay(
      {
        providers: [
          {
            script: {
              recipients: { 'b@example.net': '450 4.2.1 full', 'c@example.net': '550 5.1.1 unknown' },
            },
          },
        ],
      },
      async relay => {
        const id = await relay.send({ to: ['a@example.net', 'b@example.net', 'c@example.net'] });
        await relay.roundEnd(id);
        const stored = await relay.stored(id);
        assert.deepEqual(
          stored?.recipients.map(({ state }) => state),
          ['delivered', 'pending', 'rejected'],
        );
        assert.equal(relay.heard('recipient-delivered', id).length, 1);
      },
    ));

  test('batches sent twice', () =>
    withRelay({ config: { batchSize: 20, batchDelay: 1000 } }, async relay => {
      const ids = await relay.sendMany(200, index => ({ subject: `mail ${index}` }));
      await relay.until('recipient-delivered', 200);
      const subjects = relay.provider().messages.map(message => message.header('subject'));
      assert.equal(subjects.length, ids.length);
      assert.equal(new Set(subjects).size, ids.length);
    }));

  test('instant resend after an unanswered final dot', () =>
    withRelay({ providers: [{ script: { dot: [take(drop)] } }, {}] }, async relay => {
      const id = await relay.send();
      await relay.roundEnd(id);
      const other = await relay.send();
      await relay.until('recipient-delivered', 1, other);
      assert.equal(relay.heard('attempt', id).length, 1);
      assert.equal(relay.provider(1).counters.connections, 0);
      assert.equal(await relay.metric('mailrelay_ambiguous_total'), 1);
    }));

  test('STARTTLS failure ignored', () =>
    withRelay(
      {
        providers: [
          { ...account, script: { starttls: '454 4.7.0 TLS not available' }, authWithoutTls: true },
        ],
      },
      async relay => {
        const id = await relay.send();
        await relay.roundEnd(id);
        const said = relay.provider().sessions.flatMap(({ commands }) => commands);
        assert.deepEqual(
          said.filter(line => /^(AUTH|MAIL)/i.test(line)),
          [],
        );
        assert.equal((await relay.stored(id))?.state, 'failed');
      },
    ));

  test('silent unauthenticated sending', () =>
    withRelay({ providers: [{ ...account, mechanisms: [], requireAuth: false }] }, async relay => {
      const id = await relay.send();
      await relay.roundEnd(id);
      assert.equal(relay.provider().counters.transactions, 0);
      assert.equal(relay.status('first').state, 'suspended');
    }));

  test('silent unauthenticated sending, by a misspelt or half key', () =>
    withRelay({}, async relay => {
      await assert.rejects(relay.reconfigureProvider(0, { username: 'x', pasword: 'y' }), /pasword/);
      await assert.rejects(
        relay.reconfigure(config => ({
          ...config,
          forwardProviders: (config['forwardProviders'] as Json[]).map(({ pasword: _, ...entry }) => ({
            ...entry,
            username: 'x',
          })),
        })),
        /password/,
      );
    }));

  for (const stage of ['greeting', 'ehlo', 'mail', 'rcpt', 'data'] as const) {
    test(`no timeouts: silence at ${stage}`, () =>
      withRelay(
        {
          providers: [{ script: { [stage]: stall }, entry: silentAt(stage) }, {}],
          config: { retry: { attempts: 1 } },
        },
        async relay => {
          const id = await relay.send();
          await relay.until('recipient-delivered', 1, id);
          assert.match(relay.heard('attempt')[0]?.reply ?? '', /no answer within \d s/);
          assert.equal(relay.provider(1).messages.length, 1);
        },
      ));
  }

  test('retry sleeping inside a worker', () =>
    withRelay(
      {
        providers: [
          {
            entry: { limits: { maxConnections: 2 } },
            script: {
              mail: ({ address }) => (address === 'slow@example.com' ? '451 4.3.0 later' : undefined),
            },
          },
        ],
        config: { retry: { initialDelayMilliseconds: 20_000 } },
      },
      async relay => {
        // Far more messages in a retry delay than there are connections.
        await relay.sendMany(9, () => ({ from: 'slow@example.com' }));
        await relay.until('attempt', 9);
        const id = await relay.send();
        await relay.until('recipient-delivered', 1, id);
        assert.equal(relay.heard('attempt').length, 10, 'none of the others was tried again before');
      },
    ));

  test('message bytes, user names and passwords in logs', () =>
    withRelay({ providers: [account, {}], config: { logLevel: 'debug' } }, async relay => {
      const content =
        'Subject: quarterly-figures\r\nX-Secret: header-marker\r\nFrom: <app@example.com>\r\n\r\nbody-marker\r\n';
      await relay.send({ content });
      await relay.until('recipient-delivered');
      // A provider that repeats what it was given, in clear and as it came.
      const plain = Buffer.from('\0jane.doe@example.com\0correct horse battery').toString('base64');
      relay.provider(0).speak('421 4.4.2 idle\r\n');
      relay.provider(0).follow({
        auth: `535 5.7.8 no: jane.doe@example.com / correct horse battery / ${plain}`,
        mail: '550 5.7.1 jane.doe@example.com may not send',
      });
      await until(() => relay.status('first').connections === 0, 'the connection to end');
      await relay.send({ content });
      await relay.until('recipient-delivered', 2);
      await relay.halt();
      const log = relay.log.join('');
      for (const secret of [
        'quarterly-figures',
        'header-marker',
        'body-marker',
        'jane.doe',
        'correct horse',
        plain,
      ]) {
        assert.ok(!log.includes(secret), `the log has ${secret}`);
      }
      assert.match(log, /535/);
    }));

  test('AUTH offered in clear', async () => {
    const files = { certificate: authority().issue() };
    await withRelay({}, async relay => {
      await writeFile(join(relay.directory, 'tls.crt'), files.certificate.certificate);
      await writeFile(join(relay.directory, 'tls.key'), files.certificate.key);
      await relay.reconfigure(config => ({
        ...config,
        listener: {
          hostname: 'relay.test',
          tls: { certificateFile: 'tls.crt', keyFile: 'tls.key' },
          auth: { required: true, accounts: [{ username: 'app', password: 'app-password' }] },
        },
      }));
      const client = await hello(relay.relay.endpoints.smtp);
      const clear = await client.command('EHLO client.test');
      assert.deepEqual(
        clear.lines.filter(line => line.startsWith('AUTH')),
        [],
      );
      assert.ok(clear.lines.includes('STARTTLS'));
      assert.ok((await client.login('app', 'app-password')).code >= 500);
      await client.startTls();
      const secured = await client.command('EHLO client.test');
      assert.ok(secured.lines.some(line => line.startsWith('AUTH')));
      assert.equal((await client.login('app', 'app-password')).code, 235);
      await client.quit();
    });
  });

  test('health always "ok"', () =>
    withRelay({}, async relay => {
      const { health } = relay.relay.endpoints;
      const get = (path: string): Promise<Response> => fetch(`http://${health?.host}:${health?.port}${path}`);
      const provider = async (): Promise<Json> =>
        ((await (await get('/status')).json()) as { providers: Json[] }).providers[0]!;
      assert.equal((await get('/readyz')).status, 200);
      assert.equal((await provider())['state'], 'active');
      await relay.provider().down();
      const id = await relay.send();
      await relay.roundEnd(id);
      const failing = await provider();
      assert.equal(failing['state'], 'failing');
      assert.match(String(failing['message']), /ECONNREFUSED/);
      assert.equal(await relay.metric('mailrelay_provider_up', { provider: 'first' }), 0);
      assert.equal(await relay.metric('mailrelay_queue_messages', { state: 'failed' }), 1);
      await relay.reconfigure(config => ({ ...config, diskReserveBytes: 1_000_000_000_000_000 }));
      await until(async () => (await get('/readyz')).status === 503, 'readiness to go off');
      assert.match(await (await get('/readyz')).text(), /disk is low/);
    }));
});

async function tree(directory: string): Promise<string[]> {
  return (await readdir(directory, { recursive: true })).sort();
}
