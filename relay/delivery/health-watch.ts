/**
 * Keeps one provider's health (breaker.ts) over time: takes in successes and
 * failures, probes in the background while the provider is out of use, and
 * says when it is back. Sends no mail.
 */
import type { Emit } from '../telemetry/events.ts';
import { maskAddresses } from './addresses.ts';
import {
  type Health,
  initial,
  onDelivered,
  onFailure,
  onLoggedIn,
  onProbeFailed,
  onRefused,
  onTick,
  usable,
  wakesAt,
} from './breaker.ts';
import type { Verdict } from './verdict.ts';

/** What a login without mail came to: undefined when it worked. */
export type ProbeResult = { readonly verdict: Verdict; readonly message: string } | undefined;

export interface HealthWatchDeps {
  readonly provider: string;
  readonly now: () => number;
  readonly random: () => number;
  readonly emit: Emit;
  /** Connect, TLS, AUTH, NOOP, QUIT. Never rejects. */
  readonly login: () => Promise<ProbeResult>;
  /** Mail waits, and no other provider can be used: a provider that is not there is looked for more often. */
  readonly urgent: () => boolean;
  readonly changed: (was: Health, is: Health) => void;
}

/** Messages remembered that a throttle was answered to. */
const THROTTLED = 100;

/** Whether it has become urgent meanwhile is looked at as often, ms. */
const LOOK_MS = 2500;

export class HealthWatch {
  readonly #deps: HealthWatchDeps;
  #health: Health = initial();
  #timer: NodeJS.Timeout | undefined;
  #stopped = false;
  /** One login at a time, whatever fails meanwhile: a refused one counts against the account. */
  #probing: Promise<string | undefined> | undefined;
  /** Messages that cooled it down, the last ones, each with how many others had been taken by then. */
  readonly #throttled = new Map<string, number>();
  #lastThrottled: string | undefined;
  #taken = 0;

  constructor(deps: HealthWatchDeps) {
    this.#deps = deps;
  }

  get health(): Health {
    return this.#health;
  }

  get usable(): boolean {
    return usable(this.#health, this.#deps.now());
  }

  succeeded(): void {
    this.#taken += 1;
    if (isSpotless(this.#health)) return;
    this.#become(onDelivered(this.#health));
  }

  refused(messageId: string): void {
    const next = onRefused(this.#health, messageId);
    if (next !== this.#health) this.#become(next);
  }

  /** `domains`: of the recipients that were answered so, where the verdict is about them. */
  failed(verdict: Verdict, message: string, messageId?: string, domains: readonly string[] = []): void {
    const moment = { ...this.#moment(message), domains };
    const at = messageId === undefined ? moment : { ...moment, messageId };
    const next = onFailure(this.#health, verdict, at);
    const cools =
      verdict.effect === 'cool-down' || (verdict.effect === 'soft-cool-down' && next.kind === 'cooling');
    if (cools && messageId !== undefined && this.#isItsOwn(messageId)) return;
    this.#become(next);
  }

  /** Looks whether the provider works: now, or as a probe under way finds. Resolves with why not, or undefined. */
  probe(): Promise<string | undefined> {
    this.#probing ??= this.#probe();
    return this.#probing;
  }

  async #probe(): Promise<string | undefined> {
    clearTimeout(this.#timer);
    const result = await this.#deps.login();
    this.#probing = undefined;
    if (this.#stopped) return result?.message;
    if (result === undefined) this.#become(onLoggedIn(this.#health));
    else this.#become(onProbeFailed(this.#health, result.verdict, this.#moment(result.message)));
    const next = wakesAt(this.#health, this.#deps.urgent());
    this.#deps.emit({
      event: 'provider-probe',
      provider: this.#deps.provider,
      ok: result === undefined,
      message: maskAddresses(result?.message ?? 'connected and logged in'),
      ...(next === undefined ? {} : { nextInMs: Math.max(0, next - this.#deps.now()) }),
    });
    return result?.message;
  }

  stop(): void {
    this.#stopped = true;
    clearTimeout(this.#timer);
  }

  /**
   * Whether a throttle is meant for that message alone: it was throttled last, too, or other mail was taken meanwhile.
   * The end of a cool-down brings all that waits, such a message with it, which would keep the provider from everybody
   * for as long as it waits.
   */
  #isItsOwn(messageId: string): boolean {
    const before = this.#throttled.get(messageId);
    const isLast = this.#lastThrottled === messageId;
    this.#lastThrottled = messageId;
    this.#throttled.delete(messageId);
    this.#throttled.set(messageId, this.#taken);
    const [oldest] = this.#throttled.keys();
    if (oldest !== undefined && this.#throttled.size > THROTTLED) this.#throttled.delete(oldest);
    return isLast || (before !== undefined && this.#taken > before);
  }

  /** What the provider answered to one mail is told to everybody from here on. */
  #moment(message: string): { now: number; message: string; random: number } {
    return { now: this.#deps.now(), message: maskAddresses(message), random: this.#deps.random() };
  }

  #become(next: Health): void {
    const was = this.#health;
    this.#health = next;
    clearTimeout(this.#timer);
    if (this.#stopped) return;
    this.#arm();
    if (was.kind !== next.kind) this.#deps.changed(was, next);
  }

  /** Sleeps until something is to be done, or until it may have become urgent to do it. */
  #arm(): void {
    if (this.#probing !== undefined) return;
    const now = this.#deps.now();
    const at = wakesAt(this.#health, this.#deps.urgent());
    if (at === undefined) return;
    const wait = this.#health.kind === 'open' ? Math.min(at - now, LOOK_MS) : at - now;
    this.#timer = setTimeout(() => this.#wake(), Math.max(0, wait));
    this.#timer.unref();
  }

  #wake(): void {
    const now = this.#deps.now();
    const at = wakesAt(this.#health, this.#deps.urgent());
    if (at === undefined) return;
    if (this.#health.kind === 'cooling') this.#become(onTick(this.#health, now));
    else if (now >= at) void this.probe();
    else this.#arm();
  }
}

/** In use, and nothing counted against it. */
function isSpotless(health: Health): boolean {
  const { kind } = health;
  return kind === 'closed' && health.strikes + health.softStrikes === 0 && health.throttled === undefined;
}
