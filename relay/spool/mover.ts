/**
 * Moves bodies between the database and the directories, and removes files
 * of messages that are over, beside the transactions so that accepting mail
 * never waits for it. Work that waits is done in groups: all files, then one
 * sync per directory, then everyone is told. A body that cannot be moved
 * stays where it is and its owner learns so: nothing is lost for want of room.
 */
import {
  bodyDirectory,
  bodyPath,
  removeBody,
  type StepHook,
  SyncError,
  syncDirectory,
  writeBody,
} from './body-files.ts';
import type { MessageId } from './message.ts';
import { intoDirectory, moveBody } from './move-body.ts';
import { IN_DATABASE, type Place } from './protocol.ts';
import { troubleOf } from './trouble.ts';

export interface Move {
  readonly id: MessageId;
  readonly from: Place;
  readonly to: Place;
  /** The body when it is in the database. */
  readonly chunks: () => Iterable<Uint8Array>;
  readonly size: number;
  /** Where the body is now, durably; `problem` says why that is not where it should be. */
  readonly done: (place: Place, problem: unknown) => void;
}

export interface Removal {
  readonly id: MessageId;
  readonly place: Place;
  readonly done: (removed: boolean) => void;
}

/** Files of one group: more share a directory sync, fewer wait shorter. */
const GROUP_FILES = 256;
const GROUP_BYTES = 32 * 1024 * 1024;
/** Files under way at once; the thread pool has four threads that others use too. */
const PARALLEL = 16;

export interface MoverOptions {
  readonly directory: string;
  /** The disk can no longer be trusted. */
  readonly failed: (error: unknown) => void;
  readonly step: StepHook | undefined;
}

export class Mover {
  readonly #options: MoverOptions;
  #moves: Move[] = [];
  #removals: Removal[] = [];
  /** The group at work. */
  #moving: readonly Move[] = [];
  #removing: readonly Removal[] = [];
  #running: Promise<void> | undefined;
  readonly #idle: (() => void)[] = [];
  #stopped = false;

  constructor(options: MoverOptions) {
    this.#options = options;
  }

  move(move: Move): void {
    this.#moves.push(move);
    this.#start();
  }

  remove(removal: Removal): void {
    this.#removals.push(removal);
    this.#start();
  }

  /** Calls back when all that waits now is done. */
  whenIdle(then: () => void): void {
    if (this.#running === undefined) then();
    else this.#idle.push(then);
  }

  #start(): void {
    if (this.#stopped || this.#running !== undefined) return;
    this.#running = this.#run();
  }

  async #run(): Promise<void> {
    // Let the operations of the same batch gather before the first group is cut.
    await Promise.resolve();
    try {
      while (this.#moves.length > 0 || this.#removals.length > 0) {
        await this.#moveGroup();
        await this.#removeGroup();
      }
    } catch (error) {
      this.#stopped = true;
      this.#options.failed(error);
      this.#giveUp(error);
    }
    this.#running = undefined;
    for (const then of this.#idle.splice(0)) then();
  }

  /** Everyone is told: who waits for an answer must not wait for ever. */
  #giveUp(problem: unknown): void {
    for (const move of [...this.#moving, ...this.#moves.splice(0)]) move.done(move.from, problem);
    for (const removal of [...this.#removing, ...this.#removals.splice(0)]) removal.done(false);
  }

  async #moveGroup(): Promise<void> {
    const group = cutGroup(this.#moves);
    if (group.length === 0) return;
    this.#moving = group;
    const problems = await inParallel(group, move => this.#moveOne(move));
    const touched = new Set<Place>();
    for (const [index, move] of group.entries()) {
      if (problems[index] !== undefined) continue;
      touched.add(move.to);
      if (move.from !== IN_DATABASE) touched.add(move.from);
    }
    await this.#sync(touched);
    this.#options.step?.('directory-synced');
    this.#moving = [];
    for (const [index, move] of group.entries()) {
      const problem = problems[index];
      move.done(problem === undefined ? move.to : move.from, problem);
    }
  }

  async #moveOne(move: Move): Promise<void> {
    const { directory, step } = this.#options;
    const target = bodyPath(directory, move.to, move.id);
    if (move.from === IN_DATABASE) {
      await intoDirectory(bodyDirectory(directory, move.to), () => writeBody(target, move.chunks(), step));
      return;
    }
    await moveBody(bodyPath(directory, move.from, move.id), target);
    step?.('file-renamed');
  }

  async #removeGroup(): Promise<void> {
    const group = this.#removals.splice(0, GROUP_FILES);
    if (group.length === 0) return;
    this.#removing = group;
    const problems = await inParallel(group, removal =>
      removeBody(bodyPath(this.#options.directory, removal.place, removal.id)),
    );
    this.#options.step?.('file-unlinked');
    await this.#sync(new Set(group.map(removal => removal.place)));
    this.#options.step?.('unlink-synced');
    this.#removing = [];
    for (const [index, removal] of group.entries()) removal.done(problems[index] === undefined);
  }

  async #sync(places: ReadonlySet<Place>): Promise<void> {
    await Promise.all([...places].map(place => syncDirectory(bodyDirectory(this.#options.directory, place))));
  }
}

function cutGroup(moves: Move[]): readonly Move[] {
  let bytes = 0;
  let count = 0;
  while (count < moves.length && count < GROUP_FILES && bytes < GROUP_BYTES) {
    bytes += moves[count]?.size ?? 0;
    count++;
  }
  return moves.splice(0, count);
}

/**
 * The error of each item, or undefined. Throws when one of them means that
 * the disk is no longer to be trusted.
 */
async function inParallel<T>(
  items: readonly T[],
  work: (item: T) => Promise<void>,
): Promise<readonly unknown[]> {
  const problems: unknown[] = new Array(items.length).fill(undefined);
  const queue = items.entries();
  const lane = async () => {
    for (const [index, item] of queue) problems[index] = await problemOf(work(item));
  };
  await Promise.all(Array.from({ length: Math.min(PARALLEL, items.length) }, lane));
  return problems;
}

async function problemOf(work: Promise<void>): Promise<unknown> {
  try {
    await work;
    return undefined;
  } catch (error) {
    if (error instanceof SyncError || troubleOf(error) === 'io') throw error;
    return error ?? new Error('unknown');
  }
}
