/**
 * Puts a directory in order before the store begins: every message ends in
 * exactly one place, the row being the authority on which. A file that no row
 * knows goes to quarantine and is never deleted; a row whose file is gone is
 * dead and says so. Memory does not grow with the number of messages.
 */
import { closeSync, type Dirent, fsyncSync, mkdirSync, openSync, renameSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import type { RelayEvent } from '../telemetry/events.ts';
import { bodyDirectory, bodyPath, TEMPORARY } from './body-files.ts';
import { Counts } from './claims.ts';
import type { MessageId } from './message.ts';
import { isMessageId } from './message-id.ts';
import { buryMissing, exists } from './missing-bodies.ts';
import {
  CHUNKS_PER_MESSAGE,
  IN_DATABASE,
  IN_DEAD,
  IN_FAILED,
  NOWHERE,
  type Place,
  STATES,
} from './protocol.ts';
import { troubleIn } from './room-probe.ts';
import type { Rows } from './rows.ts';
import { Sample } from './sample.ts';
import { entriesOf, Strays } from './strays.ts';
import { transaction } from './transaction.ts';

const SUFFIX = '.eml';
const STEP = 1000;
/** More than one step of tidying writes at its end, the rest of it being freed already. */
const TIDYING_BYTES = 256 * 1024;
/** Events about single messages; the number of all is in the last one. */
const EVENTS = 100;

export interface Recovered {
  readonly counts: Counts;
  /** The number of the next message. */
  readonly nextN: number;
  /** The greatest id in the store. */
  readonly lastId: MessageId | undefined;
  /** When the last round began of all that wait in emails/failed, 0 when none does. */
  readonly lastTriedAt: number;
  readonly events: readonly RelayEvent[];
}

/**
 * Brings files and rows together. May throw errors of SQLite and of files; doing it again is harmless. `crowded`: there
 * is no room that could still be made, so what only tidies up is left to the next start when it finds none.
 */
export function recover(directory: string, rows: Rows, { crowded = false } = {}): Recovered {
  return new Recovery(directory, rows, crowded).run();
}

class Recovery {
  readonly #directory: string;
  readonly #rows: Rows;
  readonly #crowded: boolean;
  readonly #found = new Map<Place, number>();
  readonly #strays: Strays;
  readonly #missing = new Sample<MessageId>(EVENTS);
  #drafts = 0;
  #finished = 0;
  #replaced = 0;

  constructor(directory: string, rows: Rows, crowded: boolean) {
    this.#directory = directory;
    this.#rows = rows;
    this.#crowded = crowded;
    this.#strays = new Strays(directory);
  }

  run(): Recovered {
    for (const name of ['failed', 'dead', 'quarantine'])
      mkdirSync(join(this.#directory, name), { recursive: true });
    this.#tidy(() => this.#dropDrafts());
    this.#tidy(() => this.#finishRemovals());
    for (const place of [IN_FAILED, IN_DEAD] as const) this.#scan(place);
    for (const name of ['failed', 'dead', 'quarantine', '.']) syncNow(join(this.#directory, name));
    for (const place of [IN_FAILED, IN_DEAD] as const) this.#buryMissing(place);
    const counts = this.#count();
    const [id] = this.#rows.get('SELECT max(id) FROM message') ?? [];
    const lastN = this.#greatest('SELECT max(n) FROM message');
    const lastDraftN = Math.floor(this.#greatest('SELECT max(key) FROM chunk') / CHUNKS_PER_MESSAGE);
    return {
      counts,
      nextN: Math.max(lastN, lastDraftN) + 1,
      lastId: id === null || id === undefined ? undefined : (id as MessageId),
      lastTriedAt: this.#greatest('SELECT max(tried_at) FROM message WHERE state = 1'),
      events: this.#events(counts),
    };
  }

  /** 0 where there is none. */
  #greatest(sql: string): number {
    return Number(this.#rows.get(sql)?.[0] ?? 0);
  }

  #tidy(work: () => void): void {
    try {
      work();
    } catch (error) {
      if (!this.#crowded || troubleIn(this.#directory, TIDYING_BYTES, error) !== 'full') throw error;
    }
  }

  /** Chunks of messages that never got their row. */
  #dropDrafts(): void {
    for (const [n] of this.#rows.all('SELECT n FROM draft')) {
      transaction(this.#rows.database, () => this.#rows.dropDraft(Number(n)));
      this.#drafts++;
    }
  }

  /** Files of messages that are over. */
  #finishRemovals(): void {
    for (;;) {
      const gone = this.#rows.all('SELECT id FROM gone LIMIT ?', STEP);
      if (gone.length === 0) return;
      for (const [id] of gone) {
        for (const place of [IN_FAILED, IN_DEAD] as const) {
          rmSync(bodyPath(this.#directory, place, id as MessageId), { force: true });
        }
      }
      for (const place of [IN_FAILED, IN_DEAD] as const) syncNow(bodyDirectory(this.#directory, place));
      transaction(this.#rows.database, () => {
        for (const [id] of gone) this.#rows.deleteGone(id as MessageId);
      });
      this.#finished += gone.length;
    }
  }

  #scan(place: Place): void {
    for (const entry of entriesOf(bodyDirectory(this.#directory, place))) this.#judge(place, entry);
  }

  #judge(place: Place, entry: Dirent<Buffer>): void {
    // A character for each byte; those of our own names are ASCII.
    const name = entry.name.toString('latin1');
    // NFS keeps unlinked files that are still open under such names.
    if (entry.isDirectory() || name.startsWith('.nfs')) return;
    if (name.endsWith(SUFFIX + TEMPORARY) && isMessageId(name.slice(0, -(SUFFIX + TEMPORARY).length))) {
      rmSync(join(bodyDirectory(this.#directory, place), name), { force: true });
      return;
    }
    const id = name.slice(0, -SUFFIX.length);
    if (!entry.isFile() || !name.endsWith(SUFFIX) || !isMessageId(id)) {
      this.#strays.quarantine(place, entry.name);
      return;
    }
    this.#place(place, id);
  }

  /** A body file that bears an id: the row says where it belongs. */
  #place(place: Place, id: MessageId): void {
    const wanted = this.#rows.get('SELECT place FROM message WHERE id = ?', id)?.[0] as Place | undefined;
    if (wanted === undefined && this.#isGone(id)) {
      rmSync(bodyPath(this.#directory, place, id), { force: true });
    } else if (wanted === undefined) {
      this.#strays.quarantine(place, Buffer.from(`${id}${SUFFIX}`));
    } else if (wanted === place) {
      this.#found.set(place, (this.#found.get(place) ?? 0) + 1);
    } else if (wanted === IN_DATABASE) {
      // The copy of a move that was cut short; the whole body is in the database.
      rmSync(bodyPath(this.#directory, place, id), { force: true });
      this.#replaced++;
    } else {
      this.#restore(place, id, wanted);
    }
  }

  /** The message is over; to say that its file is, too, there was no room. */
  #isGone(id: MessageId): boolean {
    return this.#rows.get('SELECT 1 FROM gone WHERE id = ?', id) !== undefined;
  }

  #restore(place: Place, id: MessageId, wanted: Place): void {
    const home = wanted === NOWHERE ? IN_DEAD : wanted;
    const target = bodyPath(this.#directory, home, id);
    if (place !== home && exists(target)) {
      this.#strays.quarantine(place, Buffer.from(`${id}${SUFFIX}`));
      return;
    }
    if (place !== home) renameSync(bodyPath(this.#directory, place, id), target);
    if (wanted === NOWHERE) {
      this.#rows.run('UPDATE message SET place = ?, reason = ? WHERE id = ?', home, 'body found again', id);
      if (place === home) this.#found.set(home, (this.#found.get(home) ?? 0) + 1);
    }
    this.#replaced++;
  }

  /** Names are unique, so equal numbers mean that every row has its file; else each is looked for. */
  #buryMissing(place: Place): void {
    const [expected] = this.#rows.get('SELECT count(*) FROM message WHERE place = ?', place) ?? [];
    if (expected === (this.#found.get(place) ?? 0)) return;
    buryMissing(this.#directory, this.#rows, place, id => this.#missing.add(id));
  }

  #count(): Counts {
    const counts = new Counts();
    for (const [state, messages, bytes] of this.#rows.all(
      'SELECT state, count(*), sum(size) FROM message GROUP BY state',
    )) {
      counts.add(Number(state), Number(messages), Number(bytes));
    }
    counts.committed();
    return counts;
  }

  #events(counts: Counts): readonly RelayEvent[] {
    const events: RelayEvent[] = [...this.#strays.events()];
    for (const id of this.#missing.first) events.push({ event: 'message-dead', id, reason: 'body missing' });
    const states = STATES.map((name, state) => `${counts.messages(state)} ${name}`);
    const count = STATES.reduce((sum, _, state) => sum + counts.messages(state), 0);
    const work = [
      `${this.#drafts} unfinished dropped`,
      `${this.#finished} removals finished`,
      `${this.#replaced} bodies put in place`,
      `${this.#missing.count} bodies missing`,
    ];
    events.push({ event: 'spool-recovered', message: `${states.join(', ')}; ${work.join(', ')}`, count });
    return events;
  }
}

function syncNow(path: string): void {
  const file = openSync(path, 'r');
  try {
    fsyncSync(file);
  } finally {
    closeSync(file);
  }
}
