/**
 * One provider at work: it hands ready connections to messages that wait, has
 * more opened when they are needed (connector.ts), and knows when it is out of
 * use. Connecting, TLS and AUTH are the provider's affair: a message never sees
 * them, and however many messages wait, they share one series of tries.
 */
import type { ProviderConfig, ReplyRule, RetryConfig } from '../config/config.ts';
import type { Emit } from '../telemetry/events.ts';
import { Allowance } from './allowance.ts';
import type { Health } from './breaker.ts';
import { Connector } from './connector.ts';
import { HealthWatch } from './health-watch.ts';
import { probeLogin } from './login.ts';
import { PatientLine } from './patient-line.ts';
import { ProviderPool } from './provider-pool.ts';
import type { OpenSession, Session } from './session.ts';
import type { Verdict } from './verdict.ts';
import type { Lane } from './waiting-line.ts';

/** What a message that asked for a connection is told. */
export type Grant =
  /** Here it is, to be given back with release(). */
  | { readonly kind: 'granted'; readonly session: Session; release(): void }
  /** The provider is out of use. */
  | { readonly kind: 'unavailable'; readonly reason: string }
  /** No connection got ready within retry.patienceMs, or all are stuck for as long, and the message may go elsewhere. */
  | { readonly kind: 'impatient' }
  /** A newer configuration has taken this one's place, or delivery stops. */
  | { readonly kind: 'replaced' };

export interface ProviderDeps {
  readonly openSession: OpenSession;
  readonly emit: Emit;
  /** Monotonic, ms: steps of the wall clock must not open or close anything. */
  readonly now: () => number;
  /** Wall clock, ms since the epoch. */
  readonly wallClock: () => number;
  readonly random: () => number;
  readonly retry: () => RetryConfig;
  readonly rules: () => readonly ReplyRule[];
  /** Mail waits, and no provider can be used. */
  readonly urgent: () => boolean;
  /** Hears every change of the kind of health. */
  readonly healthChanged: (provider: Provider, was: Health) => void;
}

export class Provider {
  lastSuccessAt: number | undefined;
  #config: ProviderConfig;
  readonly #deps: ProviderDeps;
  readonly #pool: ProviderPool;
  readonly #line = new PatientLine({
    patienceMs: () => this.#deps.retry().patienceMs,
    late: () => this.#connector.late,
    stillMs: () => this.#connector.stillMs ?? 0,
    again: () => this.#pump(),
  });
  readonly #allowance: Allowance;
  readonly #connector: Connector;
  readonly #watch: HealthWatch;
  readonly #abort = new AbortController();
  /** When the kind of its health changed last. */
  #changedAt = 0;
  #closed = false;

  constructor(config: ProviderConfig, deps: ProviderDeps) {
    this.#config = config;
    this.#deps = deps;
    const open = (): Promise<Session> => deps.openSession(this.#config, this.#abort.signal);
    this.#pool = new ProviderPool(() => this.#config.limits, deps.now);
    this.#allowance = new Allowance({
      limits: () => this.#config.limits,
      now: deps.now,
      beforeTrial: () => (this.health.kind === 'trial' ? this.#pool.busyBefore(this.#changedAt) : undefined),
      again: () => this.#pump(),
    });
    this.#connector = new Connector({
      ...deps,
      config: () => this.#config,
      pool: this.#pool,
      allowance: this.#allowance,
      open,
      usable: () => this.usable,
      waiting: () => this.#line.size,
      changed: () => this.#pump(),
      outOfPatience: () => this.#line.dismissImpatient(),
      failed: (verdict, message) => this.#watch.failed(verdict, message),
      gaveUp: reason => this.#line.dismiss({ kind: 'unavailable', reason }),
    });
    this.#watch = new HealthWatch({
      provider: config.name,
      now: deps.now,
      random: deps.random,
      emit: deps.emit,
      login: () => probeLogin(open, deps.rules()),
      urgent: deps.urgent,
      changed: was => this.#healthChanged(was),
    });
  }

  get config(): ProviderConfig {
    return this.#config;
  }

  get name(): string {
    return this.#config.name;
  }

  get health(): Health {
    return this.#watch.health;
  }

  get connections(): number {
    return this.#connector.connections;
  }

  get usable(): boolean {
    return !this.#closed && this.#config.misconfigured === undefined && this.#watch.usable;
  }

  /** Usable, and not known to keep mail waiting for a connection. */
  get inviting(): boolean {
    return this.usable && !this.#connector.late && this.#admits;
  }

  /** The most recipients in one transaction: its limit, or fewer where it was found to take fewer. */
  get recipientsPerMessage(): number {
    return this.#allowance.recipients;
  }

  /** Why no mail goes there now, for people. */
  get unusableBecause(): string {
    if (this.#config.misconfigured !== undefined) return this.#config.misconfigured;
    const { health } = this;
    return 'message' in health ? health.message : 'no connection could be made';
  }

  /**
   * Asks for a connection: resolves when one is ready, when the provider gets
   * out of use, or when patience ends and `elsewhere` says there is another way.
   */
  acquire(lane: Lane, elsewhere: () => boolean): Promise<Grant> {
    if (this.#closed) return Promise.resolve({ kind: 'replaced' });
    if (!this.usable) return Promise.resolve({ kind: 'unavailable', reason: this.unusableBecause });
    if (!this.inviting && elsewhere()) return Promise.resolve({ kind: 'impatient' });
    return new Promise(answer => {
      this.#line.join({ lane, elsewhere, answer });
      this.#pump();
    });
  }

  /** A transaction was answered as hoped: the provider works. */
  succeeded(): void {
    this.lastSuccessAt = this.#deps.wallClock();
    this.#watch.succeeded();
  }

  /** It answered a transaction by refusing the mail, which concerns the mail alone. */
  refused(messageId: string): void {
    this.#watch.refused(messageId);
  }

  /** It took a message in transactions of so many recipients, having refused it, in these words, with more. */
  tookOnly(recipients: number, reply: string): void {
    if (!this.#allowance.tookOnly(recipients)) return;
    const configured = this.#config.limits.maxRecipientsPerMessage;
    this.#deps.emit({
      event: 'recipient-limit-found',
      provider: this.name,
      recipients,
      configured,
      reply,
    });
  }

  /** A transaction failed; the verdict says how far that concerns the provider, `domains` whose recipients met it. */
  failed(verdict: Verdict, message: string, messageId: string, domains: readonly string[] = []): void {
    this.#watch.failed(verdict, message, messageId, domains);
  }

  /** Logs in without sending. Resolves with why it failed, or undefined. Health follows the result. */
  probe(): Promise<string | undefined> {
    return this.#watch.probe();
  }

  /** Takes over a configuration by which it is reached as before: connections and health stay. */
  reconfigure(config: ProviderConfig): void {
    this.#config = config;
    this.#pump();
  }

  /** Tells waiting messages to look again, without a change of health. */
  interrupt(): void {
    this.#line.dismiss({ kind: 'replaced' });
  }

  /** Takes no more mail: waiting messages are told, running transactions finish. */
  close(): void {
    this.#closed = true;
    this.#line.stopLooking();
    this.#watch.stop();
    this.#connector.stop();
    this.#allowance.stop();
    this.#abort.abort();
    this.#line.dismiss({ kind: 'replaced' });
    this.#pool.retire();
  }

  /** Cuts running transactions as well. */
  destroy(): void {
    this.close();
    this.#pool.destroy();
  }

  /** On trial it gets a few messages at a time. */
  get #admits(): boolean {
    return this.#allowance.admits(this.#pool.busy);
  }

  /** Serves who waits, then opens what is still lacking. */
  #pump(): void {
    if (!this.usable) return;
    while (this.#line.size > 0 && this.#pool.idle > 0 && this.#admits && this.#allowance.takeShare())
      this.#serveOne();
    this.#connector.fill();
    this.#line.keepLooking();
  }

  #serveOne(): void {
    const waiter = this.#line.next(this.#pool.inUse);
    if (waiter === undefined) return;
    const { lane } = waiter;
    const session = this.#pool.take(lane);
    if (session === undefined) return;
    const release = (): void => {
      this.#pool.giveBack(session, lane);
      this.#pump();
    };
    waiter.answer({ kind: 'granted', session, release });
  }

  #healthChanged(was: Health): void {
    this.#changedAt = this.#deps.now();
    if (!this.usable) {
      this.#connector.rest();
      this.#line.dismiss({ kind: 'unavailable', reason: this.unusableBecause });
      if (this.health.kind !== 'cooling') this.#pool.closeIdle();
    }
    this.#deps.healthChanged(this, was);
    this.#pump();
  }
}
