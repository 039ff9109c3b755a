/**
 * Delivery as the program sees it: give it a configuration and a spool, and it
 * sends what is in the spool through the providers until told to stop.
 */
import type { RelayConfig } from '../config/config.ts';
import type { Spool } from '../spool/spool.ts';
import type { Emit } from '../telemetry/events.ts';
import { sendBounce } from './bounce-mail.ts';
import { ProviderSet, type ProviderStatus } from './provider-set.ts';
import { Scheduler } from './scheduler.ts';
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

export class Delivery {
  readonly #providers: ProviderSet;
  readonly #scheduler: Scheduler;
  #config: RelayConfig;

  constructor(config: RelayConfig, deps: DeliveryDeps) {
    this.#config = config;
    this.#providers = new ProviderSet({
      openSession: deps.openSession,
      emit: deps.emit,
      now: deps.monotonic,
      wallClock: deps.now,
      random: deps.random,
      retry: () => this.#config.retry,
      rules: () => this.#config.replyRules,
      recovered: ({ name }) => this.#scheduler.drain(`provider ${name} is back`),
    });
    this.#scheduler = new Scheduler({
      spool: deps.spool,
      emit: deps.emit,
      now: deps.now,
      random: deps.random,
      settings: () => this.#config,
      providers: () => this.#providers.all,
      bounce: async (message, recipients) => {
        if (this.#config.resend.bounces) {
          await sendBounce(message, recipients, {
            spool: deps.spool,
            hostname: this.#config.listener.hostname,
            now: deps.now,
          });
        }
      },
    });
    this.#providers.configure(config.providers);
  }

  /** Begins sending, unless the configuration holds mail back. */
  start(): void {
    if (this.#config.forwarding) this.#scheduler.resume();
  }

  /** Takes over a new configuration, live. */
  reconfigure(config: RelayConfig): void {
    const wasForwarding = this.#config.forwarding;
    this.#config = config;
    const changed = this.#providers.configure(config.providers);
    if (!config.forwarding) {
      this.#scheduler.pause();
      this.#providers.interrupt();
      return;
    }
    this.#scheduler.resume();
    if (changed || !wasForwarding) this.drain('the configuration changed');
  }

  /** Sends everything that waits in emails/failed now. */
  drain(reason: string): void {
    this.#scheduler.drain(reason);
  }

  /** Messages were made due, released or imported: looks at the store again. */
  look(): void {
    this.#scheduler.look();
  }

  get running(): number {
    return this.#scheduler.running;
  }

  /** Why nothing is sent although it should be; undefined = all is well. */
  get broken(): string | undefined {
    return this.#scheduler.broken;
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
   * cut. What was not settled stays in the spool as it was.
   */
  async stop(deadlineMs: number): Promise<void> {
    this.#scheduler.pause();
    this.#providers.close();
    const deadline = setTimeout(() => this.#providers.destroy(), deadlineMs);
    await this.#scheduler.settled();
    clearTimeout(deadline);
    this.#providers.destroy();
  }
}
