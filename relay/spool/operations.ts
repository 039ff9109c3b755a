/**
 * What each operation does inside a batch. Validation comes before the first
 * write, so that a refusal leaves the transaction as it was.
 */
import { LATER, type Outcome, type Task } from './batch.ts';
import type { Claims, Counts } from './claims.ts';
import type { Mover } from './mover.ts';
import {
  ACTIVE,
  CHUNK_BYTES,
  type Changed,
  type ChangeOp,
  type ClaimedRow,
  type ClaimOp,
  DEAD,
  FAILED,
  HELD,
  IN_DATABASE,
  NOWHERE,
  type Op,
  type PutOp,
  type Retention,
  type Row,
} from './protocol.ts';
import type { Rows } from './rows.ts';
import type { Settling } from './settling.ts';
import { discard } from './transit.ts';
import { Refusal } from './trouble.ts';

/** Bodies handed out with one claim operation, in total. */
const CLAIM_BODY_BYTES = 4 * 1024 * 1024;
/** Dead messages removed in one batch. */
const SWEEP_STEP = 500;

const WRITES: ReadonlySet<Op['op']> = new Set(['put', 'chunk', 'settle', 'drop', 'change', 'sweep']);
/** What the disk being full must not stop. */
const FREES: ReadonlySet<Op['op']> = new Set(['settle', 'drop', 'change', 'sweep']);

export interface OperationsOptions {
  readonly rows: Rows;
  readonly claims: Claims;
  readonly counts: Counts;
  readonly settling: Settling;
  readonly mover: Mover;
  readonly now: () => number;
}

export class Operations {
  readonly #options: OperationsOptions;

  constructor(options: OperationsOptions) {
    this.#options = options;
  }

  task(op: Op, answer: (outcome: Outcome) => void): Task {
    return {
      writes: WRITES.has(op.op),
      frees: FREES.has(op.op),
      bytes: bytesOf(op),
      run: () => this.#run(op, answer),
      answer: outcome => {
        // Answered once, when the batch is over for good: nobody asks for the data again.
        if (op.op === 'chunk') discard(op.data);
        else if (op.op === 'put' && op.body !== undefined) discard(op.body);
        answer(outcome);
      },
    };
  }

  #run(op: Op, answer: (outcome: Outcome) => void): unknown {
    const { rows, claims, settling } = this.#options;
    switch (op.op) {
      case 'put':
        return this.#put(op);
      case 'chunk':
        return rows.draftChunk(op.n, op.sequence, op.data);
      case 'settle':
        return settling.settle(op, answer);
      case 'drop':
        return rows.dropDraft(op.n);
      case 'release':
        return claims.end(op.id);
      default:
        return this.#runQuery(op, answer);
    }
  }

  #runQuery(op: Op, answer: (outcome: Outcome) => void): unknown {
    const { rows } = this.#options;
    switch (op.op) {
      case 'claim':
        return this.#claim(op);
      case 'next-due':
        return this.#nextDue(op.state);
      case 'locate':
        return this.#locate(op.id);
      case 'read':
        return rows.chunk(op.n, op.sequence);
      case 'select':
        return rows.select(op.page);
      case 'change':
        return this.#change(op);
      case 'sweep':
        return this.#sweep(op.now, op.retention);
      case 'files':
        this.#options.mover.whenIdle(() => answer({ value: undefined }));
        return LATER;
      default:
        throw new Refusal('io', `unknown operation ${op.op}`);
    }
  }

  #put(op: PutOp): void {
    const { rows, claims, counts, settling } = this.#options;
    // First, since it may be refused.
    if (op.progress !== undefined) settling.progress(op.progress);
    rows.insert(op);
    counts.add(op.state, 1, op.size);
    if (op.claim) claims.take(op.id, op.at ?? op.receivedAt);
  }

  #claim(op: ClaimOp): readonly ClaimedRow[] {
    const { rows, claims } = this.#options;
    const candidates =
      op.triedBefore === undefined
        ? rows.due(op.state, op.dueBefore, op.dueAfter)
        : rows.untried(op.state, op.triedBefore, op.dueBefore);
    let room = CLAIM_BODY_BYTES;
    return this.#unclaimed(candidates, op.limit).map(row => {
      claims.take(row[1], op.at);
      const body = this.#bodyAtHand(row, room);
      room -= body?.length ?? 0;
      return { row, body };
    });
  }

  #unclaimed(candidates: Iterable<Row>, limit: number): readonly Row[] {
    const chosen: Row[] = [];
    if (limit <= 0) return chosen;
    for (const row of candidates) {
      if (this.#options.claims.has(row[1])) continue;
      chosen.push(row);
      if (chosen.length >= limit) break;
    }
    return chosen;
  }

  #bodyAtHand(row: Row, room: number): Uint8Array | undefined {
    const [n, , state, place, , , , size] = row;
    if (state !== ACTIVE || place !== IN_DATABASE || size > CHUNK_BYTES || size > room) return undefined;
    return this.#options.rows.chunk(n, 0);
  }

  #nextDue(state: number): number | undefined {
    for (const [dueAt, id] of this.#options.rows.dueTimes(state)) {
      if (!this.#options.claims.has(id as Row[1])) return Number(dueAt);
    }
    return undefined;
  }

  #locate(id: string): Row {
    const row = this.#options.rows.find(id);
    if (row === undefined) throw new Refusal('not-found', `there is no message ${id}`);
    return row;
  }

  /** A message that is being sent, or whose body is being moved, is passed over and not counted. */
  #change(op: ChangeOp): Changed {
    const { rows, claims } = this.#options;
    const { rows: found, next } = rows.select(op.page);
    const revive: Row[] = [];
    let chosen = 0;
    for (const row of found) {
      if (claims.has(row[1])) continue;
      if (op.kind === 'resend' && row[2] === DEAD && row[3] !== NOWHERE) revive.push(row);
      else if (this.#changeOne(op.kind, row)) chosen++;
    }
    return { chosen, revive, next };
  }

  #changeOne(kind: ChangeOp['kind'], row: Row): boolean {
    const { settling, now } = this.#options;
    const state = row[2];
    switch (kind) {
      case 'hold':
        if (state !== ACTIVE && state !== FAILED) return false;
        settling.hold(row);
        return true;
      case 'unhold':
        if (state !== HELD) return false;
        settling.unhold(row);
        return true;
      case 'resend':
        if (state !== ACTIVE && state !== FAILED) return false;
        settling.makeDue(row, now());
        return true;
      case 'remove':
        settling.erase(row);
        return true;
    }
  }

  /** Up to SWEEP_STEP dead messages beyond retention, the longest dead first. */
  #sweep(now: number, retention: Retention): number {
    const { rows, claims, counts, settling } = this.#options;
    let removed = 0;
    for (const row of rows.deadOldestFirst(SWEEP_STEP)) {
      const tooOld = row[9] <= now - retention.ageMs;
      const tooMany =
        counts.messages(DEAD) > retention.maxMessages || counts.bytes(DEAD) > retention.maxBytes;
      if (!tooOld && !tooMany) break;
      if (claims.has(row[1])) continue;
      settling.erase(row);
      removed++;
    }
    return removed;
  }
}

function bytesOf(op: Op): number {
  if (op.op === 'put') {
    return (op.body?.length ?? 0) + op.recipients.length + (op.progress?.recipients.length ?? 0);
  }
  return op.op === 'chunk' ? op.data.length : 0;
}
