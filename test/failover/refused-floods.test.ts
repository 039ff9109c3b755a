/** Clients that are refused or fail again and again: the log stays readable, the metrics count each refusal. */
import assert from 'node:assert/strict';
import { mkdtemp, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import type { RefusalReason } from '../../relay/telemetry/events.ts';
import { windowMs } from '../../relay/telemetry/repeats.ts';
import { authority } from '../smtp/certificates.ts';
import { dial, hello } from '../smtp/client.ts';
import { type RelayUnderTest, withRelay } from './relay-under-test.ts';

const FLOOD = 2000;

interface Line {
  readonly event: string;
  readonly id?: string;
  readonly reason?: RefusalReason;
  readonly client?: string;
  readonly reply?: string;
  readonly repeated?: number;
}

function logged(relay: RelayUnderTest): Line[] {
  return relay.log.map(line => JSON.parse(line) as Line);
}

const refusalsOf = (relay: RelayUnderTest, reason: RefusalReason): Line[] =>
  logged(relay).filter(line => line.event === 'message-refused' && line.reason === reason);

/** Runs `once` that often, some at a time. */
async function flood(count: number, once: () => Promise<void>): Promise<void> {
  let left = count;
  const run = async (): Promise<void> => {
    while (left-- > 0) await once();
  };
  await Promise.all(Array.from({ length: 20 }, run));
}

/** One at once, one a window, one at the end. */
function most(startedAt: number): number {
  return 2 + Math.floor((performance.now() - startedAt) / windowMs);
}

/** A few lines say that it was so many. */
function assertSummedUp(lines: readonly Line[], count: number, startedAt: number): void {
  assert.ok(lines.length >= 2 && lines.length <= most(startedAt), `${lines.length} lines`);
  assert.equal(
    lines.reduce((sum, { repeated = 1 }) => sum + repeated, 0),
    count,
  );
  for (const line of lines) assert.equal(line.client, '127.0.0.1');
}

/** Each is told by the metrics and to those who listen; the log says so in a few lines. */
async function assertRefused(
  relay: RelayUnderTest,
  reason: RefusalReason,
  count: number,
  startedAt: number,
): Promise<void> {
  assert.equal(await relay.metric('mailrelay_rejected_total', { reason }), count);
  assert.equal(relay.heard('message-refused').filter(event => event.reason === reason).length, count);
  await relay.halt();
  assertSummedUp(refusalsOf(relay, reason), count, startedAt);
}

describe('a flood', { concurrency: true }, () => {
  test('of connections over the limit: the first is logged at once, the others are counted', () =>
    withRelay({ config: { listener: { maxConnectionsPerClient: 1 } } }, async relay => {
      const startedAt = performance.now();
      const { smtp } = relay.relay.endpoints;
      const admitted = await hello(smtp);
      const refused = async (): Promise<void> => {
        const client = await dial(smtp);
        assert.equal((await client.reply()).code, 421);
        client.destroy();
      };
      await refused();
      assert.match(
        refusalsOf(relay, 'too-many-connections')[0]!.reply!,
        /^421 4\.7\.0 Too many connections from/,
      );
      await flood(FLOOD - 1, refused);
      admitted.destroy();
      await assertRefused(relay, 'too-many-connections', FLOOD, startedAt);
    }));

  test('of commands of a client that may not send', () =>
    withRelay({ config: { listener: { allowedNetworks: ['192.0.2.0/24'] } } }, async relay => {
      const startedAt = performance.now();
      const mails = Array<string>(20).fill('MAIL FROM:<spam@example.com>');
      await flood(FLOOD / mails.length, async () => {
        const client = await hello(relay.relay.endpoints.smtp);
        const replies = await client.pipeline(mails);
        assert.ok(replies.every(({ code }) => code === 550));
        client.destroy();
      });
      await assertRefused(relay, 'network-not-allowed', FLOOD, startedAt);
      assert.ok(refusalsOf(relay, 'syntax').length <= most(startedAt), 'the ends of those connections');
    }));

  test('of TLS handshakes that fail', async () => {
    const directory = await mkdtemp(join(tmpdir(), 'mailrelay-test-'));
    const { certificate, key } = authority().issue();
    await writeFile(join(directory, 'tls.crt'), certificate);
    await writeFile(join(directory, 'tls.key'), key);
    const handshakes = FLOOD / 4;
    const tls = { certificateFile: 'tls.crt', keyFile: 'tls.key' };
    await withRelay({ directory, config: { logLevel: 'debug', listener: { tls } } }, async relay => {
      const startedAt = performance.now();
      await flood(handshakes, async () => {
        const client = await hello(relay.relay.endpoints.smtp);
        assert.equal((await client.command('STARTTLS')).code, 220);
        client.write('this is no handshake\r\n');
        await assert.rejects(client.reply());
        client.destroy();
      });
      await relay.until('client-error', handshakes);
      await relay.halt();
      const lines = logged(relay).filter(({ event }) => event === 'client-error');
      assertSummedUp(lines, handshakes, startedAt);
    });
  });

  test('hides nothing of the mail that is accepted meanwhile', () =>
    withRelay({}, async relay => {
      const startedAt = performance.now();
      const flooding = flood(FLOOD, async () => {
        const client = await hello(relay.relay.endpoints.smtp);
        assert.equal((await client.command('MAIL FROM:<not an address>')).code, 501);
        client.destroy();
      });
      const ids = await relay.sendMany(50);
      await flooding;
      await relay.until('recipient-delivered', ids.length);
      await assertRefused(relay, 'syntax', FLOOD, startedAt);
      const lines = logged(relay);
      for (const event of ['message-accepted', 'attempt', 'recipient-delivered']) {
        const told = lines.filter(line => line.event === event);
        assert.deepEqual(told.map(({ id }) => id).sort(), [...ids].sort(), event);
        assert.ok(told.every(({ repeated }) => repeated === undefined));
      }
    }));
});
