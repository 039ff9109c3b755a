/** What the process after an accident finds: a spool opened anew, and each message in exactly one place. */
import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import { type OpenSpool, openSpool } from '../../../relay/spool/open.ts';
import type { RelayEvent } from '../../../relay/telemetry/events.ts';
import { bodyOf, namesIn, text } from '../../unit/spool/fixture.ts';

/** A directory that is removed when the test ends. */
export async function place(t: TestContext): Promise<string> {
  const root = await mkdtemp(join(tmpdir(), 'spool-fault-'));
  t.after(() => rm(root, { recursive: true }));
  return root;
}

export async function reopen(
  t: TestContext,
  directory: string,
): Promise<{ spool: OpenSpool; events: RelayEvent[] }> {
  const events: RelayEvent[] = [];
  const spool = await openSpool({
    directory,
    maxMessageBytes: 50_000_000,
    reserveBytes: 0,
    retention: { ageMs: 1, maxMessages: 1, maxBytes: 1 },
    now: Date.now,
    emit: event => events.push(event),
  });
  t.after(() => spool.close());
  return { spool, events };
}

/** Every message in exactly one place, whole, and nothing beside. */
export async function assertOrder(spool: OpenSpool, directory: string): Promise<void> {
  const messages = await spool.list({});
  const files = (state: string) => messages.filter(m => m.state === state).map(m => `${m.id}.eml`);
  assert.deepEqual(await namesIn(directory, 'failed'), files('failed'));
  assert.deepEqual(await namesIn(directory, 'dead'), files('dead'));
  assert.deepEqual(await namesIn(directory, 'quarantine'), []);
  for (const message of messages) {
    assert.ok(
      (await bodyOf(spool, message.id)).equals(text(message.size)),
      `${message.id} is not what it was`,
    );
  }
}
