/**
 * The statements of the store, one method each: rows, chunks, drafts and
 * tombstones. Every method is one or two statements inside whatever
 * transaction the caller has begun; nothing here decides anything.
 */
import type { DatabaseSync, SQLInputValue, StatementSync } from 'node:sqlite';
import type { MessageId } from './message.ts';
import {
  CHUNKS_PER_MESSAGE,
  DEAD,
  type Page,
  type Place,
  type PutOp,
  ROW_COLUMNS,
  type Row,
} from './protocol.ts';

/** Messages looked at in one step of a search, so that accepting mail waits a few milliseconds at most. */
const SCAN_WINDOW = 2000;

/** New values of a message that was settled, or is alive again. */
export interface RowChange {
  readonly n: number;
  readonly state: number;
  readonly place: Place;
  readonly recipients: string;
  readonly dueAt: number;
  readonly triedAt: number;
  readonly rounds: number;
  readonly reason: string;
}

export class Rows {
  readonly database: DatabaseSync;
  readonly #statements = new Map<string, StatementSync>();

  constructor(database: DatabaseSync) {
    this.database = database;
  }

  #statement(sql: string): StatementSync {
    let statement = this.#statements.get(sql);
    if (statement === undefined) {
      statement = this.database.prepare(sql);
      statement.setReturnArrays(true);
      this.#statements.set(sql, statement);
    }
    return statement;
  }

  run(sql: string, ...values: SQLInputValue[]): number {
    return Number(this.#statement(sql).run(...values).changes);
  }

  get(sql: string, ...values: SQLInputValue[]): readonly unknown[] | undefined {
    return this.#statement(sql).get(...values) as unknown as readonly unknown[] | undefined;
  }

  all(sql: string, ...values: SQLInputValue[]): readonly (readonly unknown[])[] {
    return this.#statement(sql).all(...values) as unknown as readonly (readonly unknown[])[];
  }

  each(sql: string, ...values: SQLInputValue[]): Iterable<readonly unknown[]> {
    return this.#statement(sql).iterate(...values) as unknown as Iterable<readonly unknown[]>;
  }

  insert(op: PutOp): void {
    this.run(
      'INSERT INTO message (n, id, state, sender, recipients, flags, size, received_at, due_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)',
      op.n,
      op.id,
      op.state,
      op.sender,
      op.recipients,
      op.flags,
      op.size,
      op.receivedAt,
      op.dueAt,
    );
    if (op.body === undefined) this.run('DELETE FROM draft WHERE n = ?', op.n);
    else if (op.body.length > 0) this.#insertChunk(op.n, 0, op.body);
  }

  draftChunk(n: number, sequence: number, data: Uint8Array): void {
    this.run('INSERT OR IGNORE INTO draft (n) VALUES (?)', n);
    this.#insertChunk(n, sequence, data);
  }

  #insertChunk(n: number, sequence: number, data: Uint8Array): void {
    this.run('INSERT INTO chunk (key, data) VALUES (?, ?)', n * CHUNKS_PER_MESSAGE + sequence, data);
  }

  dropDraft(n: number): void {
    this.deleteChunks(n);
    this.run('DELETE FROM draft WHERE n = ?', n);
  }

  chunk(n: number, sequence: number): Uint8Array | undefined {
    const key = n * CHUNKS_PER_MESSAGE + sequence;
    return this.get('SELECT data FROM chunk WHERE key = ?', key)?.[0] as Uint8Array | undefined;
  }

  deleteChunks(n: number): void {
    const key = n * CHUNKS_PER_MESSAGE;
    this.run('DELETE FROM chunk WHERE key >= ? AND key < ?', key, key + CHUNKS_PER_MESSAGE);
  }

  deleteMessage(n: number): void {
    this.run('DELETE FROM message WHERE n = ?', n);
  }

  /** A tombstone: the message is over, its file is to go. */
  addGone(id: MessageId, place: Place): void {
    this.run('INSERT OR REPLACE INTO gone (id, place) VALUES (?, ?)', id, place);
  }

  deleteGone(id: MessageId): void {
    this.run('DELETE FROM gone WHERE id = ?', id);
  }

  find(id: string): Row | undefined {
    return this.get(`SELECT ${ROW_COLUMNS} FROM message WHERE id = ?`, id) as Row | undefined;
  }

  setRecipients(id: MessageId, recipients: string): boolean {
    return this.run('UPDATE message SET recipients = ? WHERE id = ?', recipients, id) > 0;
  }

  change(to: RowChange): void {
    this.run(
      'UPDATE message SET state = ?, place = ?, recipients = ?, due_at = ?, tried_at = ?, rounds = ?, reason = ? WHERE n = ?',
      to.state,
      to.place,
      to.recipients,
      to.dueAt,
      to.triedAt,
      to.rounds,
      to.reason,
      to.n,
    );
  }

  hold(n: number, reason: string): void {
    this.run('UPDATE message SET held_from = state, state = 2, reason = ? WHERE n = ?', reason, n);
  }

  /** Back to the state it was held from, which is returned. */
  unhold(n: number): number {
    this.run(
      "UPDATE message SET state = held_from, reason = CASE held_from WHEN 0 THEN '' ELSE 'released from hold' END WHERE n = ?",
      n,
    );
    return Number(this.get('SELECT state FROM message WHERE n = ?', n)?.[0]);
  }

  setDue(n: number, dueAt: number): void {
    this.run('UPDATE message SET due_at = ? WHERE n = ?', dueAt, n);
  }

  /** Rows of a state that are due, oldest due first; lazily, so that the reader decides how many. */
  due(state: number, before: number, after: number): Iterable<Row> {
    const sql = `SELECT ${ROW_COLUMNS} FROM message WHERE state = ? AND due_at <= ? AND due_at > ? ORDER BY due_at`;
    return this.each(sql, state, before, after) as Iterable<Row>;
  }

  /**
   * Rows of a state whose last round began before then, the longest untried
   * first. Those that may have arrived (a final dot was left unanswered) only
   * when they are due: whatever makes others go early must not double them.
   * Inside a JSON string the quotation marks of the pattern would be escaped.
   */
  untried(state: number, before: number, due: number): Iterable<Row> {
    // A literal state lets the partial index serve. It must be named: left to itself SQLite takes
    // message_due and sorts all that failed at each claim (EXPLAIN QUERY PLAN; 10,000 drained at 950/s).
    const [from, order] = state === 1 ? ['state = 1', 'tried_at'] : ['state = 0', 'due_at'];
    const index = state === 1 ? 'message_tried' : 'message_due';
    const sql = `SELECT ${ROW_COLUMNS} FROM message INDEXED BY ${index} WHERE ${from} AND tried_at < ?1 AND (due_at <= ?2 OR recipients NOT LIKE '%"ambiguous":%') ORDER BY ${order}`;
    return this.each(sql, before, due) as Iterable<Row>;
  }

  dueTimes(state: number): Iterable<readonly unknown[]> {
    return this.each('SELECT due_at, id FROM message WHERE state = ? ORDER BY due_at', state);
  }

  deadOldestFirst(limit: number): readonly Row[] {
    const sql = `SELECT ${ROW_COLUMNS} FROM message WHERE state = ${DEAD} ORDER BY due_at LIMIT ?`;
    return this.all(sql, limit) as unknown as readonly Row[];
  }

  /** Acceptance of the oldest of a state, 0 when there is none. An active message is due when accepted. */
  oldest(state: number): number {
    const column = state === 0 ? 'due_at' : 'received_at';
    const partial = state === 0 ? '' : 'AND state > 0';
    const sql = `SELECT ${column} FROM message WHERE state = ? ${partial} ORDER BY ${column} LIMIT 1`;
    return Number(this.get(sql, state)?.[0] ?? 0);
  }

  /** One step through what a page chooses; `next` is where the following one begins. */
  select(page: Page): { readonly rows: readonly Row[]; readonly next: string | undefined } {
    if (page.ids !== undefined) return this.#selectIds(page, page.ids);
    const last = this.get(
      'SELECT id FROM message WHERE id > ? ORDER BY id LIMIT 1 OFFSET ?',
      page.after,
      SCAN_WINDOW - 1,
    );
    const { where, values } = condition(page);
    const end = last === undefined ? [] : [String(last[0])];
    const rows = this.all(
      `SELECT ${ROW_COLUMNS} FROM message WHERE id > ?${last === undefined ? '' : ' AND id <= ?'}${where} ORDER BY id LIMIT ?`,
      page.after,
      ...end,
      ...values,
      page.limit,
    ) as unknown as readonly Row[];
    if (rows.length === page.limit) return { rows, next: rows.at(-1)?.[1] };
    return { rows, next: end[0] };
  }

  #selectIds(
    page: Page,
    ids: readonly string[],
  ): { readonly rows: readonly Row[]; readonly next: undefined } {
    const { where, values } = condition(page);
    const rows = this.all(
      `SELECT ${ROW_COLUMNS} FROM message WHERE id IN (SELECT value FROM json_each(?)) AND id > ?${where} ORDER BY id LIMIT ?`,
      JSON.stringify(ids),
      page.after,
      ...values,
      page.limit,
    ) as unknown as readonly Row[];
    return { rows, next: undefined };
  }
}

/** The part of WHERE that a page adds; texts are always bound, never pasted. */
function condition(page: Page): { readonly where: string; readonly values: readonly SQLInputValue[] } {
  const parts: string[] = [];
  const values: SQLInputValue[] = [];
  const add = (part: string, value: SQLInputValue | undefined) => {
    if (value === undefined) return;
    parts.push(` AND ${part}`);
    values.push(value);
  };
  add('state = ?', page.state);
  add('instr(folded(sender), folded(?)) > 0', page.sender);
  add(
    "EXISTS (SELECT 1 FROM json_each(recipients) r WHERE instr(folded(json_extract(r.value, '$.address')), folded(?)) > 0)",
    page.recipient,
  );
  add('received_at < ?', page.receivedBefore);
  return { where: parts.join(''), values };
}
