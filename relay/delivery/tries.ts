/**
 * The tries of one message in one round: a transaction on a connection that is
 * there, what it came to entered, put on disk and told, and what it leaves to
 * do at the same provider. Chooses no provider (round.ts).
 */
import type { StoredMessage } from '../spool/message.ts';
import type { Claim, Spool } from '../spool/spool.ts';
import { maskAddresses } from './addresses.ts';
import { tryDelay } from './backoff.ts';
import type { Batches } from './batches.ts';
import { unreadable } from './body.ts';
import { account, describe, type Failure } from './failure.ts';
import type { Journal, JournalDeps } from './journal.ts';
import type { Ledger } from './ledger.ts';
import { OpenedBody } from './opened-body.ts';
import { judgeTransaction, notOffered, type TransactionOutcome } from './outcome.ts';
import type { Grant, Provider } from './provider.ts';
import type { Route } from './route.ts';
import type { Body, TransactionReport } from './session.ts';
import { tellAmbiguous, tellAttempt } from './tell.ts';
import { tellHealth } from './tell-health.ts';

export interface TriesDeps extends JournalDeps {
  readonly read: Spool['read'];
}

/** The longest wait named by a provider that a message spends between two tries there, ms. */
const LONGEST_NAMED_MS = 10_000;

/** One try to come: which recipients, the how-manieth, and how long to wait before. */
export interface Step {
  readonly indexes: readonly number[];
  readonly try: number;
  readonly delayMs: number;
}

/** What one try leaves to do at the same provider; delayMs undefined = nothing in this round. */
export interface Done {
  readonly retry: readonly number[];
  readonly rest: readonly number[];
  readonly delayMs: number | undefined;
}

/** A connection to be given back. */
export interface Granted {
  readonly provider: Provider;
  readonly grant: Extract<Grant, { kind: 'granted' }>;
}

export class Tries {
  readonly #message: StoredMessage;
  readonly #claim: Claim;
  readonly #ledger: Ledger;
  readonly #journal: Journal;
  readonly #route: Route;
  readonly #deps: TriesDeps;
  #localFailure = '';
  /** Opened for a connection that had ended by then. */
  #opened: OpenedBody | undefined;

  constructor(of: { claim: Claim; ledger: Ledger; journal: Journal; route: Route; deps: TriesDeps }) {
    this.#message = of.claim.message;
    this.#claim = of.claim;
    this.#ledger = of.ledger;
    this.#journal = of.journal;
    this.#route = of.route;
    this.#deps = of.deps;
  }

  /** Why the last one ended as 'local', for people. */
  get localFailure(): string {
    return this.#localFailure;
  }

  /**
   * Makes one. 'stale': the connection had been closed before anything was
   * said. 'local': our own store could not give the body; see localFailure.
   * Where that shows at once, nothing is said to the provider at all.
   */
  async make(granted: Granted, step: Step, batches: Batches): Promise<'stale' | 'local' | Done> {
    if (this.#claim.body !== undefined) return this.#transact(granted, step, batches, this.#claim.body);
    const kept = this.#opened;
    let body: OpenedBody;
    try {
      body = kept ?? (await OpenedBody.open(this.#deps.read(this.#message.id, this.#claim)));
    } catch (error) {
      granted.grant.release();
      return this.#withoutBody(granted.provider, step.indexes, unreadable(error));
    }
    // The provider may have closed it meanwhile, which is its right: a slow disk of ours is no failure of its.
    // For the next connection the body is at hand: what ends that one is the provider's affair.
    if (kept === undefined && !granted.grant.session.usable) {
      this.#opened = body;
      granted.grant.release();
      return 'stale';
    }
    this.#opened = undefined;
    try {
      return await this.#transact(granted, step, batches, body);
    } finally {
      body.close();
    }
  }

  /** The round is over: gives back what it has open. */
  close(): void {
    this.#opened?.close();
  }

  #withoutBody({ name }: Provider, indexes: readonly number[], failure: Failure): 'local' {
    const outcome = notOffered(failure);
    this.#ledger.apply(
      name,
      this.#deps.now(),
      indexes.map(index => ({ index, outcome })),
    );
    this.#localFailure = account(failure);
    return 'local';
  }

  async #transact(
    { provider, grant }: Granted,
    step: Step,
    batches: Batches,
    body: Body,
  ): Promise<'stale' | 'local' | Done> {
    const { session } = grant;
    const reused = session.transactions > 0;
    const startedAt = this.#deps.now();
    let carried: readonly number[] | undefined;
    const report = await session.transact(
      { ...this.#envelope(), recipients: step.indexes.map(index => this.#ledger.address(index)) },
      body,
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
      this.#localFailure = account(ended.failure);
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

  #envelope(): { sender: string; eightBit: boolean; smtpUtf8: boolean; size: number } {
    const { sender, eightBit, smtpUtf8, size } = this.#message;
    return { sender, eightBit, smtpUtf8, size };
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
