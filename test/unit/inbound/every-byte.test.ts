/**
 * A client that is gone after any byte of its session, in step with the
 * answers, in clear and encrypted, against the real store: a mail is stored
 * when its final dot has come and not otherwise, what was told to be queued is
 * there, and of all the others nothing is left, neither on the listener nor on
 * disk.
 */
import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { describe, type TestContext, test } from 'node:test';
import { type Listener, openListener } from '../../../relay/inbound/listener.ts';
import { type OpenSpool, openSpool } from '../../../relay/spool/open.ts';
import type { RelayEvent } from '../../../relay/telemetry/events.ts';
import { until } from '../../smtp/wait.ts';
import { Client, defaults, makeCertificate } from './harness.ts';

/** Clients at a time. */
const CLIENTS = 16;

type Way = 'FIN' | 'RST';

interface Rig {
  readonly listener: Listener;
  readonly spool: OpenSpool;
  readonly events: RelayEvent[];
  readonly directory: string;
}

async function open(t: TestContext): Promise<Rig> {
  const directory = await mkdtemp(join(tmpdir(), 'mailrelay-inbound-'));
  const events: RelayEvent[] = [];
  const emit = (event: RelayEvent): number => events.push(event);
  const spool = await openSpool({
    directory,
    now: Date.now,
    emit,
    maxMessageBytes: 5_000_000,
    reserveBytes: 1,
    retention: { ageMs: 1e9, maxMessages: 10, maxBytes: 1e9 },
  });
  const config = { ...defaults, maxMessageBytes: 5_000_000, tls: makeCertificate() };
  const listener = await openListener(config, { spool, emit, now: Date.now });
  t.after(async () => {
    await listener.close(0);
    await spool.close();
    await rm(directory, { recursive: true });
  });
  return { listener, spool, events, directory };
}

const HEAD = 'Subject: s\r\nDate: d\r\nMessage-ID: <m@x>\r\n\r\n';

/** What is said, each part answered before the next. */
function session(text: string): readonly string[] {
  const mail = `${HEAD}${text}.\r\n`;
  return ['EHLO x\r\n', 'MAIL FROM:<a@b.c>\r\n', 'RCPT TO:<d@e.f>\r\n', 'DATA\r\n', mail, 'QUIT\r\n'];
}

const lengthOf = (parts: readonly string[]): number => parts.join('').length;

/** Says so many bytes of it and goes, without waiting for the answer to the last of them. Resolves with the id that was told. */
async function leave(
  client: Client,
  parts: readonly string[],
  bytes: number,
  by: Way,
): Promise<string | undefined> {
  let left = bytes;
  let told: string | undefined;
  for (const part of parts) {
    const piece = part.slice(0, left);
    left -= piece.length;
    if (piece !== '') await new Promise(resolve => client.socket.write(piece, resolve));
    if (left === 0) break;
    told ??= /queued as (\w+)/.exec(await client.reply())?.[1];
  }
  if (by === 'FIN') client.socket.end();
  else client.reset();
  await client.closed();
  return told;
}

interface Result {
  /** Ids that were told. */
  readonly told: readonly string[];
  /** Sessions that said their final dot. */
  readonly whole: number;
}

async function leaveAt(
  rig: Rig,
  parts: readonly string[],
  cuts: readonly number[],
  manner: { by: Way; tls: boolean },
): Promise<Result> {
  const told: string[] = [];
  const complete = lengthOf(parts.slice(0, 5));
  const work = cuts.values();
  const run = async (): Promise<void> => {
    for (const bytes of work) {
      const client = await Client.open(rig.listener.address.port);
      await client.reply();
      if (manner.tls) {
        await client.say('EHLO x');
        await client.startTls();
      }
      const id = await leave(client, parts, bytes, manner.by);
      if (id !== undefined) told.push(id);
    }
  };
  await Promise.all(Array.from({ length: CLIENTS }, run));
  await until(() => rig.listener.connections() === 0, 'all connections to be over');
  return { told, whole: cuts.filter(bytes => bytes >= complete).length };
}

async function bodyOf({ spool }: Rig, id: Parameters<OpenSpool['read']>[0]): Promise<string> {
  return Buffer.concat(await Array.fromAsync(spool.read(id))).toString('latin1');
}

/** What is stored is what was told, and whole; of the rest no row and no piece is left. */
async function assertStored(rig: Rig, text: string, { told, whole }: Result, by: Way): Promise<void> {
  const stored = await rig.spool.list({ limit: 10_000 });
  const ids = new Set<string>(stored.map(({ id }) => id));
  for (const id of told) assert.ok(ids.has(id), `${id} was told and is not there`);
  // A reset may overtake the dot before it, or what was answered to it.
  if (by === 'FIN') assert.equal(stored.length, whole);
  else assert.ok(stored.length >= told.length && stored.length <= whole, `${stored.length} of ${whole}`);
  for (const { id } of stored) {
    const body = await bodyOf(rig, id);
    assert.equal(body.slice(body.indexOf(HEAD)), HEAD + text, id);
  }
  const accepted = rig.events.flatMap(event => (event.event === 'message-accepted' ? [event.id] : []));
  assert.deepEqual(new Set(accepted), ids);
  await rig.listener.close(0);
  await rig.spool.close();
  const database = new DatabaseSync(join(rig.directory, 'queue.db'), { readOnly: true });
  const rows = (sql: string): number => Number(Object.values(database.prepare(sql).get() ?? {})[0]);
  try {
    assert.equal(rows('SELECT count(*) FROM draft'), 0, 'drafts');
    assert.equal(rows('SELECT count(*) FROM message'), stored.length);
    assert.equal(
      rows('SELECT count(*) FROM chunk WHERE key / 4096 NOT IN (SELECT n FROM message)'),
      0,
      'pieces of nothing',
    );
  } finally {
    database.close();
  }
}

const every = (count: number): number[] => Array.from({ length: count + 1 }, (_, index) => index);

describe('a client that is gone after any byte', () => {
  for (const by of ['FIN', 'RST'] as const) {
    for (const tls of [false, true]) {
      test(`of a short session ${tls ? 'after STARTTLS' : 'in clear'}, by ${by}`, async t => {
        const rig = await open(t);
        const parts = session('body\r\n');
        const result = await leaveAt(rig, parts, every(lengthOf(parts)), { by, tls });
        assert.ok(result.told.length >= 6, `${result.told.length} were told`);
        await assertStored(rig, 'body\r\n', result, by);
      });
    }

    // Its pieces go ahead to the disk.
    test(`of a mail of 700 KB, by ${by}`, async t => {
      const rig = await open(t);
      const text = `${'x'.repeat(98)}\r\n`.repeat(7000);
      const parts = session(text);
      const end = lengthOf(parts.slice(0, 5));
      const within = every(40)
        .map(step => end - step * 17_001)
        .filter(bytes => bytes > 0);
      const near = every(8).map(step => end - step);
      const result = await leaveAt(rig, parts, [...within, ...near, end, end + 1], { by, tls: false });
      await assertStored(rig, text, result, by);
    });
  }
});
