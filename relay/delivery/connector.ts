/**
 * Makes one provider's connections: opens what mail that waits still lacks, the
 * first in a series of tries, further ones a few at a time, and knows when mail
 * waits in vain. What a connection is used for is the provider's affair.
 */
import type { ProviderConfig, ReplyRule, RetryConfig } from '../config/config.ts';
import type { Emit } from '../telemetry/events.ts';
import type { Allowance, RefusedBy } from './allowance.ts';
import { ConnectSeries } from './connect-series.ts';
import { describe, type Failure } from './failure.ts';
import { judge } from './judge.ts';
import { tryToOpen } from './login.ts';
import type { ProviderPool } from './provider-pool.ts';
import type { Session } from './session.ts';
import { tellOpenFailed } from './tell.ts';
import type { Verdict } from './verdict.ts';

export interface ConnectorDeps {
  readonly config: () => ProviderConfig;
  readonly pool: ProviderPool;
  readonly allowance: Allowance;
  readonly open: () => Promise<Session>;
  readonly emit: Emit;
  /** Monotonic, ms. */
  readonly now: () => number;
  readonly retry: () => RetryConfig;
  readonly rules: () => readonly ReplyRule[];
  readonly usable: () => boolean;
  /** Messages that wait for a connection. */
  readonly waiting: () => number;
  /** A connection came or went, or more may be opened now. */
  readonly changed: () => void;
  /** A series has lasted for retry.patienceMs. */
  readonly outOfPatience: () => void;
  /** A try failed in a way that concerns the provider. */
  readonly failed: (verdict: Verdict, message: string) => void;
  /** No try of the series made a connection. */
  readonly gaveUp: (reason: string) => void;
}

/** Connections opened at the same time while others already work. */
const PARALLEL_OPENS = 4;
/** A connection at work that said or took something within this time works, ms. Most answers to a final dot are sooner. */
const WORKS_MS = 10_000;

interface Opening {
  readonly since: number;
  /** Others worked when it was begun. */
  readonly further: boolean;
}

export class Connector {
  readonly #deps: ConnectorDeps;
  readonly #pool: ProviderPool;
  readonly #allowance: Allowance;
  readonly #series: ConnectSeries;
  /** Connections that are being opened, and since when: the oldest first. */
  readonly #opening = new Set<Opening>();
  #stopped = false;

  constructor(deps: ConnectorDeps) {
    this.#deps = deps;
    this.#pool = deps.pool;
    this.#allowance = deps.allowance;
    this.#series = new ConnectSeries({
      retry: deps.retry,
      again: deps.changed,
      outOfPatience: deps.outOfPatience,
    });
  }

  /** Those there are and those that are being opened. */
  get connections(): number {
    return this.#pool.established + this.#opening.size;
  }

  /** Mail has waited here as long as it must: no connection yet, or nothing moves on any of those there are. */
  get late(): boolean {
    if (this.#series.late) return true;
    const { patienceMs } = this.#deps.retry();
    return !this.#pool.movedWithin(patienceMs) && (this.stillMs ?? -1) >= patienceMs;
  }

  /**
   * For how long nothing has moved, neither on the connections at work nor on
   * those being opened, ms. undefined = one is free, or nobody has tried yet to
   * open one more: what hangs may be one mail's affair and not the provider's.
   */
  get stillMs(): number | undefined {
    if (this.#pool.idle > 0 && this.#allowance.admits(this.#pool.busy)) return undefined;
    const [oldest] = this.#opening;
    if (oldest === undefined) return this.#hasRoom ? undefined : this.#pool.quietMs;
    return Math.min(this.#pool.quietMs, this.#deps.now() - oldest.since);
  }

  /** Opens what is lacking and allowed. */
  fill(): void {
    if (this.#works) this.#series.end();
    else this.#allowance.doubt();
    while (this.#needsOneMore()) void this.#open();
  }

  /** Nothing more is tried until fill() is called. */
  rest(): void {
    this.#series.end();
  }

  /** For good: what is still being opened is closed when it is ready. */
  stop(): void {
    this.#stopped = true;
    this.rest();
  }

  /** May there be one connection more? */
  get #hasRoom(): boolean {
    return this.connections < this.#allowance.connections;
  }

  /** Does mail go over a connection that there is? If not, one more is opened as if it were the first. */
  get #works(): boolean {
    return this.#pool.idle > 0 || this.#pool.movedWithin(WORKS_MS);
  }

  #needsOneMore(): boolean {
    if (this.#series.pausing || !this.#deps.usable()) return false;
    if (this.#opening.size >= (this.#works ? PARALLEL_OPENS : 1)) return false;
    // What the rate holds back needs no connection yet: opened now, it would idle, end, and be opened again.
    const wanted = this.#allowance.shares(this.#deps.waiting()) > this.#pool.idle + this.#opening.size;
    if (!(wanted || this.#series.running)) return false;
    return this.#hasRoom;
  }

  async #open(): Promise<void> {
    const opening = { since: this.#deps.now(), further: this.#works };
    this.#opening.add(opening);
    if (!opening.further) this.#series.begin();
    const result = await tryToOpen(this.#deps.open);
    this.#opening.delete(opening);
    if (this.#stopped) {
      if (result.session !== undefined) void result.session.quit();
      return;
    }
    if (result.session === undefined) this.#failed(result.failure, opening);
    else {
      this.#series.end();
      this.#pool.add(result.session, this.#deps.changed);
    }
    this.#deps.changed();
  }

  #failed(failure: Failure, opening: Opening): void {
    const verdict = judge(failure, { acceptedBefore: 0 }, this.#deps.rules());
    const limit = this.#limitMet(verdict, opening);
    const tryNumber = this.#series.try;
    const retryInMs = limit === undefined ? this.#series.failed(verdict.again === 'retry') : undefined;
    tellOpenFailed(this.#deps.emit, {
      config: this.#deps.config(),
      failure,
      verdict,
      tryNumber,
      tries: this.#deps.retry().attempts,
      durationMs: this.#deps.now() - opening.since,
      retryInMs,
    });
    if (limit !== undefined) {
      this.#series.end();
      this.#allowance.refusedBeyond(Math.max(1, this.#pool.established), limit);
      return;
    }
    // 4xx to AUTH and the like: a glitch that the next try may not meet, or else a throttle.
    const mayPass = verdict.effect === 'cool-down' && retryInMs !== undefined;
    if (!mayPass) this.#deps.failed(verdict, describe(failure));
    if (this.#deps.usable() && retryInMs === undefined) {
      this.#series.end();
      this.#deps.gaveUp(describe(failure));
    }
  }

  /**
   * Whether it wants no more connections than it has, and how that shows: in
   * words, or by a failure beside connections that work. What another try would
   * only repeat (a certificate, a password) is no limit.
   */
  #limitMet(verdict: Verdict, { further }: Opening): RefusedBy | undefined {
    const said = verdict.class === 'rate' || verdict.class === 'service';
    if (said) return further || this.#pool.established > 0 ? 'said' : undefined;
    return verdict.again === 'retry' && (further || this.#works) ? 'guessed' : undefined;
  }
}
