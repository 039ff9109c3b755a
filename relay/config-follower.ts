/**
 * What a running relay does when its configuration changes: hands it to the
 * parts, sends what waits when that is asked for, and leaves when it is to go.
 */
import type { RelayConfig } from './config/config.ts';
import type { Delivery } from './delivery/delivery.ts';
import type { Listener } from './inbound/listener.ts';
import { spoolSettings } from './own-spool.ts';
import type { OpenSpool } from './spool/settings.ts';
import type { Emit } from './telemetry/events.ts';
import type { WholeQueue } from './whole-queue.ts';

export interface FollowerDeps {
  readonly delivery: Delivery;
  readonly listener: Listener;
  /** Its own store's and those adopted. */
  readonly spools: () => readonly OpenSpool[];
  readonly queue: WholeQueue;
  readonly emit: Emit;
}

export class ConfigFollower {
  readonly #deps: FollowerDeps;
  /** While draining: to the end of the grace time, or fired. */
  #drainTimer: NodeJS.Timeout | undefined;
  #resendRequestedAt: string | undefined;

  /** `begunWith`: what the parts have already. */
  constructor(begunWith: RelayConfig, deps: FollowerDeps) {
    this.#deps = deps;
    this.#resendRequestedAt = begunWith.resendRequestedAt;
  }

  follow(config: RelayConfig): void {
    const { delivery, listener, spools } = this.#deps;
    listener.reconfigure(config.listener);
    for (const spool of spools()) spool.configure(spoolSettings(config));
    delivery.reconfigure(config);
    if (config.resendRequestedAt !== undefined && config.resendRequestedAt !== this.#resendRequestedAt) {
      void this.#resendAll();
    }
    this.#resendRequestedAt = config.resendRequestedAt;
    this.#followDraining(config);
  }

  /** A relay that is to go as soon as it has started: it was in no Service yet, so nobody needs the grace time. */
  begin(config: RelayConfig): void {
    if (!config.draining) return;
    this.#followDraining(config);
    this.#deps.listener.stopAccepting();
  }

  stop(): void {
    clearTimeout(this.#drainTimer);
  }

  /** As `queue resend --all`: somebody asks, so mail that may have arrived goes as well. */
  async #resendAll(): Promise<void> {
    const { queue, delivery, emit } = this.#deps;
    try {
      const count = await queue.resend({ state: 'failed' });
      emit({ event: 'queue-operation', message: 'resend requested by the configuration', count });
      delivery.look();
    } catch (error) {
      emit({ event: 'spool-trouble', message: error instanceof Error ? error.message : String(error) });
    }
  }

  /**
   * A relay that is to go leaves the Service first (not ready), then takes no more mail. The grace time is one, whatever
   * else changes in it: whoever told it to drain calls its volume empty by when it began.
   */
  #followDraining(config: RelayConfig): void {
    const { delivery, listener } = this.#deps;
    if (!config.draining) {
      clearTimeout(this.#drainTimer);
      this.#drainTimer = undefined;
      listener.resumeAccepting();
      return;
    }
    delivery.drain('this relay is to go');
    this.#drainTimer ??= setTimeout(() => listener.stopAccepting(), config.shutdown.graceMs);
  }
}
