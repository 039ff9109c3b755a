/** A spool in a directory of its own, a clock that the test sets, and short ways to fill it. */
import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import type { MessageId, Recipient } from '../../../relay/spool/message.ts';
import { type OpenSpool, openSpool, type SpoolOptions } from '../../../relay/spool/open.ts';
import type { Spool } from '../../../relay/spool/spool.ts';
import type { RelayEvent } from '../../../relay/telemetry/events.ts';

export const START = Date.UTC(2026, 0, 1);

export interface Scene {
  readonly directory: string;
  readonly events: RelayEvent[];
  readonly clock: { now: number };
  readonly open: (more?: Partial<SpoolOptions>) => Promise<OpenSpool>;
}

/** Everything is closed and removed when the test ends. */
export async function scene(t: TestContext): Promise<Scene> {
  const root = await mkdtemp(join(tmpdir(), 'spool-'));
  const directory = join(root, 'emails');
  const events: RelayEvent[] = [];
  const clock = { now: START };
  const opened: OpenSpool[] = [];
  t.after(async () => {
    for (const spool of opened) await spool.close();
    await rm(root, { recursive: true });
  });
  const open = async (more: Partial<SpoolOptions> = {}) => {
    const spool = await openSpool({
      directory,
      maxMessageBytes: 50_000_000,
      reserveBytes: 0,
      retention: { ageMs: 1000, maxMessages: 1000, maxBytes: 1_000_000_000 },
      now: () => clock.now,
      emit: event => events.push(event),
      ...more,
    });
    opened.push(spool);
    return spool;
  };
  return { directory, events, clock, open };
}

/** Lines of text of exactly so many bytes, no two sizes alike. */
export function text(size: number): Buffer {
  const body = Buffer.alloc(size);
  for (let at = 0; at < size; at++)
    body[at] = at % 78 === 76 ? 13 : at % 78 === 77 ? 10 : 97 + ((at * 7 + size) % 26);
  if (size >= 4) body.set([97, 97, 13, 10], size - 4);
  // The CR of a line end that was just cut in two.
  if (body[size - 5] === 13) body[size - 5] = 97;
  return body;
}

export interface Mail {
  readonly sender?: string;
  readonly recipients?: readonly string[];
  readonly receivedAt?: number;
}

/** Commits a message and resolves with its id. */
export async function put(spool: Spool, body: Buffer, mail: Mail = {}): Promise<MessageId> {
  const draft = spool.begin();
  for (let at = 0; at < body.length; at += 65_536) await draft.write(body.subarray(at, at + 65_536));
  await draft.commit({
    envelope: {
      sender: mail.sender ?? 'sender@example.org',
      recipients: mail.recipients ?? ['one@example.com', 'two@example.com'],
      eightBit: true,
      smtpUtf8: false,
    },
    receivedAt: mail.receivedAt ?? START,
  });
  return draft.id;
}

export async function bodyOf(spool: Spool, id: MessageId): Promise<Buffer> {
  const chunks: Buffer[] = [];
  for await (const chunk of spool.read(id)) chunks.push(chunk);
  return Buffer.concat(chunks);
}

export const pending: readonly Recipient[] = [
  { address: 'one@example.com', state: 'delivered', provider: 'first', reply: '250 ok', at: START },
  { address: 'two@example.com', state: 'pending', reply: '451 later', at: START },
];
export const over: readonly Recipient[] = [
  { address: 'one@example.com', state: 'rejected', reply: '550 5.1.1 no such user', at: START },
  { address: 'two@example.com', state: 'expired', reply: '451 later', at: START },
];

/** The same, when their sender has been told. */
export const told: readonly Recipient[] = over.map(one => ({ ...one, bounced: true }));

/** Commits the bounce that tells of both, and resolves with its id. */
export async function owe(spool: Spool, about: MessageId, body: Buffer): Promise<MessageId> {
  const draft = spool.begin({ owed: true });
  for (let at = 0; at < body.length; at += 65_536) await draft.write(body.subarray(at, at + 65_536));
  const envelope = { sender: '', recipients: ['sender@example.org'], eightBit: false, smtpUtf8: false };
  await draft.commit({ envelope, receivedAt: START }, { id: about, recipients: told });
  return draft.id;
}

/** Names in a directory of the spool, sorted. */
export async function namesIn(directory: string, name: string): Promise<readonly string[]> {
  return (await readdir(join(directory, name))).sort();
}

export function fail(spool: Spool, id: MessageId, dueAt: number): Promise<void> {
  return spool.settle(id, { kind: 'failed', recipients: pending, dueAt, reason: 'no provider' });
}

export function bury(spool: Spool, id: MessageId): Promise<void> {
  return spool.settle(id, { kind: 'dead', recipients: over, reason: 'rejected' });
}
