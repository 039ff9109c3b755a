import assert from 'node:assert/strict';
import {
  mkdir,
  mkdtemp,
  readdir,
  readFile,
  rename,
  rm,
  rmdir,
  stat,
  symlink,
  unlink,
  writeFile,
} from 'node:fs/promises';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { describe, test } from 'node:test';
import { recover } from '../../../relay/spool/recovery.ts';
import { Rows } from '../../../relay/spool/rows.ts';
import { migrate, openDatabase } from '../../../relay/spool/schema.ts';
import { bodyOf, bury, fail, namesIn, put, START, scene, text } from './fixture.ts';

const told = (events: readonly { event: string }[], name: string) => events.filter(one => one.event === name);

describe('recovery', () => {
  test('moves files that no row knows to quarantine, deletes none, and follows no link', async t => {
    const { open, directory, events } = await scene(t);
    await (await open()).close();
    const id = `${'0'.repeat(16)}1`;
    await writeFile(join(directory, 'failed', `${id}.eml`), 'whose');
    await writeFile(join(directory, 'dead', `${id}.eml`), 'whose too');
    await writeFile(join(directory, 'failed', 'notes.txt'), 'mine');
    await symlink('/etc/passwd', join(directory, 'dead', `${'0'.repeat(16)}2.eml`));
    await writeFile(join(directory, 'failed', `${id}.eml.tmp`), 'half');
    await mkdir(join(directory, 'failed', 'folder'));
    const spool = await open();
    assert.deepEqual(
      await namesIn(directory, 'quarantine'),
      [`${id}.eml`, `${id}.eml.1`, `${'0'.repeat(16)}2.eml`, 'notes.txt'].sort(),
    );
    assert.deepEqual(await namesIn(directory, 'failed'), ['folder']);
    assert.deepEqual(await namesIn(directory, 'dead'), []);
    assert.equal(String(await readFile(join(directory, 'quarantine', 'notes.txt'))), 'mine');
    assert.deepEqual(await spool.list({}), []);
    const [event] = told(events, 'spool-quarantined') as { count?: number; message?: string }[];
    assert.equal(event?.count, 4);
    assert.match(event?.message ?? '', /notes\.txt/);
  });

  test('moves names that are no UTF-8 as they are, byte for byte', async t => {
    const { open, directory, events } = await scene(t);
    await (await open()).close();
    const name = Buffer.from('M\xfcller.eml', 'latin1');
    const within = (folder: string) => Buffer.concat([Buffer.from(`${join(directory, folder)}/`), name]);
    await writeFile(within('failed'), 'first');
    await writeFile(within('dead'), 'second');
    await open();
    assert.deepEqual(await namesIn(directory, 'failed'), []);
    assert.deepEqual(await namesIn(directory, 'dead'), []);
    assert.equal(String(await readFile(within('quarantine'))), 'first');
    assert.equal(String(await readFile(Buffer.concat([within('quarantine'), Buffer.from('.1')]))), 'second');
    const [event] = told(events, 'spool-quarantined') as { count?: number; message?: string }[];
    assert.equal(event?.count, 2);
    assert.match(event?.message ?? '', /M\ufffdller\.eml/);
  });

  test('passes over and tells of a file that cannot be moved to quarantine', async t => {
    const { open, directory, events } = await scene(t);
    const elsewhere = await mkdtemp('/dev/shm/quarantine-').catch(() => undefined);
    if (elsewhere === undefined) return t.skip('there is no second file system to write to');
    t.after(() => rm(elsewhere, { recursive: true }));
    const first = await open();
    const id = await put(first, text(100));
    await fail(first, id, START);
    await first.close();
    if ((await stat(elsewhere)).dev === (await stat(directory)).dev)
      return t.skip('one file system has both');
    await rmdir(join(directory, 'quarantine'));
    await symlink(elsewhere, join(directory, 'quarantine'));
    await writeFile(join(directory, 'failed', 'notes.txt'), 'mine');
    const second = await open();
    assert.deepEqual(await bodyOf(second, id), text(100));
    assert.deepEqual(await namesIn(directory, 'failed'), [`${id}.eml`, 'notes.txt'].sort());
    assert.deepEqual(told(events, 'spool-quarantined'), []);
    const [event] = told(events, 'spool-trouble') as { message?: string }[];
    assert.match(event?.message ?? '', /1 file that no message knows .*stays .*notes\.txt.*EXDEV/);
  });

  test('puts a body that lies in the wrong directory where its row says', async t => {
    const { open, directory } = await scene(t);
    const first = await open();
    const failed = await put(first, text(100));
    const dead = await put(first, text(200));
    await fail(first, failed, START);
    await bury(first, dead);
    await first.close();
    await rename(join(directory, 'failed', `${failed}.eml`), join(directory, 'dead', `${failed}.eml`));
    await rename(join(directory, 'dead', `${dead}.eml`), join(directory, 'failed', `${dead}.eml`));
    const second = await open();
    assert.deepEqual(await namesIn(directory, 'failed'), [`${failed}.eml`]);
    assert.deepEqual(await namesIn(directory, 'dead'), [`${dead}.eml`]);
    assert.deepEqual(await bodyOf(second, failed), text(100));
    assert.deepEqual(await bodyOf(second, dead), text(200));
  });

  test('buries a message whose file is gone, says so, and takes it up again when the file is back', async t => {
    const { open, directory, events } = await scene(t);
    const first = await open();
    const lost = await put(first, text(100));
    const other = await put(first, text(50));
    await fail(first, lost, START);
    await fail(first, other, START);
    await first.close();
    const path = join(directory, 'failed', `${lost}.eml`);
    const body = await readFile(path);
    await unlink(path);
    const second = await open();
    const [message] = await second.list({ ids: [lost] });
    assert.equal(message?.state, 'dead');
    assert.match(message?.reason ?? '', /body missing: emails\/failed\/.*no provider/);
    assert.deepEqual(
      message?.recipients.map(one => one.state),
      ['delivered', 'expired'],
    );
    assert.equal(told(events, 'message-dead').length, 1);
    assert.equal(second.counts().dead.messages, 1);
    assert.equal(second.counts().failed.messages, 1);
    await assert.rejects(bodyOf(second, lost), { kind: 'not-found' });
    await second.close();
    await writeFile(path, body);
    const third = await open();
    assert.deepEqual(await bodyOf(third, lost), text(100));
    assert.deepEqual(await namesIn(directory, 'dead'), [`${lost}.eml`]);
    assert.equal(await third.resend({ ids: [lost] }), 1);
  });

  test('sweeps the chunks of a large message that was never committed', async t => {
    const { open, directory } = await scene(t);
    const first = await open();
    const draft = first.begin();
    for (let i = 0; i < 20; i++) await draft.write(text(65_536));
    await first.close();
    const second = await open();
    await second.close();
    const database = new DatabaseSync(join(directory, 'queue.db'));
    assert.equal(database.prepare('SELECT count(*) AS c FROM chunk').get()?.['c'], 0);
    assert.equal(database.prepare('SELECT count(*) AS c FROM draft').get()?.['c'], 0);
    database.close();
  });

  test('leaves those chunks to the next start where no room can be made to remove them', async t => {
    const { open, directory } = await scene(t);
    const spool = await open();
    const id = await put(spool, text(10));
    const draft = spool.begin();
    for (let i = 0; i < 20; i++) await draft.write(text(65_536));
    await spool.close();
    const database = openDatabase(join(directory, 'queue.db'));
    // As on a full volume: to delete takes a page that there is not.
    database.exec(`
      CREATE TABLE log (data BLOB);
      CREATE TRIGGER full BEFORE DELETE ON draft BEGIN INSERT INTO log VALUES (zeroblob(5000000)); END;
      PRAGMA max_page_count = 1`);
    const rows = new Rows(database);
    assert.throws(() => recover(directory, rows), /full/);
    const { counts, nextN } = recover(directory, rows, { crowded: true });
    assert.equal(counts.messages(0), 1);
    database.exec('DROP TRIGGER full; DROP TABLE log');
    database.close();
    const next = await open();
    assert.deepEqual(
      (await next.list({})).map(message => message.id),
      [id],
    );
    await next.close();
    const left = new DatabaseSync(join(directory, 'queue.db'));
    assert.equal(left.prepare('SELECT count(*) AS c FROM chunk WHERE key >= 4096 * 2').get()?.['c'], 0);
    assert.ok(nextN > 2, 'no later message gets the number of one whose chunks are still there');
    left.close();
  });

  test('takes no body of a message that is over for a stranger where its removal found no room', async t => {
    const { open, directory } = await scene(t);
    await (await open()).close();
    const database = openDatabase(join(directory, 'queue.db'));
    // One more than is removed at a time.
    const ids = Array.from({ length: 1001 }, (_, n) => String(n).padStart(17, '0'));
    for (const id of ids) {
      database.prepare('INSERT INTO gone (id, place) VALUES (?, 1)').run(id);
      await writeFile(join(directory, 'failed', `${id}.eml`), 'over');
    }
    database.exec(`
      CREATE TABLE log (data BLOB);
      CREATE TRIGGER full BEFORE DELETE ON gone BEGIN INSERT INTO log VALUES (zeroblob(5000000)); END;
      PRAGMA max_page_count = 1`);
    recover(directory, new Rows(database), { crowded: true });
    database.close();
    assert.deepEqual(await namesIn(directory, 'failed'), []);
    assert.deepEqual(await namesIn(directory, 'quarantine'), []);
  });

  test('removes what a store left that was killed while it asked the volume for room', async t => {
    const { open, directory } = await scene(t);
    await (await open()).close();
    await writeFile(join(directory, 'room.tmp'), 'x');
    await open();
    assert.ok(!(await readdir(directory)).includes('room.tmp'));
  });

  test('goes on after an id and a number that are taken', async t => {
    const { open, clock } = await scene(t);
    const first = await open();
    const a = await put(first, text(1));
    await first.close();
    clock.now = START - 1e9;
    const second = await open();
    const b = await put(second, text(2));
    assert.ok(b > a);
    assert.equal((await second.list({})).length, 2);
  });
});

describe('the schema', () => {
  test('of a newer program is refused with both versions named', async t => {
    const { open, directory } = await scene(t);
    await (await open()).close();
    const database = new DatabaseSync(join(directory, 'queue.db'));
    database.exec('PRAGMA user_version = 9');
    database.close();
    await assert.rejects(open(), {
      kind: 'corrupt',
      message: /queue\.db has schema version 9, this program knows up to 1/,
    });
  });

  test('is brought up one version at a time, and a step that fails leaves the last whole one', t => {
    const database = new DatabaseSync(':memory:');
    t.after(() => database.close());
    const steps = ['CREATE TABLE a (x)', 'ALTER TABLE a ADD COLUMN y'];
    migrate(database, 'queue.db', steps.slice(0, 1));
    database.exec('INSERT INTO a (x) VALUES (1)');
    migrate(database, 'queue.db', steps);
    assert.deepEqual({ ...database.prepare('SELECT * FROM a').get() }, { x: 1, y: null });
    assert.throws(() => migrate(database, 'queue.db', [...steps, 'CREATE TABLE b (x); CREATE TABLE a (x)']));
    database.exec('ROLLBACK');
    assert.equal(database.prepare('PRAGMA user_version').get()?.['user_version'], 2);
  });

  test('a file that is no database is refused and left alone', async t => {
    const { open, directory } = await scene(t);
    await mkdir(directory, { recursive: true });
    await writeFile(join(directory, 'queue.db'), 'this is no database at all, '.repeat(100));
    await assert.rejects(open(), { kind: 'corrupt' });
    assert.match(String(await readFile(join(directory, 'queue.db'))), /^this is no database/);
  });

  test('a damaged database is found after an unclean end', async t => {
    const { open, directory } = await scene(t);
    const spool = await open();
    for (let i = 0; i < 50; i++) await put(spool, text(3000));
    await spool.close();
    const file = join(directory, 'queue.db');
    const bytes = await readFile(file);
    bytes.fill(0xee, 8192 * 2, 8192 * 12);
    await writeFile(file, bytes);
    await writeFile(join(directory, 'owner.json'), '{"pid":1,"host":"x","since":"","beat":1}');
    await assert.rejects(open(), { kind: 'corrupt' });
  });

  test('keeps the settings that durability rests on', async t => {
    const { directory } = await scene(t);
    await mkdir(directory, { recursive: true });
    const database = openDatabase(join(directory, 'queue.db'));
    t.after(() => database.close());
    const value = (name: string) => Object.values(database.prepare(`PRAGMA ${name}`).get() ?? {})[0];
    assert.equal(value('journal_mode'), 'wal');
    assert.equal(value('synchronous'), 2);
    assert.equal(value('locking_mode'), 'exclusive');
    assert.equal(value('page_size'), 8192);
  });
});
