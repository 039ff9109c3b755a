/**
 * One round of one message: the providers in order, up to retry.attempts tries
 * each, every recipient's result on disk (journal.ts) before the next step,
 * then the settlement. It holds a connection only while a transaction runs; it never
 * decides what a failure means (judge.ts) nor when the next round is due
 * before it has ended (recipients.ts).
 */
import type { StoredMessage } from '../spool/message.ts';
import type { Claim, Settlement, Spool } from '../spool/spool.ts';
import { maskAddresses } from './addresses.ts';
import { tryDelay } from './backoff.ts';
import { Batches } from './batches.ts';
import { describe } from './failure.ts';
import { Journal, type JournalDeps } from './journal.ts';
import { Ledger } from './ledger.ts';
import { judgeTransaction, type TransactionOutcome, tooLarge } from './outcome.ts';
import { pause } from './pause.ts';
import type { Grant, Provider } from './provider.ts';
import { Route } from './route.ts';
import type { TransactionReport } from './session.ts';
import { tellAmbiguous, tellAttempt } from './tell.ts';
import { tellHealth } from './tell-health.ts';
import type { Lane } from './waiting-line.ts';

export interface RoundDeps extends JournalDeps {
  readonly read: Spool['read'];
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

/** The longest wait named by a provider that a message spends between two tries there, ms. */
const LONGEST_NAMED_MS = 10_000;

/** Why a provider is left. */
type Leave = 'done' | 'unavailable' | 'impatient' | 'stopped' | 'local';

/** One try to come: which recipients, the how-manieth, and how long to wait before. */
interface Step {
  readonly indexes: readonly number[];
  readonly try: number;
  readonly delayMs: number;
}

/** What one try leaves to do at the same provider; delayMs undefined = nothing in this round. */
interface Done {
  readonly retry: readonly number[];
  readonly rest: readonly number[];
  readonly delayMs: number | undefined;
}

interface Granted {
  readonly provider: Provider;
  readonly grant: Extract<Grant, { kind: 'granted' }>;
}

export class Round {
  readonly #message: StoredMessage;
  readonly #claim: Claim;
  readonly #lane: Lane;
  readonly #deps: RoundDeps;
  readonly #ledger: Ledger;
  readonly #route: Route;
  readonly #journal: Journal;
  /** Providers that a transaction was begun with in this round. */
  readonly #tried = new Set<string>();
  #localFailure = '';

  constructor(claim: Claim, lane: Lane, deps: RoundDeps) {
    this.#message = claim.message;
    this.#claim = claim;
    this.#lane = lane;
    this.#deps = deps;
    this.#ledger = new Ledger(claim.message.recipients);
    this.#journal = new Journal(claim.message, this.#ledger, deps);
    this.#route = new Route(deps.providers().map(({ name }) => name));
  }

  /** Runs it to its end. Rejects only when the spool refuses a commit. */
  async run(): Promise<RoundEnd> {
    const { interrupted } = this.#claim;
    if (interrupted !== undefined) await this.#journal.takeUp(interrupted);
    const leave = await this.#visitAll();
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
    const outcome = tooLarge(message);
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
    const done = await this.#transact(granted, step, batches);
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

  async #transact(
    { provider, grant }: Granted,
    step: Step,
    batches: Batches,
  ): Promise<'stale' | 'local' | Done> {
    const { session } = grant;
    const reused = session.transactions > 0;
    this.#tried.add(provider.name);
    this.#tellFailover(provider.name);
    const startedAt = this.#deps.now();
    let carried: readonly number[] | undefined;
    const report = await session.transact(
      { ...this.#envelope(), recipients: step.indexes.map(index => this.#ledger.address(index)) },
      this.#claim.body ?? this.#deps.read(this.#message.id, this.#claim),
      accepted => {
        carried = accepted.map(at => step.indexes[at]!);
        this.#journal.atDot(provider.name, carried);
      },
    );
    grant.release();
    if (report.unanswered && reused && report.failure?.fault === 'lost') return 'stale';
    const outcome = judgeTransaction(report, this.#deps.settings().replyRules);
    learnLimit(provider, batches, outcome);
    return this.#conclude({
      provider,
      indexes: step.indexes,
      tryNumber: step.try,
      startedAt,
      report,
      outcome,
      carried,
    });
  }

  async #conclude(attempt: {
    provider: Provider;
    indexes: readonly number[];
    tryNumber: number;
    startedAt: number;
    report: TransactionReport;
    outcome: TransactionOutcome;
    /** Positions for which the final dot went out. */
    carried: readonly number[] | undefined;
  }): Promise<'local' | Done> {
    const { provider, indexes, outcome, carried } = attempt;
    const done = this.#ledger.apply(
      provider.name,
      this.#deps.now(),
      indexes.map((index, at) => ({ index, outcome: outcome.recipients[at]! })),
    );
    if (carried !== undefined) this.#journal.afterDot(provider.name, carried);
    const addresses = indexes.map(index => this.#ledger.address(index));
    tellHealth(provider, { messageId: this.#message.id, addresses }, outcome);
    const delayMs = this.#delay(provider, done.retry, attempt);
    tellAttempt(this.#deps.emit, {
      ...attempt,
      tries: this.#deps.settings().retry.attempts,
      message: this.#message,
      now: this.#deps.now(),
      delayMs,
    });
    const { ended } = outcome;
    if (ended?.failure.fault === 'local') {
      this.#localFailure = ended.failure.message;
      return 'local';
    }
    if (ended?.verdict.ambiguous === true) {
      tellAmbiguous(this.#deps.emit, this.#message.id, provider.name, outcome);
    }
    if (this.#ledger.open().length > 0) {
      this.#route.leave(provider.name, outcome.recipients.find(({ kind }) => kind === 'failed')?.reply ?? '');
      if (done.settled) await this.#journal.progress();
    }
    return { retry: done.retry, rest: done.rest, delayMs };
  }

  /** How long until the same provider is tried again; undefined = not in this round. */
  #delay(
    provider: Provider,
    retry: readonly number[],
    attempt: { tryNumber: number; outcome: TransactionOutcome },
  ): number | undefined {
    const settings = this.#deps.settings().retry;
    if (retry.length === 0 || attempt.tryNumber >= settings.attempts || !provider.usable) return undefined;
    const named = attempt.outcome.ended?.verdict.waitMs ?? 0;
    // A longer wait is honoured by going elsewhere, not by keeping the message on this round for hours.
    return named > LONGEST_NAMED_MS ? undefined : Math.max(tryDelay(attempt.tryNumber, settings), named);
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
    await this.#journal.end(this.#localFailure);
    return { kind: 'local', message: this.#localFailure };
  }

  #envelope(): { sender: string; eightBit: boolean; smtpUtf8: boolean; size: number } {
    const { sender, eightBit, smtpUtf8, size } = this.#message;
    return { sender, eightBit, smtpUtf8, size };
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

/** Too many recipients in a message: fewer in its next transactions; in those of others once that has worked. */
function learnLimit(provider: Provider, batches: Batches, { recipients, ended }: TransactionOutcome): void {
  if (ended?.verdict.again === 'fewer') {
    const carried = recipients.filter(one => one.kind === 'failed' && one.verdict.again === 'fewer');
    batches.halve(carried.length, maskAddresses(describe(ended.failure)));
  } else if (batches.found !== undefined && recipients.some(({ kind }) => kind === 'delivered')) {
    provider.tookOnly(batches.found.most, batches.found.reply);
  }
}
