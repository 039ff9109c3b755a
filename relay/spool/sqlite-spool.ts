/**
 * The spool as its users see it: hands each call to the store's thread and
 * keeps at hand what must be answered at once (counts, room, failure).
 */
import { randomInt } from 'node:crypto';
import { ByHand } from './by-hand.ts';
import type { Channel, Ready } from './channel.ts';
import type { Disk, DiskState } from './disk.ts';
import { ArrivingMessage, Flow } from './draft.ts';
import type { InFlightNotes } from './in-flight.ts';
import type { MessageId, QueueCounts, Recipient, StoredMessage } from './message.ts';
import { messageIds } from './message-id.ts';
import { type Counters, FAILED, IN_FAILED, type PutOp, type Retention, STATES } from './protocol.ts';
import type { Quarantine } from './quarantine.ts';
import { countsOf, messageOf } from './queue-rows.ts';
import { readBody } from './reading.ts';
import { checkSettings, type OpenSpool, type SpoolOptions, type SpoolSettings } from './settings.ts';
import type {
  Arrival,
  ArrivalTaker,
  Claim,
  ClaimQuery,
  Draft,
  InFlight,
  QueueFilter,
  Settlement,
} from './spool.ts';
import { SpoolError } from './spool.ts';

/** Of the reserve, what mail may use that is owed for mail: the rest is for recording results. */
const OWED_SHARE = 0.5;

export interface SpoolParts {
  readonly options: SpoolOptions;
  readonly channel: Channel;
  readonly disk: Disk;
  readonly quarantine: Quarantine;
  readonly notes: InFlightNotes;
  readonly ready: Ready;
}

export class SqliteSpool implements OpenSpool {
  readonly #options: SpoolOptions;
  readonly #channel: Channel;
  readonly #disk: Disk;
  readonly #quarantine: Quarantine;
  readonly #notes: InFlightNotes;
  readonly #nextId: () => MessageId;
  readonly #flow = new Flow();
  #retention: Retention;
  #nextN: number;
  /** The moment of the last claim: a clock that never goes back. */
  #claimedAt: number;
  #counters: Counters;
  readonly #byHand: ByHand;
  #taker: ArrivalTaker | undefined;
  #closed = false;

  constructor({ options, channel, disk, quarantine, notes, ready }: SpoolParts) {
    this.#options = options;
    this.#channel = channel;
    this.#disk = disk;
    this.#quarantine = quarantine;
    this.#notes = notes;
    this.#retention = options.retention;
    this.#nextN = ready.nextN;
    this.#claimedAt = ready.lastTriedAt;
    this.#counters = ready.counters;
    this.#byHand = new ByHand(channel, options.now);
    this.#nextId = messageIds(options.now, limit => randomInt(limit), ready.lastId);
  }

  /** Told with each batch of answers. */
  counted(counters: Counters): void {
    if (counters.messages.length > 0) this.#counters = counters;
  }

  configure(settings: SpoolSettings): void {
    checkSettings(settings);
    this.#retention = settings.retention;
    this.#disk.configure(settings.maxMessageBytes, settings.reserveBytes);
  }

  begin({ owed = false } = {}): Draft {
    const { freeBytes, reserveBytes, low } = this.#disk.state();
    const kept = owed ? reserveBytes * (1 - OWED_SHARE) : reserveBytes;
    if (owed ? freeBytes < kept : low) {
      throw new SpoolError('disk-full', `${freeBytes} bytes are free, ${kept} are kept in reserve`);
    }
    return this.#begin();
  }

  #begin(): ArrivingMessage {
    if (this.#closed) throw new SpoolError('closed', 'the spool is closed');
    const failure = this.#channel.failure();
    if (failure !== undefined) throw new SpoolError('io', failure);
    return new ArrivingMessage({
      n: this.#nextN++,
      id: this.#nextId(),
      channel: this.#channel,
      flow: this.#flow,
      put: (op, body) => this.#put(op, body),
      wrote: bytes => this.#disk.wrote(bytes),
      refused: error => this.#refused(error),
    });
  }

  async #put(op: PutOp, body: Buffer | undefined): Promise<void> {
    const taker = !op.claim && this.#taker?.wanted(op.size) ? this.#taker : undefined;
    this.#disk.wrote(body?.length ?? 0);
    try {
      await this.#channel.call({ ...op, claim: op.claim || taker !== undefined, at: this.#moment() });
    } catch (error) {
      this.#refused(error);
      throw error;
    }
    taker?.take({ message: messageOf(rowOfPut(op)), ...(body === undefined ? {} : { body }) });
  }

  #refused(error: unknown): void {
    if (error instanceof SpoolError && error.kind === 'disk-full') this.#disk.full();
  }

  async claim(query: ClaimQuery): Promise<readonly Claim[]> {
    const claimed = await this.#channel.call({
      op: 'claim',
      at: this.#moment(),
      state: STATES.indexOf(query.state),
      dueBefore: query.dueBefore,
      triedBefore: query.triedBefore,
      dueAfter: query.dueAfter ?? Number.MIN_SAFE_INTEGER,
      limit: query.limit,
    });
    return claimed.map(({ row, body }) => {
      const interrupted = this.#notes.left(row[1]);
      return {
        message: messageOf(row),
        filed: row[3] === IN_FAILED,
        ...(body === undefined ? {} : { body: Buffer.from(body.buffer, body.byteOffset, body.byteLength) }),
        ...(interrupted === undefined ? {} : { interrupted }),
      };
    });
  }

  mark(): number {
    this.#claimedAt = this.#moment() + 1;
    return this.#claimedAt;
  }

  #moment(): number {
    this.#claimedAt = Math.max(this.#claimedAt, this.#options.now());
    return this.#claimedAt;
  }

  onArrival(taker: ArrivalTaker): void {
    this.#taker = taker;
  }

  async settle(id: MessageId, settlement: Settlement): Promise<void> {
    await this.#channel.call({
      op: 'settle',
      id,
      kind: settlement.kind,
      recipients: JSON.stringify(settlement.recipients),
      // A dead message has no next round: the column holds when it died, for retention.
      dueAt: settlement.kind === 'failed' ? settlement.dueAt : this.#options.now(),
      reason: 'reason' in settlement ? settlement.reason : '',
    });
    if (settlement.kind === 'done') this.#notes.drop(id);
    else if (settlement.kind !== 'progress') this.#notes.forget(id);
  }

  note(id: MessageId, inFlight: InFlight): void {
    this.#notes.put(id, inFlight);
  }

  async release(id: MessageId): Promise<void> {
    await this.#channel.call({ op: 'release', id });
  }

  read(id: MessageId, claim?: Claim): AsyncIterable<Buffer> {
    return readBody(this.#options.directory, this.#channel, { id, claim });
  }

  nextDue(state: 'active' | 'failed'): Promise<number | undefined> {
    return this.#channel.call({ op: 'next-due', state: STATES.indexOf(state) });
  }

  counts(): QueueCounts {
    return countsOf(this.#counters);
  }

  quarantined(): number | undefined {
    return this.#quarantine.count();
  }

  disk(): DiskState {
    return this.#disk.state();
  }

  failure(): string | undefined {
    return this.#closed ? undefined : this.#channel.failure();
  }

  list(filter: QueueFilter): Promise<readonly StoredMessage[]> {
    return this.#byHand.list(filter);
  }

  resend(filter: QueueFilter): Promise<number> {
    return this.#byHand.change('resend', filter);
  }

  hold(filter: QueueFilter): Promise<number> {
    return this.#byHand.change('hold', filter);
  }

  unhold(filter: QueueFilter): Promise<number> {
    return this.#byHand.change('unhold', filter);
  }

  remove(filter: QueueFilter): Promise<number> {
    return this.#byHand.change('remove', filter);
  }

  async sweep(now: number): Promise<number> {
    const count = await this.#byHand.sweep(now, this.#retention);
    const message = `${count} dead messages were beyond retention`;
    if (count > 0) this.#options.emit({ event: 'dead-removed', message, count });
    return count;
  }

  async adopt(
    arrival: Arrival,
    body: AsyncIterable<Buffer>,
    recipients: readonly Recipient[],
  ): Promise<MessageId> {
    const draft = this.#begin();
    const dueAt = this.#options.now();
    try {
      for await (const chunk of body) await draft.write(chunk);
      await draft.file(arrival, { state: FAILED, dueAt, recipients, claim: true });
    } catch (error) {
      draft.abort();
      throw error;
    }
    // It is safe by now; this puts the body where failed ones are and frees the message. Refused (a full
    // disk), the body stays in the database: the import succeeded all the same, and must not be repeated.
    await this.#channel
      .call({
        op: 'settle',
        id: draft.id,
        kind: 'file',
        recipients: JSON.stringify(recipients),
        dueAt,
        reason: 'taken in from elsewhere',
      })
      .catch(() => this.release(draft.id).catch(() => undefined));
    return draft.id;
  }

  async close(): Promise<void> {
    this.#closed = true;
    this.#disk.stop();
    this.#quarantine.stop();
    await this.#channel.close();
    this.#notes.close();
  }
}

function rowOfPut(op: PutOp): Parameters<typeof messageOf>[0] {
  const { n, id, state, sender, recipients, flags, size, receivedAt, dueAt } = op;
  return [n, id, state, 0, sender, recipients, flags, size, receivedAt, dueAt, 0, ''];
}
