import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer } from 'node:http';
import { describe, test } from 'node:test';
import { annotations } from '../../../operator/api/names.ts';
import { statusSchema } from '../../../operator/api/schema-status.ts';
import { fetchRelayStatus, type RelayStatus } from '../../../operator/reconcile/relay-status.ts';
import { statusOf } from '../../../operator/reconcile/status.ts';
import { observed, podStatus } from './observations.ts';

/** What the operator takes for the status of a pod that answers with this. */
async function ask(answer: string): Promise<RelayStatus> {
  const server = createServer((_, response) => response.end(answer)).listen(0, '127.0.0.1');
  await once(server, 'listening');
  try {
    return await fetchRelayStatus('127.0.0.1', (server.address() as { port: number }).port);
  } finally {
    server.closeAllConnections();
    server.close();
  }
}

const [primary] = podStatus().providers;
const many = (length: number): string => 'x'.repeat(length);

/** Any image can stand behind spec.image: what its pods say may be anything, and must not make a status that is refused. */
const refused: readonly (readonly [what: string, answer: object])[] = [
  ['a time that is none', podStatus([], { providers: [{ ...primary!, since: 'yesterday' }] })],
  ['half a message', podStatus([], { queue: { ...podStatus().queue, dead: { messages: 0.5, bytes: 1 } } })],
  [
    'fewer messages than none',
    podStatus([], { queue: { ...podStatus().queue, failed: { messages: -1, bytes: 1 } } }),
  ],
  [
    'more providers than a relay can have',
    podStatus([], { providers: Array.from({ length: 40 }, () => primary!) }),
  ],
  ['a state that is none', { ...podStatus(), providers: [{ ...primary, state: 'on fire' }] }],
];

describe('what a pod says of itself', () => {
  test('is taken as it is when a relay says it', async () => {
    assert.deepEqual(await ask(JSON.stringify(podStatus())), podStatus());
  });

  for (const [what, answer] of refused) {
    test(`is an error for people when it has ${what}`, async () => {
      await assert.rejects(ask(JSON.stringify(answer)), /\/status is not what a relay says: /);
    });
  }

  test('is an error of bounded length, whatever is wrong with it', async () => {
    const providers = Array.from({ length: 30 }, () => ({ name: many(2000) }));
    await assert.rejects(ask(JSON.stringify({ ...podStatus(), providers })), ({ message }: Error) => {
      assert.ok(message.length <= 1100, `${message.length} characters`);
      return true;
    });
  });

  test('makes a status that the API server takes, however long its words and whatever was asked for', async () => {
    const status = await ask(
      JSON.stringify(
        podStatus([], {
          providers: [{ ...primary!, reason: many(5000), message: many(5000) }],
          lastConfigError: { errors: [many(50_000)] },
          queue: { ...podStatus().queue, failed: { messages: 1, bytes: 1, oldestAgeSeconds: 1e12 } },
        }),
      ),
    );
    const seen = observed({ reports: [{ pod: 'mail-a', status }] });
    const asked = {
      [annotations.resendRequestedAt]: many(5000),
      [annotations.reconcileRequestedAt]: many(5000),
    };
    const { metadata } = seen.object;
    const object = { ...seen.object, metadata: { ...metadata, annotations: asked } };
    const made = statusOf({ ...seen, object }, { resendAt: many(5000), reconcileAt: many(5000) }, 0);
    const { error } = statusSchema.safeParse(made);
    assert.equal(error, undefined);
  });
});
