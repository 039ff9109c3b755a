/**
 * The main thread's end of the store: operations of one tick travel together,
 * answers settle their promises. When the thread ends unasked, everything
 * that waits and everything that comes is refused.
 */
import { Worker } from 'node:worker_threads';
import type { RelayEvent } from '../telemetry/events.ts';
import type { Answer, Counters, Op, Report, Request, Results, StoreOptions } from './protocol.ts';
import { SpoolError } from './spool.ts';
import { describe } from './trouble.ts';

interface Waiting {
  resolve(value: unknown): void;
  reject(error: Error): void;
}

export interface ChannelOptions {
  readonly worker: URL;
  readonly store: StoreOptions;
  readonly now: () => number;
  /** Called after the answers of each batch have been given. */
  readonly onReport: (report: {
    readonly counters: Counters;
    readonly events: readonly RelayEvent[];
  }) => void;
}

export type Ready = Extract<Report, { type: 'ready' }>;

/** Young generation of the store's thread: its garbage is short-lived and small. */
const YOUNG_MEGABYTES = 8;

export class Channel {
  readonly #options: ChannelOptions;
  readonly #worker: Worker;
  readonly #waiting = new Map<number, Waiting>();
  readonly #started: PromiseWithResolvers<Ready> = Promise.withResolvers();
  readonly #ended: PromiseWithResolvers<void> = Promise.withResolvers();
  #ops: Op[] = [];
  #transfers: ArrayBuffer[] = [];
  #next = 0;
  #scheduled = false;
  #closing = false;
  #failure: string | undefined;

  private constructor(options: ChannelOptions) {
    this.#options = options;
    this.#worker = new Worker(options.worker, {
      workerData: options.store,
      name: 'spool',
      resourceLimits: { maxYoungGenerationSizeMb: YOUNG_MEGABYTES },
    });
    this.#worker.on('message', (report: Report) => this.#receive(report));
    this.#worker.on('error', error => this.#lost(`the store's thread failed: ${describe(error)}`));
    this.#worker.on('exit', code => {
      this.#lost(`the store's thread ended with code ${code}`);
      this.#ended.resolve();
    });
  }

  /** Starts the thread. Rejects with SpoolError when it refuses to open the directory. */
  static async start(options: ChannelOptions): Promise<{ readonly channel: Channel; readonly ready: Ready }> {
    const channel = new Channel(options);
    const ready = await channel.#started.promise;
    return { channel, ready };
  }

  failure(): string | undefined {
    return this.#failure;
  }

  /** Resolves when the operation is on disk. Buffers in `transfer` are given away. */
  call<K extends Op['op']>(op: Extract<Op, { op: K }>, transfer?: ArrayBuffer): Promise<Results[K]> {
    if (this.#closing) return Promise.reject(new SpoolError('closed', 'the spool is closed'));
    if (this.#failure !== undefined) return Promise.reject(new SpoolError('io', this.#failure));
    const call = this.#next + this.#ops.length;
    this.#ops.push(op);
    if (transfer !== undefined) this.#transfers.push(transfer);
    if (!this.#scheduled) {
      this.#scheduled = true;
      setImmediate(() => this.#flush(false));
    }
    return new Promise((resolve, reject) => {
      this.#waiting.set(call, { resolve: resolve as (value: unknown) => void, reject });
    });
  }

  /** Finishes what waits and ends the thread. */
  async close(): Promise<void> {
    if (!this.#closing) {
      this.#flush(true);
      this.#closing = true;
    }
    await this.#ended.promise;
  }

  #flush(close: boolean): void {
    this.#scheduled = false;
    if (this.#closing || (this.#ops.length === 0 && !close)) return;
    const request: Request = { now: this.#options.now(), first: this.#next, ops: this.#ops, close };
    const transfers = this.#transfers;
    this.#next += this.#ops.length;
    this.#ops = [];
    this.#transfers = [];
    this.#worker.postMessage(request, transfers);
  }

  #receive(report: Report): void {
    switch (report.type) {
      case 'ready':
        this.#started.resolve(report);
        return;
      case 'refused':
        this.#failure = report.message;
        this.#started.reject(new SpoolError(report.kind, report.message));
        return;
      case 'answers':
        this.#failure ??= report.failure;
        for (const answer of report.answers) this.#answer(answer);
        this.#options.onReport(report);
    }
  }

  #answer(answer: Answer): void {
    const waiting = this.#waiting.get(answer.call);
    if (waiting === undefined) return;
    this.#waiting.delete(answer.call);
    if ('kind' in answer) waiting.reject(new SpoolError(answer.kind, answer.message));
    else waiting.resolve(answer.value);
  }

  /** The thread is gone: in order when it was told to close. */
  #lost(why: string): void {
    const error = this.#closing ? new SpoolError('closed', 'the spool is closed') : new SpoolError('io', why);
    if (!this.#closing && this.#failure === undefined) {
      this.#failure = why;
      this.#options.onReport({
        counters: { messages: [], bytes: [], oldest: [], spareBytes: 0 },
        events: [{ event: 'spool-failed', message: why }],
      });
    }
    this.#started.reject(error);
    for (const waiting of this.#waiting.values()) waiting.reject(error);
    this.#waiting.clear();
  }
}
