import assert from 'node:assert/strict';
import { mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, test } from 'node:test';
import { IN_FLIGHT_FILE, type InFlightNotes, openInFlight } from '../../../relay/spool/in-flight.ts';
import type { MessageId } from '../../../relay/spool/message.ts';
import type { InFlight } from '../../../relay/spool/spool.ts';

const idOf = (count: number): MessageId => `0m${String(count).padStart(15, '0')}` as MessageId;
const note = (uncertain: readonly number[], accepted: readonly number[] = []): InFlight => ({
  provider: 'p',
  uncertain,
  accepted,
});

describe('notes of what is under way', () => {
  let directory: string;
  const open: InFlightNotes[] = [];
  const troubles: string[] = [];

  beforeEach(async () => {
    directory = await mkdtemp(join(tmpdir(), 'mailrelay-in-flight-'));
    troubles.length = 0;
  });
  afterEach(async () => {
    for (const notes of open.splice(0)) notes.close();
    await rm(directory, { recursive: true });
  });

  /** As the next process finds them: the one before is not asked. */
  async function opened(waits: (id: MessageId) => boolean = () => true): Promise<InFlightNotes> {
    const failed = (message: string): number => troubles.push(message);
    const notes = await openInFlight({ directory, waits: async id => waits(id), failed });
    open.push(notes);
    return notes;
  }

  test('are there for the next process, the last one of each message', async () => {
    const notes = await opened();
    notes.put(idOf(1), note([0, 1, 2, 5]));
    notes.put(idOf(2), note([0]));
    notes.put(idOf(2), note([7], [0, 1]));
    const next = await opened();
    assert.deepEqual(next.left(idOf(1)), note([0, 1, 2, 5]));
    assert.deepEqual(next.left(idOf(2)), note([7], [0, 1]));
    assert.equal(next.left(idOf(3)), undefined);
  });

  test('of messages that are settled leave nobody in doubt', async () => {
    const notes = await opened();
    notes.put(idOf(1), note([0]));
    notes.forget(idOf(1));
    notes.put(idOf(2), note([0]));
    notes.put(idOf(2), note([]));
    const next = await opened();
    assert.deepEqual([next.left(idOf(1)), next.left(idOf(2))], [undefined, undefined]);
  });

  test('of a message that runs again do not hide what is noted of it then', async () => {
    const notes = await opened();
    notes.put(idOf(1), note([], [0]));
    notes.put(idOf(2), note([0]));
    // Its other recipients wait for the next round, which takes another slot.
    notes.forget(idOf(1));
    notes.forget(idOf(2));
    notes.put(idOf(1), note([1]));
    assert.deepEqual((await opened()).left(idOf(1)), note([1]));
  });

  test('of the process before stay until what they say is settled', async () => {
    (await opened()).put(idOf(1), note([0]));
    await opened();
    const third = await opened();
    assert.deepEqual(third.left(idOf(1)), note([0]));
    third.forget(idOf(1));
    assert.equal(third.left(idOf(1)), undefined);
    assert.equal((await opened()).left(idOf(1)), undefined);
  });

  test('of messages that are over are dropped', async () => {
    const notes = await opened();
    notes.put(idOf(1), note([], [0]));
    notes.put(idOf(2), note([0]));
    const next = await opened(id => id === idOf(2));
    assert.deepEqual([next.left(idOf(1)), next.left(idOf(2))], [undefined, note([0])]);
  });

  test('take no more room than what runs at a time', async () => {
    const notes = await opened();
    for (let count = 0; count < 5000; count++) {
      notes.put(idOf(count), note([0]));
      notes.put(idOf(count), note([], [0]));
      notes.drop(idOf(count));
    }
    assert.ok((await stat(join(directory, IN_FLIGHT_FILE))).size <= 16_384);
    for (let count = 0; count < 200; count++) notes.put(idOf(count), note([count]));
    const next = await opened();
    for (let count = 0; count < 200; count++) assert.deepEqual(next.left(idOf(count)), note([count]));
  });

  test('that have no room for everyone in doubt call more so, never fewer', async () => {
    const scattered = Array.from({ length: 400 }, (_, index) => index * 2);
    (await opened()).put(idOf(1), { ...note(scattered), provider: 'x'.repeat(300) });
    const found = new Set((await opened()).left(idOf(1))?.uncertain);
    assert.ok(scattered.every(index => found.has(index)));
  });

  test('that have no room for who surely has it stay as they were: in doubt', async () => {
    const scattered = Array.from({ length: 400 }, (_, index) => index * 2);
    const notes = await opened();
    notes.put(idOf(1), note(scattered));
    notes.put(idOf(1), note([], scattered));
    const found = (await opened()).left(idOf(1));
    assert.deepEqual(found?.accepted, []);
    assert.equal(found?.uncertain.includes(scattered.at(-1)!), true);
  });

  test('that are garbage are not believed', async () => {
    const lines = [
      '["../../etc/passwd","0",""]',
      '[1,2,3]',
      '["',
      '\0\0\0',
      `["${idOf(1)}","0-9999999999",""]`,
    ];
    await writeFile(join(directory, IN_FLIGHT_FILE), lines.map(line => line.padEnd(256)).join(''));
    const notes = await opened();
    assert.ok((notes.left(idOf(1))?.uncertain.length ?? 0) <= 100_000);
    notes.put(idOf(2), note([3]));
    assert.deepEqual((await opened()).left(idOf(2)), note([3]));
    assert.equal(
      (await readFile(join(directory, IN_FLIGHT_FILE), 'utf8')).includes('passwd'),
      true,
      'a free slot',
    );
  });

  test('that cannot be written are told of once, and nothing else happens', async () => {
    await rm(directory, { recursive: true });
    const notes = await opened();
    for (let count = 0; count < 3; count++) notes.put(idOf(count), note([0]));
    notes.forget(idOf(1));
    assert.equal(troubles.length, 1);
    assert.match(troubles[0] ?? '', /cannot be noted, a kill may repeat it: ENOENT/);
    directory = await mkdtemp(join(tmpdir(), 'mailrelay-in-flight-'));
  });
});
