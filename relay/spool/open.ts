/**
 * The spool as its users see it: hands each call to the store's thread and
 * keeps at hand what must be answered at once (counts, room, failure).
 */
import { randomInt } from 'node:crypto';
import { mkdir } from 'node:fs/promises';
import type { Emit } from '../telemetry/events.ts';
import { Channel, type Ready } from './channel.ts';
import { Disk, volumeOf } from './disk.ts';
import { ArrivingMessage, Flow } from './draft.ts';
import type { MessageId, QueueCounts, QueueState, Recipient, StoredMessage } from './message.ts';
import { messageIds } from './message-id.ts';
import {
  type ChangeOp,
  type Counters,
  FAILED,
  MAX_BODY_BYTES,
  type PutOp,
  type Retention,
  type SettleOp,
  STATES,
} from './protocol.ts';
import { messageOf, pageOf, revived } from './queue-rows.ts';
import { readBody } from './reading.ts';
import type {
  Arrival,
  ArrivalTaker,
  Claim,
  ClaimQuery,
  Draft,
  QueueFilter,
  Settlement,
  Spool,
} from './spool.ts';
import { SpoolError } from './spool.ts';

/** What may be changed while the spool is open. */
export interface SpoolSettings {
  /** Largest message the listener takes, bytes; at most 1 GiB. */
  readonly maxMessageBytes: number;
  /** Free bytes below which new mail is refused; absent: see reserveBytes() in disk.ts. */
  readonly reserveBytes?: number;
  /** Dead messages beyond any of these are removed by sweep(). */
  readonly retention: Retention;
}

export interface SpoolOptions extends SpoolSettings {
  /** <dataDir>/emails; made when missing. */
  readonly directory: string;
  /** Milliseconds since the epoch; may step. */
  readonly now: () => number;
  readonly emit: Emit;
  /** Entry of the store's thread; tests put one with faults in its place. */
  readonly worker?: URL;
}

/** A spool whose settings follow the live configuration. */
export interface OpenSpool extends Spool {
  configure(settings: SpoolSettings): void;
}

/** Messages looked at, listed or changed in one step. */
const PAGE = 500;
const MEGABYTE = 1024 * 1024;
/** Big enough for a batch of deletions, small beside the reserve. */
const BALLAST_BYTES = 8 * MEGABYTE;

/** A bundle has the thread's program beside it under this name. */
function workerUrl(): URL {
  const source = import.meta.url.endsWith('.ts');
  return new URL(source ? './worker.ts' : './spool-worker.js', import.meta.url);
}

/**
 * Opens or creates the store in a directory and puts it in order. Rejects
 * with SpoolError: owned (another process has it), corrupt (or written by a
 * newer program), disk-full, io.
 */
export async function openSpool(options: SpoolOptions): Promise<OpenSpool> {
  checkSettings(options);
  await mkdir(options.directory, { recursive: true });
  const volume = await volumeOf(options.directory);
  const disk = new Disk({
    look: () => volumeOf(options.directory),
    maxMessageBytes: options.maxMessageBytes,
    reserveBytes: options.reserveBytes,
    emit: options.emit,
  });
  const reports: { take?: (counters: Counters) => void } = {};
  const { channel, ready } = await Channel.start({
    worker: options.worker ?? workerUrl(),
    store: {
      directory: options.directory,
      now: options.now(),
      // A volume of a few megabytes is not filled with ballast.
      ballastBytes: Math.min(BALLAST_BYTES, Math.floor(volume.totalBytes / 64)),
    },
    now: options.now,
    onReport: ({ counters, events }) => {
      reports.take?.(counters);
      for (const event of events) options.emit(event);
    },
  });
  const spool = new SqliteSpool({ options, channel, disk, ready });
  reports.take = counters => spool.counted(counters);
  for (const event of ready.events) options.emit(event);
  await disk.start();
  return spool;
}

function checkSettings(settings: SpoolSettings): void {
  if (settings.maxMessageBytes <= MAX_BODY_BYTES) return;
  throw new SpoolError(
    'io',
    `maxMessageBytes is ${settings.maxMessageBytes}; the spool holds messages of at most ${MAX_BODY_BYTES} bytes`,
  );
}

interface Parts {
  readonly options: SpoolOptions;
  readonly channel: Channel;
  readonly disk: Disk;
  readonly ready: Ready;
}

class SqliteSpool implements OpenSpool {
  readonly #options: SpoolOptions;
  readonly #channel: Channel;
  readonly #disk: Disk;
  readonly #nextId: () => MessageId;
  readonly #flow = new Flow();
  #retention: Retention;
  #nextN: number;
  #counters: Counters;
  #taker: ArrivalTaker | undefined;
  #closed = false;

  constructor({ options, channel, disk, ready }: Parts) {
    this.#options = options;
    this.#channel = channel;
    this.#disk = disk;
    this.#retention = options.retention;
    this.#nextN = ready.nextN;
    this.#counters = ready.counters;
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

  begin(): Draft {
    const { freeBytes, reserveBytes, low } = this.#disk.state();
    if (low) {
      throw new SpoolError('disk-full', `${freeBytes} bytes are free, ${reserveBytes} are kept in reserve`);
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
    });
  }

  async #put(op: PutOp, body: Buffer | undefined): Promise<void> {
    const taker = op.claim ? undefined : this.#taker;
    const wanted = taker?.wanted(op.size) ?? false;
    this.#disk.wrote(body?.length ?? 0);
    try {
      await this.#channel.call({ ...op, claim: op.claim || wanted });
    } catch (error) {
      if (error instanceof SpoolError && error.kind === 'disk-full') this.#disk.full();
      throw error;
    }
    if (wanted) taker?.take({ message: messageOf(rowOfPut(op)), ...(body === undefined ? {} : { body }) });
  }

  async claim(query: ClaimQuery): Promise<readonly Claim[]> {
    const claimed = await this.#channel.call({
      op: 'claim',
      state: STATES.indexOf(query.state),
      dueBefore: query.dueBefore,
      triedBefore: query.triedBefore,
      limit: query.limit,
    });
    return claimed.map(({ row, body }) => ({
      message: messageOf(row),
      ...(body === undefined ? {} : { body: Buffer.from(body.buffer, body.byteOffset, body.byteLength) }),
    }));
  }

  onArrival(taker: ArrivalTaker): void {
    this.#taker = taker;
  }

  async settle(id: MessageId, settlement: Settlement): Promise<void> {
    await this.#settle(id, {
      kind: settlement.kind,
      recipients: settlement.recipients,
      // A dead message has no next round: the column holds when it died, for retention.
      dueAt: settlement.kind === 'failed' ? settlement.dueAt : this.#options.now(),
      reason: 'reason' in settlement ? settlement.reason : '',
    });
  }

  async #settle(
    id: MessageId,
    to: Pick<SettleOp, 'kind' | 'dueAt' | 'reason'> & { readonly recipients: readonly Recipient[] },
  ): Promise<void> {
    await this.#channel.call({ op: 'settle', id, ...to, recipients: JSON.stringify(to.recipients) });
  }

  async release(id: MessageId): Promise<void> {
    await this.#channel.call({ op: 'release', id });
  }

  read(id: MessageId): AsyncIterable<Buffer> {
    return readBody(this.#options.directory, this.#channel, id);
  }

  nextDue(state: 'active' | 'failed'): Promise<number | undefined> {
    return this.#channel.call({ op: 'next-due', state: STATES.indexOf(state) });
  }

  counts(): QueueCounts {
    const { messages, bytes, oldest } = this.#counters;
    const of = (state: QueueState) => {
      const code = STATES.indexOf(state);
      const oldestReceivedAt = oldest[code] ?? 0;
      return {
        messages: messages[code] ?? 0,
        bytes: bytes[code] ?? 0,
        ...(oldestReceivedAt > 0 && (messages[code] ?? 0) > 0 ? { oldestReceivedAt } : {}),
      };
    };
    return { active: of('active'), failed: of('failed'), held: of('held'), dead: of('dead') };
  }

  disk(): { readonly freeBytes: number; readonly reserveBytes: number; readonly low: boolean } {
    return this.#disk.state();
  }

  failure(): string | undefined {
    return this.#closed ? undefined : this.#channel.failure();
  }

  async list(filter: QueueFilter): Promise<readonly StoredMessage[]> {
    const found: StoredMessage[] = [];
    const limit = filter.limit ?? Number.POSITIVE_INFINITY;
    let page = pageOf(filter, this.#options.now(), PAGE);
    while (found.length < limit) {
      const { rows, next } = await this.#channel.call({ op: 'select', page });
      for (const row of rows.slice(0, limit - found.length)) found.push(messageOf(row));
      if (next === undefined) break;
      page = { ...page, after: next };
    }
    return found;
  }

  resend(filter: QueueFilter): Promise<number> {
    return this.#change('resend', filter);
  }

  hold(filter: QueueFilter): Promise<number> {
    return this.#change('hold', filter);
  }

  unhold(filter: QueueFilter): Promise<number> {
    return this.#change('unhold', filter);
  }

  async remove(filter: QueueFilter): Promise<number> {
    const removed = await this.#change('remove', filter);
    await this.#channel.call({ op: 'files' });
    return removed;
  }

  async #change(kind: ChangeOp['kind'], filter: QueueFilter): Promise<number> {
    const limit = filter.limit ?? Number.POSITIVE_INFINITY;
    let page = pageOf(filter, this.#options.now(), Math.min(PAGE, limit));
    let changed = 0;
    while (changed < limit) {
      page = { ...page, limit: Math.min(PAGE, limit - changed) };
      const { chosen, revive, next } = await this.#channel.call({ op: 'change', kind, page });
      changed += chosen + (await this.#revive(revive.map(messageOf)));
      if (next === undefined) break;
      page = { ...page, after: next };
    }
    return changed;
  }

  /** Dead messages become failed ones that are due now, their bodies moved back. */
  async #revive(messages: readonly StoredMessage[]): Promise<number> {
    const dueAt = this.#options.now();
    const results = await Promise.allSettled(
      messages.map(message =>
        this.#settle(message.id, {
          kind: 'revive',
          recipients: revived(message.recipients),
          dueAt,
          reason: 'resend asked for by hand',
        }),
      ),
    );
    for (const result of results) {
      // Removed meanwhile: not an error of the others.
      if (result.status === 'rejected' && (result.reason as SpoolError).kind !== 'not-found')
        throw result.reason;
    }
    return results.filter(result => result.status === 'fulfilled').length;
  }

  async sweep(now: number): Promise<number> {
    let removed = 0;
    for (;;) {
      const step = await this.#channel.call({ op: 'sweep', now, retention: this.#retention });
      removed += step;
      if (step === 0) break;
    }
    await this.#channel.call({ op: 'files' });
    if (removed > 0) {
      this.#options.emit({
        event: 'dead-removed',
        message: `${removed} dead messages were beyond retention`,
        count: removed,
      });
    }
    return removed;
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
    // It is safe by now; this puts the body where failed ones are and frees the message.
    await this.#settle(draft.id, { kind: 'file', recipients, dueAt, reason: '' });
    return draft.id;
  }

  async close(): Promise<void> {
    this.#closed = true;
    this.#disk.stop();
    await this.#channel.close();
  }
}

function rowOfPut(op: PutOp): Parameters<typeof messageOf>[0] {
  const { n, id, state, sender, recipients, flags, size, receivedAt, dueAt } = op;
  return [n, id, state, 0, sender, recipients, flags, size, receivedAt, dueAt, 0, ''];
}
