/**
 * Group commit: everything that waits goes into one transaction and is
 * answered after its COMMIT. One task's failure is its own; a failed COMMIT
 * is everyone's. Nothing is ever answered as done before it is on disk.
 */
import type { DatabaseSync, StatementSync } from 'node:sqlite';
import type { Claims, Counts } from './claims.ts';
import type { SpoolErrorKind } from './spool.ts';
import { describe, Refusal, type Trouble } from './trouble.ts';

export type Outcome =
  | { readonly value: unknown }
  | { readonly kind: SpoolErrorKind; readonly message: string };

/** Returned by a task that answers later, when its files are where they should be. */
export const LATER = Symbol('later');

export interface Task {
  readonly writes: boolean;
  /** It makes room or is part of sending: tried again with the ballast released when the disk is full. */
  readonly frees: boolean;
  /** About how much it adds to the log. */
  readonly bytes: number;
  run(): unknown;
  answer(outcome: Outcome): void;
}

export interface BatchOptions {
  readonly database: DatabaseSync;
  readonly claims: Claims;
  readonly counts: Counts;
  /** What an error of the database means. */
  readonly troubleOf: (error: unknown) => Trouble;
  /** Makes what room it can. */
  readonly makeRoom: () => void;
  /** Called once, with why the database is no longer to be trusted. */
  readonly failed: (error: unknown) => void;
  readonly step: ((step: string) => void) | undefined;
}

/** What became of one try at a transaction. */
type Attempt = { readonly ok: true } | { readonly ok: false; readonly error: unknown };

export class Batch {
  readonly #options: BatchOptions;
  readonly #begin: StatementSync;
  readonly #commit: StatementSync;
  readonly #rollback: StatementSync;
  #afterCommit: (() => void)[] = [];
  #failure: string | undefined;

  constructor(options: BatchOptions) {
    this.#options = options;
    this.#begin = options.database.prepare('BEGIN IMMEDIATE');
    this.#commit = options.database.prepare('COMMIT');
    this.#rollback = options.database.prepare('ROLLBACK');
  }

  /** Work that may only begin when the transaction of the running task is on disk. */
  afterCommit(work: () => void): void {
    this.#afterCommit.push(work);
  }

  /** Refuses everything from now on. */
  fail(message: string): void {
    this.#failure ??= message;
  }

  failure(): string | undefined {
    return this.#failure;
  }

  /** Runs all, answers all (but those that answer later). Never throws. */
  run(tasks: readonly Task[]): void {
    if (tasks.length === 0) return;
    if (this.#failure !== undefined) {
      refuse(tasks, 'io', this.#failure);
      return;
    }
    const attempt = this.#attempt(tasks);
    if (attempt.ok) return;
    switch (this.#options.troubleOf(attempt.error)) {
      case 'full':
        this.#runWithRoom(tasks, attempt.error);
        return;
      case 'other':
        this.#runApart(tasks, attempt.error);
        return;
      default:
        this.#trustLost(tasks, attempt.error);
    }
  }

  /** New mail is refused; what makes room, and what sending needs, is tried once more. */
  #runWithRoom(tasks: readonly Task[], error: unknown): void {
    const again = tasks.filter(task => task.frees || !task.writes);
    refuse(
      tasks.filter(task => task.writes && !task.frees),
      'disk-full',
      describe(error),
    );
    if (again.length > 0) this.#squeeze(again);
  }

  /** A smaller transaction needs less room in the log, and each may make room for the next. */
  #squeeze(tasks: readonly Task[]): void {
    this.#options.makeRoom();
    if (this.#failure !== undefined) {
      refuse(tasks, 'io', this.#failure);
      return;
    }
    const attempt = this.#attempt(tasks);
    if (attempt.ok) return;
    if (this.#options.troubleOf(attempt.error) !== 'full') {
      this.#trustLost(tasks, attempt.error);
    } else if (tasks.length === 1) {
      refuse(tasks, 'disk-full', describe(attempt.error));
    } else {
      const half = Math.ceil(tasks.length / 2);
      this.#squeeze(tasks.slice(0, half));
      this.#squeeze(tasks.slice(half));
    }
  }

  /** One task broke the transaction: each gets its own, so that only the guilty one fails. */
  #runApart(tasks: readonly Task[], error: unknown): void {
    if (tasks.length > 1) {
      for (const task of tasks) this.run([task]);
    } else {
      refuse(tasks, 'io', describe(error));
    }
  }

  #trustLost(tasks: readonly Task[], error: unknown): void {
    this.fail(`the queue database failed: ${describe(error)}`);
    this.#options.failed(error);
    refuse(tasks, 'io', this.#failure ?? describe(error));
  }

  #attempt(tasks: readonly Task[]): Attempt {
    const writes = tasks.some(task => task.writes);
    const outcomes: (Outcome | typeof LATER)[] = [];
    // Claims that ended with an answer, outside of any transaction, are none of this one's to take back.
    this.#options.claims.committed();
    try {
      if (writes) this.#begin.run();
      for (const task of tasks) outcomes.push(perform(task));
      this.#options.step?.('before-commit');
      if (writes) this.#commit.run();
      this.#options.step?.('after-commit');
    } catch (error) {
      return { ok: false, error: this.#undo() ?? error };
    }
    this.#options.claims.committed();
    this.#options.counts.committed();
    for (const work of this.#afterCommit.splice(0)) work();
    for (const [index, task] of tasks.entries()) {
      const outcome = outcomes[index];
      if (outcome !== undefined && outcome !== LATER) task.answer(outcome);
    }
    return { ok: true };
  }

  /** The error of the rollback itself, after which nothing is certain. */
  #undo(): unknown {
    this.#afterCommit.length = 0;
    this.#options.claims.rolledBack();
    this.#options.counts.rolledBack();
    try {
      // SQLite may have rolled back by itself (lang_transaction.html, "Response To Errors").
      if (this.#options.database.isTransaction) this.#rollback.run();
      return undefined;
    } catch (error) {
      return error;
    }
  }
}

/** A refusal was made before anything was written, so the transaction goes on. */
function perform(task: Task): Outcome | typeof LATER {
  try {
    const value = task.run();
    return value === LATER ? LATER : { value };
  } catch (error) {
    if (error instanceof Refusal) return { kind: error.kind, message: error.message };
    throw error;
  }
}

function refuse(tasks: readonly Task[], kind: SpoolErrorKind, message: string): void {
  for (const task of tasks) task.answer({ kind, message });
}
