/**
 * What a settlement does to a message, in the order that keeps it in exactly
 * one place: file first, then the row that says so; tombstone first, then the
 * unlink. See the table in docs/spool.md.
 */
import { type Batch, LATER, type Outcome, type Task } from './batch.ts';
import type { Claims, Counts } from './claims.ts';
import { MissingBody } from './move-body.ts';
import type { Mover } from './mover.ts';
import {
  ACTIVE,
  DEAD,
  FAILED,
  IN_DATABASE,
  IN_DEAD,
  IN_FAILED,
  NOWHERE,
  type Place,
  type Row,
  type SettleOp,
} from './protocol.ts';
import type { Rows } from './rows.ts';
import { Refusal } from './trouble.ts';

export interface SettlingOptions {
  readonly rows: Rows;
  readonly claims: Claims;
  readonly counts: Counts;
  readonly mover: Mover;
  readonly batch: Batch;
  readonly now: () => number;
  /** Queues a task of the store's own for the next batch. */
  readonly submit: (task: Task) => void;
  /** A body could not go where it should and stays where it is. */
  readonly stranded: (id: string, problem: unknown) => void;
}

type Reply = (outcome: Outcome) => void;

export class Settling {
  readonly #options: SettlingOptions;

  constructor(options: SettlingOptions) {
    this.#options = options;
  }

  /** Runs inside a batch. Throws Refusal 'not-found' when there is no such message. */
  settle(op: SettleOp, reply: Reply): unknown {
    const { rows, claims } = this.#options;
    if (op.kind === 'progress') return this.progress(op);
    const row = rows.find(op.id);
    if (row === undefined) throw notFound(op.id);
    if (op.kind === 'done') {
      claims.end(op.id);
      this.erase(row);
      return undefined;
    }
    if (op.kind === 'revive' && (row[2] !== DEAD || claims.has(op.id))) throw notFound(op.id);
    if (staysWhereItIs(op, row[3])) {
      this.#conclude(op, row, row[3]);
      return undefined;
    }
    this.#move(op, row, reply);
    return LATER;
  }

  /** Results so far. Throws Refusal 'not-found' when there is no such message. */
  progress({ id, recipients }: Pick<SettleOp, 'id' | 'recipients'>): void {
    if (!this.#options.rows.setRecipients(id, recipients)) throw notFound(id);
  }

  #move(op: SettleOp, row: Row, reply: Reply): void {
    const { rows, claims, batch, mover, now } = this.#options;
    const [n, id, , from, , , , size] = row;
    // Until the file is there nobody else may touch the message.
    claims.take(id, claims.since(id) ?? now());
    // What a round achieved is on disk before its file is begun: a crash meanwhile must not send it twice.
    if (triesMessage(op)) rows.setRecipients(op.id, op.recipients);
    batch.afterCommit(() => {
      mover.move({
        id,
        from,
        to: homeOf(op),
        size,
        chunks: () => chunksOf(rows, n),
        done: (place, problem) => this.#moved({ op, row, place, problem }, reply),
      });
    });
  }

  /** Removes the row and what belongs to it; a file goes after the tombstone is on disk. */
  erase(row: Row): void {
    const { rows, counts, batch, mover } = this.#options;
    const [n, id, state, place, , , , size] = row;
    counts.add(state, -1, -size);
    rows.deleteMessage(n);
    if (place === IN_DATABASE) rows.deleteChunks(n);
    if (place === IN_FAILED || place === IN_DEAD) {
      rows.addGone(id, place);
      batch.afterCommit(() => mover.remove({ id, place, done: removed => this.#removed(row, removed) }));
    }
  }

  #removed(row: Row, removed: boolean): void {
    // A tombstone whose file could not go stays, and is tried again at the next start.
    if (!removed) return;
    this.#options.submit({
      writes: true,
      frees: true,
      bytes: 0,
      run: () => this.#options.rows.deleteGone(row[1]),
      answer: () => undefined,
    });
  }

  #moved(
    move: { readonly op: SettleOp; readonly row: Row; readonly place: Place; readonly problem: unknown },
    reply: Reply,
  ): void {
    const { op, row, problem } = move;
    const lost = problem instanceof MissingBody;
    // Nothing can be sent again: the dead message keeps what each recipient got.
    const vain = lost && op.kind === 'revive';
    if (problem !== undefined) this.#options.stranded(op.id, problem);
    this.#options.submit({
      writes: true,
      frees: true,
      bytes: 0,
      run: () => this.#conclude(vain ? asItWas(op, row) : op, row, lost ? NOWHERE : move.place),
      answer: outcome => {
        // A round keeps its claim: it tries again, or releases it.
        if ('kind' in outcome && !triesMessage(op)) this.#options.claims.end(op.id);
        reply(vain && !('kind' in outcome) ? bodyless(op.id) : outcome);
      },
    });
  }

  /** The row says what is so by now, and the claim ends. */
  #conclude(op: SettleOp, row: Row, place: Place): void {
    const { rows, counts, claims, now } = this.#options;
    const [n, id, before, from, , , , size, , , rounds] = row;
    const state = op.kind === 'dead' || place === NOWHERE ? DEAD : FAILED;
    rows.change({
      n,
      state,
      place,
      recipients: op.recipients,
      dueAt: op.dueAt,
      triedAt: triesMessage(op) ? (claims.since(id) ?? now()) : 0,
      rounds: roundsAfter(op, rounds),
      reason: place === NOWHERE ? missingReason(op.reason) : op.reason,
    });
    if (from === IN_DATABASE && place !== IN_DATABASE) rows.deleteChunks(n);
    counts.move(before, state, size);
    claims.end(id);
  }

  hold(row: Row): void {
    this.#options.rows.hold(row[0], 'held by hand');
    this.#options.counts.move(row[2], 2, row[7]);
  }

  unhold(row: Row): void {
    this.#options.counts.move(row[2], this.#options.rows.unhold(row[0]), row[7]);
  }

  /** Due now; whether it was more than that already. */
  makeDue(row: Row, now: number): void {
    // An active message is due since it was accepted; its due time doubles as that.
    if (row[2] !== ACTIVE && row[9] > now) this.#options.rows.setDue(row[0], now);
  }
}

function homeOf(op: SettleOp): Place {
  return op.kind === 'dead' ? IN_DEAD : IN_FAILED;
}

/** No file has to move: it is there, it is lost, or it never left the database for want of room. */
function staysWhereItIs(op: SettleOp, from: Place): boolean {
  return from === homeOf(op) || from === NOWHERE || (op.kind === 'revive' && from === IN_DATABASE);
}

/** Whether the settlement ends a round. */
function triesMessage(op: SettleOp): boolean {
  return op.kind === 'failed' || op.kind === 'dead';
}

function roundsAfter(op: SettleOp, rounds: number): number {
  if (op.kind === 'revive') return 0;
  return op.kind === 'failed' ? rounds + 1 : rounds;
}

/** The settlement that changes nothing but the place. */
function asItWas(op: SettleOp, [, , , , , recipients, , , , dueAt, , reason]: Row): SettleOp {
  return { ...op, kind: 'file', recipients, dueAt, reason };
}

function bodyless(id: string): Outcome {
  return { kind: 'not-found', message: `there is no body of message ${id}` };
}

function missingReason(reason: string): string {
  return `body missing: its file was taken away${reason === '' ? '' : `; ${reason}`}`;
}

function notFound(id: string): Refusal {
  return new Refusal('not-found', `there is no message ${id}`);
}

function* chunksOf(rows: Rows, n: number): Iterable<Uint8Array> {
  for (let sequence = 0; ; sequence++) {
    const chunk = rows.chunk(n, sequence);
    if (chunk === undefined) return;
    yield chunk;
  }
}
