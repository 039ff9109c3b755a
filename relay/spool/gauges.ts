/**
 * What is told with the counts and read from the database: how old the oldest
 * message of each state is, and how much room the file has inside.
 */
import type { StatementSync } from 'node:sqlite';
import { type Counters, STATES } from './protocol.ts';
import type { Rows } from './rows.ts';
import { PAGE_BYTES } from './schema.ts';

/** The age of the oldest message is looked up at most this often. */
export const OLDEST_EVERY_MS = 500;

export type Reading = Omit<Counters, 'messages' | 'bytes'>;

export class Gauges {
  readonly #rows: Rows;
  readonly #freePages: StatementSync;
  #oldest: readonly number[] = STATES.map(() => 0);
  #oldestAt = 0;
  #spareBytes = 0;

  constructor(rows: Rows) {
    this.#rows = rows;
    this.#freePages = rows.database.prepare('PRAGMA freelist_count');
  }

  /** As it was found last. */
  get last(): Reading {
    return { oldest: this.#oldest, spareBytes: this.#spareBytes };
  }

  /** Spare room as it is now, ages as of half a second ago at most. `logAhead`: pages that the log may add. Throws what SQLite does. */
  read(logAhead: number): Reading {
    // Elapsed time, not the clock, which may step.
    const at = performance.now();
    if (at - this.#oldestAt >= OLDEST_EVERY_MS) {
      this.#oldestAt = at;
      this.#oldest = STATES.map((_, state) => this.#rows.oldest(state));
    }
    const { freelist_count: pages } = this.#freePages.get() as { freelist_count: number };
    this.#spareBytes = (pages - logAhead) * PAGE_BYTES;
    return this.last;
  }
}
