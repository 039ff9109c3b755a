/**
 * Delivery as the program sees it: give it a configuration and a spool, and it
 * sends what is in the spool through the providers until told to stop.
 */
import type { RelayConfig } from '../config/config.ts';
import type { Spool } from '../spool/spool.ts';
import type { Emit } from '../telemetry/events.ts';
import { sendBounce } from './bounce-mail.ts';
import { ProviderSet, type ProviderStatus } from './provider-set.ts';
import { Scheduler, type SchedulerDeps } from './scheduler.ts';
import type { OpenSession } from './session.ts';

export interface DeliveryDeps {
  readonly spool: Spool;
  readonly emit: Emit;
  readonly openSession: OpenSession;
  /** Wall clock, ms since the epoch. */
  readonly now: () => number;
  /** Monotonic clock, ms. */
  readonly monotonic: () => number;
  /** Uniform in [0, 1). */
  readonly random: () => number;
}

/** A second store that is being emptied: another relay's, which is gone. */
export interface Adopted {
  /** Stops sending from it. Resolves when none of its messages is on a round. */
  stop(): Promise<void>;
}

export class Delivery {
  readonly #providers: ProviderSet;
  readonly #deps: DeliveryDeps;
  readonly #own: Scheduler;
  /** Its own store's first, then those adopted. */
  readonly #schedulers: Scheduler[];
  #config: RelayConfig;
  /** stop() was called: nothing begins any more. */
  #stopping = false;

  constructor(config: RelayConfig, deps: DeliveryDeps) {
    this.#config = config;
    this.#deps = deps;
    this.#providers = new ProviderSet({
      openSession: deps.openSession,
      emit: deps.emit,
      now: deps.monotonic,
      wallClock: deps.now,
      random: deps.random,
      retry: () => this.#config.retry,
      rules: () => this.#config.replyRules,
      mailWaits: () => this.#sending && this.#schedulers.some(({ mailWaits }) => mailWaits),
      recovered: ({ name }) => this.drain(`provider ${name} is back`),
    });
    this.#providers.configure(config.providers);
    this.#own = this.#schedule(deps.spool, message => deps.emit({ event: 'spool-failed', message }));
    this.#schedulers = [this.#own];
  }

  /**
   * Begins sending, unless the configuration holds mail back. What waited for a
   * resend goes now as well: the delay it had was measured in another life of
   * the relay, with providers that may be back since.
   */
  start(): void {
    this.#resume();
    this.drain('the relay started');
  }

  #resume(): void {
    if (!this.#sending) return;
    for (const scheduler of this.#schedulers) scheduler.resume();
  }

  get #sending(): boolean {
    return this.#config.forwarding && !this.#stopping;
  }

  /** Takes over a new configuration, live; while it stops, it keeps the old one. */
  reconfigure(config: RelayConfig): void {
    if (this.#stopping) return;
    const wasForwarding = this.#config.forwarding;
    this.#config = config;
    const changed = this.#providers.configure(config.providers);
    if (!config.forwarding) {
      for (const scheduler of this.#schedulers) scheduler.pause();
      this.#providers.interrupt();
      return;
    }
    this.#resume();
    if (changed || !wasForwarding) this.drain('the configuration changed');
  }

  /** Sends everything that waits in emails/failed now. */
  drain(reason: string): void {
    for (const scheduler of this.#schedulers) scheduler.drain(reason);
  }

  /** Messages were made due, released or imported: looks at the store again. */
  look(): void {
    for (const scheduler of this.#schedulers) scheduler.look();
  }

  get running(): number {
    return this.#schedulers.reduce((sum, { running }) => sum + running, 0);
  }

  /** Why nothing is sent from its own store although it should be; undefined = all is well. */
  get broken(): string | undefined {
    return this.#own.broken;
  }

  providers(): ProviderStatus[] {
    return this.#providers.status();
  }

  /** Logs in to each provider without sending mail. */
  verify(): Promise<{ provider: string; error?: string }[]> {
    return this.#providers.verify();
  }

  /**
   * Ends: transactions under way may finish within `deadlineMs`, then they are
   * cut, and bodies that the disk has not given are waited for no longer.
   * What was not settled stays in the spool as it was.
   */
  async stop(deadlineMs: number): Promise<void> {
    this.#stopping = true;
    for (const scheduler of this.#schedulers) scheduler.pause();
    this.#providers.close();
    const deadline = setTimeout(() => {
      this.#providers.destroy();
      for (const scheduler of this.#schedulers) scheduler.abandon();
    }, deadlineMs);
    await Promise.all(this.#schedulers.map(scheduler => scheduler.settled()));
    clearTimeout(deadline);
    this.#providers.destroy();
  }

  /**
   * Sends from another store as well, everything in it at once, until told to stop. `failed` is called when that
   * store can no longer be trusted: nothing more is sent from it, and all else goes on.
   */
  adopt(spool: Spool, failed: (reason: string) => void): Adopted {
    const scheduler = this.#schedule(spool, failed);
    this.#schedulers.push(scheduler);
    if (this.#sending) {
      scheduler.resume();
      scheduler.drain('the relay it belonged to is gone');
    }
    return {
      stop: async () => {
        scheduler.pause();
        await scheduler.settled();
        this.#schedulers.splice(this.#schedulers.indexOf(scheduler), 1);
      },
    };
  }

  #schedule(spool: Spool, storeFailed: SchedulerDeps['storeFailed']): Scheduler {
    const { emit, now, random } = this.#deps;
    return new Scheduler({
      spool,
      emit,
      storeFailed,
      now,
      random,
      settings: () => this.#config,
      providers: () => this.#providers.all,
      bounce: (message, recipients, read) => {
        const { hostname } = this.#config.listener;
        const begin: Spool['begin'] = options => spool.begin(options);
        return sendBounce(message, recipients, { spool: { begin, read }, hostname, now });
      },
    });
  }
}
