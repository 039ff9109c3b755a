/**
 * One round of one message: the providers in order, up to retry.attempts tries
 * each (tries.ts), every recipient's result on disk (journal.ts) before the
 * next step, then the settlement. It holds a connection only while a
 * transaction runs; it never decides what a failure means (judge.ts) nor when
 * the next round is due before it has ended (recipients.ts).
 */
import type { StoredMessage } from '../spool/message.ts';
import type { Claim, Settlement } from '../spool/spool.ts';
import { Batches } from './batches.ts';
import { Journal } from './journal.ts';
import { Ledger } from './ledger.ts';
import { notOffered } from './outcome.ts';
import { pause } from './pause.ts';
import type { Provider } from './provider.ts';
import { Route } from './route.ts';
import { type Granted, type Step, Tries, type TriesDeps } from './tries.ts';
import type { Lane } from './waiting-line.ts';

export interface RoundDeps extends TriesDeps {
  /** In order of priority; replaced as a whole by a reload. */
  readonly providers: () => readonly Provider[];
  /** Aborted when rounds must end at their next step (shutdown, forwarding switched off). */
  readonly stopping: AbortSignal;
}

/**
 * settled: committed; the message has a new state or is gone.
 * stopped: interrupted; what was achieved is committed, the rest is unchanged.
 * local:   our own store could not give the body; what was achieved before is
 *          committed, the rest waits for a later round.
 */
export type RoundEnd =
  | { readonly kind: 'settled'; readonly as: Settlement['kind'] }
  | { readonly kind: 'stopped' }
  | { readonly kind: 'local'; readonly message: string };

/** Why a provider is left. */
type Leave = 'done' | 'unavailable' | 'impatient' | 'stopped' | 'local';

export class Round {
  readonly #message: StoredMessage;
  readonly #claim: Claim;
  readonly #lane: Lane;
  readonly #deps: RoundDeps;
  readonly #ledger: Ledger;
  readonly #route: Route;
  readonly #journal: Journal;
  readonly #tries: Tries;
  /** Providers that a transaction was begun with in this round. */
  readonly #tried = new Set<string>();

  constructor(claim: Claim, lane: Lane, deps: RoundDeps) {
    this.#message = claim.message;
    this.#claim = claim;
    this.#lane = lane;
    this.#deps = deps;
    this.#ledger = new Ledger(claim.message.recipients);
    this.#journal = new Journal(claim.message, this.#ledger, deps);
    this.#route = new Route(deps.providers().map(({ name }) => name));
    this.#tries = new Tries({
      claim,
      ledger: this.#ledger,
      journal: this.#journal,
      route: this.#route,
      deps,
    });
  }

  /** Runs it to its end. Rejects only when the spool refuses a commit. */
  async run(): Promise<RoundEnd> {
    const { interrupted } = this.#claim;
    if (interrupted !== undefined) await this.#journal.takeUp(interrupted);
    const leave = await this.#visitAll().finally(() => this.#tries.close());
    if (leave === 'local') return this.#local();
    // What may have arrived is not sent at once after a restart: it waits for a later round.
    return leave === 'stopped' && this.#ledger.uncertain.length === 0 ? { kind: 'stopped' } : this.#settle();
  }

  async #visitAll(): Promise<Leave> {
    for (let name = this.#route.next(); name !== undefined; name = this.#route.next()) {
      if (this.#ledger.open().length === 0) break;
      const leave = await this.#visit(name);
      if (leave === 'stopped' || leave === 'local') return leave;
      this.#depart(name, leave);
    }
    return 'done';
  }

  /** Whether, and when, it is visited again in this round. */
  #depart(name: string, leave: Leave): void {
    if (leave === 'impatient') this.#route.postpone(name, other => this.#invites(other));
    if (leave === 'unavailable' && !this.#tried.has(name)) this.#route.skip(name);
  }

  async #visit(name: string): Promise<Leave> {
    if (this.#tooLarge(name)) return 'done';
    const batches = new Batches(this.#ledger.open());
    // Asked anew each time: meanwhile the provider may have been found to take fewer, or been replaced.
    const next = () => batches.next(this.#provider(name)?.recipientsPerMessage ?? 1);
    for (let batch = next(); batch !== undefined; batch = next()) {
      const leave = await this.#carry(name, batch, batches);
      if (leave !== 'done') return leave;
    }
    return 'done';
  }

  /** Larger than this provider is to be offered: refused on its behalf, as by EHLO SIZE (RFC 1870). */
  #tooLarge(name: string): boolean {
    const limit = this.#provider(name)?.config.limits.maxMessageBytes;
    const { size } = this.#message;
    if (limit === undefined || size <= limit) return false;
    const open = this.#ledger.open();
    const message = `the message has ${size} bytes, limits.maxMessageBytes of ${name} is ${limit}`;
    const outcome = notOffered({ stage: 'mail', fault: 'not-offered', message });
    const outcomes = open.map(index => ({ index, outcome }));
    this.#ledger.apply(name, this.#deps.now(), outcomes);
    this.#route.leave(name, message);
    return true;
  }

  /** Carries one batch to one provider, with its tries. What exceeds a limit joins `batches`. */
  async #carry(name: string, batch: readonly number[], batches: Batches): Promise<Leave> {
    let step: Leave | Step = { indexes: batch, try: 1, delayMs: 0 };
    while (typeof step !== 'string') step = await this.#attempt(name, step, batches);
    return step;
  }

  /** One try, after its delay. Returns the next one, or how the provider is left. */
  async #attempt(name: string, step: Step, batches: Batches): Promise<Leave | Step> {
    if (step.delayMs > 0 && !(await pause(step.delayMs, this.#deps.stopping))) return 'stopped';
    const granted = await this.#acquire(name);
    // Some tries are spent: coming back later in the round would give it more than its share.
    if (granted === 'impatient' && step.try > 1) return this.#leave(name, 'no connection in time');
    if (typeof granted === 'string') return granted;
    this.#tried.add(name);
    this.#tellFailover(name);
    const done = await this.#tries.make(granted, step, batches);
    if (done === 'local') return 'local';
    // A kept connection that the provider had closed meanwhile: nothing was said, so nothing was tried.
    if (done === 'stale') return { ...step, delayMs: 0 };
    batches.add(done.rest);
    if (done.delayMs === undefined) return 'done';
    return { indexes: done.retry, try: step.try + 1, delayMs: done.delayMs };
  }

  /** A connection of that provider, or how it is left. A replaced one is looked up anew. */
  async #acquire(name: string): Promise<Leave | Granted> {
    if (this.#deps.stopping.aborted) return 'stopped';
    const provider = this.#provider(name);
    if (provider === undefined) return this.#leave(name, 'removed from the configuration');
    const grant = await provider.acquire(this.#lane, () => this.#elsewhere());
    switch (grant.kind) {
      case 'granted':
        return { provider, grant };
      case 'impatient':
        return 'impatient';
      case 'unavailable':
        return this.#leave(name, grant.reason);
      case 'replaced':
        return this.#acquire(name);
    }
  }

  #tellFailover(to: string): void {
    const left = this.#route.arrive(to);
    if (left === undefined) return;
    this.#deps.emit({ event: 'failover', id: this.#message.id, from: left.name, to, reason: left.reason });
  }

  async #settle(): Promise<RoundEnd> {
    this.#ledger.rejectWhereAllRefused(this.#deps.providers().map(({ name }) => name));
    return { kind: 'settled', as: await this.#journal.end(this.#route.left?.reason ?? '') };
  }

  async #local(): Promise<RoundEnd> {
    const message = this.#tries.localFailure;
    await this.#journal.end(message);
    return { kind: 'local', message };
  }

  #elsewhere(): boolean {
    return this.#route.untried.some(name => this.#invites(name));
  }

  #invites(name: string): boolean {
    return this.#provider(name)?.inviting === true;
  }

  #provider(name: string): Provider | undefined {
    return this.#deps.providers().find(provider => provider.name === name);
  }

  #leave(name: string, reason: string): Leave {
    this.#route.leave(name, reason);
    return 'unavailable';
  }
}
