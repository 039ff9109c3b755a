/**
 * What one round knows of a message's recipients: who is still to be sent to,
 * who refused whom, and who must wait for a later round. Applies outcomes;
 * talks to nobody.
 */
import type { Recipient } from '../spool/message.ts';
import type { InFlight } from '../spool/spool.ts';
import type { RecipientOutcome } from './outcome.ts';

/** Positions in the envelope that a transaction's outcome leaves to do at the same provider. */
export interface Remainder {
  /** Worth another try after a delay. */
  readonly retry: readonly number[];
  /** Kept out by the provider's recipient limit: at once, in a new transaction. */
  readonly rest: readonly number[];
  /** Someone's state changed for good: to be committed before anything else happens. */
  readonly settled: boolean;
}

export class Ledger {
  readonly #recipients: Recipient[];
  /** Positions that no provider may be offered any more in this round. */
  readonly #barred = new Set<number>();
  readonly #refusedBy = new Map<number, Set<string>>();
  /** Positions whose final dot was left unanswered in this round. */
  readonly #uncertain = new Set<number>();

  constructor(recipients: readonly Recipient[]) {
    this.#recipients = [...recipients];
  }

  /** As they are now: later outcomes do not change what was handed out. */
  get recipients(): readonly Recipient[] {
    return [...this.#recipients];
  }

  address(index: number): string {
    return this.#recipients[index]!.address;
  }

  /** Positions that may be offered to a provider now. */
  open(): number[] {
    const open: number[] = [];
    this.#recipients.forEach((recipient, index) => {
      if (recipient.state === 'pending' && !this.#barred.has(index)) open.push(index);
    });
    return open;
  }

  /** Enters what a transaction at `provider` did to the positions it carried. */
  apply(
    provider: string,
    at: number,
    outcomes: readonly { readonly index: number; readonly outcome: RecipientOutcome }[],
  ): Remainder {
    const remainder = { retry: [] as number[], rest: [] as number[], settled: false };
    for (const { index, outcome } of outcomes) {
      const before = this.#recipients[index]!;
      const after = this.#enter({ index, provider, outcome, before, at });
      this.#recipients[index] = after;
      if (after.state !== 'pending') remainder.settled = true;
      else if (outcome.kind === 'failed') this.#remain(index, outcome, remainder);
    }
    return remainder;
  }

  /** Positions whose final dot was left unanswered in this round, or right before it. */
  get uncertain(): readonly number[] {
    return [...this.#uncertain];
  }

  /**
   * Enters what the last note before the death of a process says of those
   * still pending: taken by the provider, or perhaps. Returns how many of each.
   */
  takeUp({ provider, uncertain, accepted }: InFlight, at: number): { accepted: number; uncertain: number } {
    const whose = provider === '' ? {} : { provider };
    const has = this.#pendingOf(accepted);
    for (const index of has) {
      const reply = 'accepted right before the relay was killed';
      this.#recipients[index] = { ...this.#recipients[index]!, ...whose, state: 'delivered', reply, at };
    }
    const may = this.#pendingOf(uncertain);
    for (const index of may) {
      const before = this.#recipients[index]!;
      const reply = 'the relay was killed before the message was answered';
      this.#recipients[index] = { ...before, ...whose, reply, at, ambiguous: (before.ambiguous ?? 0) + 1 };
      this.#uncertain.add(index);
      this.#barred.add(index);
    }
    return { accepted: has.length, uncertain: may.length };
  }

  #pendingOf(indexes: readonly number[]): number[] {
    return indexes.filter(index => this.#recipients[index]?.state === 'pending');
  }

  /** Ends those whom every configured provider has refused for good; without any provider nobody was asked. */
  rejectWhereAllRefused(providers: readonly string[]): void {
    if (providers.length === 0) return;
    for (const [index, names] of this.#refusedBy) {
      const recipient = this.#recipients[index]!;
      if (recipient.state !== 'pending' || !providers.every(name => names.has(name))) continue;
      this.#recipients[index] = { ...recipient, state: 'rejected' };
    }
  }

  #enter(entry: {
    index: number;
    provider: string;
    outcome: RecipientOutcome;
    before: Recipient;
    at: number;
  }): Recipient {
    const { index, provider, outcome, before, at } = entry;
    const answered = { ...before, provider, reply: outcome.reply, at };
    if (outcome.kind === 'delivered') return { ...answered, state: 'delivered' };
    if (outcome.failure.fault === 'local') return byNobody(answered);
    const { verdict } = outcome;
    if (verdict.ends) return { ...answered, state: 'rejected' };
    if (verdict.refused) this.#refusals(index).add(provider);
    if (!verdict.ambiguous) return answered;
    this.#uncertain.add(index);
    return { ...answered, ambiguous: (before.ambiguous ?? 0) + 1 };
  }

  #remain(
    index: number,
    outcome: Extract<RecipientOutcome, { kind: 'failed' }>,
    remainder: { retry: number[]; rest: number[] },
  ): void {
    const { again, next } = outcome.verdict;
    if (again === 'rest-now' || again === 'fewer') remainder.rest.push(index);
    else if (!next) this.#barred.add(index);
    if (again === 'retry') remainder.retry.push(index);
  }

  #refusals(index: number): Set<string> {
    const known = this.#refusedBy.get(index);
    if (known !== undefined) return known;
    const made = new Set<string>();
    this.#refusedBy.set(index, made);
    return made;
  }
}

/** It was our own doing: no provider has said anything. */
function byNobody({ provider: _, ...recipient }: Recipient): Recipient {
  return recipient;
}
