/**
 * The store: the one owner of the database, in a worker thread. Takes the
 * operations that wait, runs them as one batch, answers them together, and
 * writes the log back between batches. It alone changes what is on disk.
 */
import type { DatabaseSync, StatementSync } from 'node:sqlite';
import type { RelayEvent } from '../telemetry/events.ts';
import { Ballast } from './ballast.ts';
import { Batch, type Outcome, type Task } from './batch.ts';
import type { StepHook } from './body-files.ts';
import { Claims, type Counts } from './claims.ts';
import { Gauges, OLDEST_EVERY_MS, type Reading } from './gauges.ts';
import { MissingBody } from './move-body.ts';
import { Mover } from './mover.ts';
import { Operations } from './operations.ts';
import type { Answer, Counters, Report, Request, StoreOptions } from './protocol.ts';
import { troubleIn } from './room-probe.ts';
import { Rows } from './rows.ts';
import { ballastBytes, logBytes, logPages } from './schema.ts';
import { Settling } from './settling.ts';
import { describe, type Trouble } from './trouble.ts';

export interface StoreParts {
  readonly database: DatabaseSync;
  readonly counts: Counts;
  readonly options: StoreOptions;
  readonly report: (report: Report) => void;
  /** Gives up ownership of the directory. */
  readonly leave: () => void;
  readonly step: StepHook | undefined;
}

export class Store {
  readonly #parts: StoreParts;
  readonly #gauges: Gauges;
  readonly #claims = new Claims();
  readonly #batch: Batch;
  readonly #mover: Mover;
  readonly #operations: Operations;
  readonly #ballast: Ballast;
  readonly #logState: StatementSync;
  readonly #writeBack: StatementSync;
  #waiting: Task[] = [];
  #answers: Answer[] = [];
  #events: RelayEvent[] = [];
  #now: number;
  readonly #logPages: number;
  readonly #mostBytes: number;
  #nextCheckpoint: number;
  /** Pages of the log that are not in the database yet. */
  #logAhead = 0;
  #scheduled = false;
  #turning = false;
  #closed = false;
  #strandedAt = 0;
  #lookTimer: NodeJS.Timeout | undefined;

  constructor(parts: StoreParts) {
    const { database, options, step } = parts;
    this.#parts = parts;
    this.#now = options.now;
    this.#logPages = logPages(options.volumeBytes);
    this.#mostBytes = logBytes(options.volumeBytes);
    this.#nextCheckpoint = this.#logPages;
    const rows = new Rows(database);
    this.#gauges = new Gauges(rows);
    this.#logState = database.prepare('PRAGMA wal_checkpoint(NOOP)');
    this.#writeBack = database.prepare('PRAGMA wal_checkpoint(PASSIVE)');
    this.#ballast = new Ballast(options.directory, ballastBytes(options.volumeBytes));
    this.#mover = new Mover({
      directory: options.directory,
      failed: error => this.#filesFailed(error),
      step,
    });
    this.#batch = new Batch({
      database,
      claims: this.#claims,
      counts: parts.counts,
      troubleOf: error => this.#troubleOf(error),
      makeRoom: () => this.#makeRoom(),
      failed: error => this.#tellFailure(describe(error)),
      step,
    });
    const shared = { rows, claims: this.#claims, counts: parts.counts, now: () => this.#now };
    const settling = new Settling({
      ...shared,
      mover: this.#mover,
      batch: this.#batch,
      submit: task => this.#submit(task),
      stranded: (id, problem) => this.#stranded(id, problem),
    });
    this.#operations = new Operations({ ...shared, settling, mover: this.#mover });
  }

  /** Lays in the ballast; apart from the start, which it would make slower by a tenth of a second. */
  prepareForFullDisk(): void {
    this.#ballast.restore();
  }

  /** Takes in operations; they run with the next turn(). */
  receive(request: Request): void {
    this.#now = request.now;
    for (const [index, op] of request.ops.entries()) {
      const call = request.first + index;
      const reply = (outcome: Outcome) => this.#answer({ call, ...outcome });
      this.#waiting.push(this.#operations.task(op, reply));
    }
  }

  #answer(answer: Answer): void {
    this.#answers.push(answer);
    // One that comes between batches has no report of its own to go with.
    if (!this.#turning) this.#schedule();
  }

  /** One batch: everything that waits, then the answers, then the log when it has grown. */
  turn(): void {
    do {
      this.#turning = true;
      this.#batch.run(this.#cut());
      this.#turning = false;
      this.#reportNow(false);
      this.#checkpoint();
    } while (this.#waiting.length > 0);
  }

  /** What waits, but no more than the log may hold between two looks at its length. */
  #cut(): readonly Task[] {
    let bytes = 0;
    const end = this.#waiting.findIndex(task => {
      bytes += task.bytes;
      return bytes > this.#mostBytes;
    });
    // One task alone may be larger.
    return this.#waiting.splice(0, end === -1 ? this.#waiting.length : Math.max(1, end));
  }

  /** Finishes what waits, writes the log back whole and closes. */
  async close(): Promise<void> {
    do {
      this.turn();
      await new Promise<void>(resolve => this.#mover.whenIdle(resolve));
    } while (this.#waiting.length > 0);
    this.#closed = true;
    clearTimeout(this.#lookTimer);
    try {
      if (this.#batch.failure() === undefined) {
        this.#parts.database.exec('PRAGMA wal_checkpoint(TRUNCATE)');
        // Before the lock goes: afterwards the file may be the next owner's.
        this.#parts.leave();
      }
      this.#parts.database.close();
    } catch (error) {
      // All that was answered is in the log, which the next start reads. Where it was for want of room that start
      // is none the worse; else it should be expected to fail, too.
      if (this.#troubleOf(error) !== 'full') this.#loseTrust(error);
    }
    this.#reportNow(true);
  }

  counters(): Counters {
    return this.#parts.counts.with(this.#readGauges());
  }

  #submit(task: Task): void {
    this.#waiting.push(task);
    this.#schedule();
  }

  #schedule(): void {
    if (this.#scheduled || this.#closed) return;
    this.#scheduled = true;
    setImmediate(() => {
      this.#scheduled = false;
      if (!this.#closed) this.turn();
    });
  }

  #reportNow(closed: boolean): void {
    const answers = this.#answers;
    const events = this.#events;
    if (answers.length === 0 && events.length === 0 && !closed) return;
    this.#answers = [];
    this.#events = [];
    const counters = closed ? this.#parts.counts.with(this.#gauges.last) : this.counters();
    if (!closed) this.#lookAgainLater();
    this.#parts.report({
      type: 'answers',
      answers,
      counters,
      events,
      failure: this.#batch.failure(),
      closed,
    });
  }

  /** The ages told with the last batch of a burst may be those of its beginning. */
  #lookAgainLater(): void {
    if (this.#lookTimer !== undefined) return;
    this.#lookTimer = setTimeout(() => {
      this.#lookTimer = undefined;
      if (this.#closed) return;
      const counters = this.counters();
      const failure = this.#batch.failure();
      this.#parts.report({ type: 'answers', answers: [], counters, events: [], failure, closed: false });
    }, OLDEST_EVERY_MS);
    this.#lookTimer.unref();
  }

  #readGauges(): Reading {
    if (this.#batch.failure() !== undefined) return this.#gauges.last;
    try {
      return this.#gauges.read(this.#logAhead);
    } catch (error) {
      this.#loseTrust(error);
      return this.#gauges.last;
    }
  }

  /** Writes the log back when it is long; errors other than a full disk end the trust. */
  #checkpoint(): void {
    if (this.#batch.failure() !== undefined) return;
    try {
      const { log, checkpointed } = this.#logState.get() as { log: number; checkpointed: number };
      this.#logAhead = log - checkpointed;
      if (this.#logAhead < this.#nextCheckpoint) return;
      this.#writeBack.get();
      this.#logAhead = 0;
      this.#nextCheckpoint = this.#logPages;
      this.#ballast.restore();
    } catch (error) {
      if (this.#troubleOf(error) === 'full') this.#nextCheckpoint += this.#logPages;
      else this.#loseTrust(error);
    }
  }

  /** A full disk: the ballast goes, and the log is started over so that it need not grow. */
  #makeRoom(): void {
    this.#ballast.release();
    try {
      this.#writeBack.get();
    } catch (error) {
      if (this.#troubleOf(error) !== 'full') this.#loseTrust(error);
    }
  }

  #troubleOf(error: unknown): Trouble {
    const { directory, volumeBytes } = this.#parts.options;
    return troubleIn(directory, ballastBytes(volumeBytes), error);
  }

  #loseTrust(error: unknown): void {
    if (this.#batch.failure() !== undefined) return;
    this.#batch.fail(`the queue database failed: ${describe(error)}`);
    this.#tellFailure(describe(error));
  }

  #filesFailed(error: unknown): void {
    this.#batch.fail(`a file of the spool failed: ${describe(error)}`);
    this.#tellFailure(describe(error));
    this.#schedule();
  }

  #tellFailure(message: string): void {
    this.#events.push({ event: 'spool-failed', message: `the store is no longer trusted: ${message}` });
  }

  #stranded(id: string, problem: unknown): void {
    if (this.#now - this.#strandedAt < 60_000) return;
    this.#strandedAt = this.#now;
    const what = problem instanceof MissingBody ? 'is missing' : 'could not be moved and stays where it is';
    const message = `the body of ${id} ${what}: ${describe(problem)}`;
    this.#events.push({ event: 'spool-trouble', message });
  }
}
