/**
 * What a round leaves behind of a message, in the order that matters: a note
 * before a final dot goes out and when it was answered, results as they come,
 * the settlement at the end, a bounce where one is due. Tells each when it is
 * safe. Decides nothing but when the next round is due (recipients.ts).
 */
import type { ReplyRule, ResendConfig, RetryConfig } from '../config/config.ts';
import type { Recipient, StoredMessage } from '../spool/message.ts';
import { type InFlight, type Settlement, type Spool, SpoolError } from '../spool/spool.ts';
import type { Emit } from '../telemetry/events.ts';
import { isUntold } from './bounce.ts';
import type { Ledger } from './ledger.ts';
import { owingBounce, settlementOf } from './recipients.ts';
import { tellInterrupted, tellSettlement } from './tell.ts';

/** What a round reads of the configuration, always the newest. */
export interface RoundSettings {
  readonly retry: RetryConfig;
  readonly resend: ResendConfig;
  readonly replyRules: readonly ReplyRule[];
}

export interface JournalDeps {
  readonly note: Spool['note'];
  /** Resolves when it is on disk. */
  readonly settle: Spool['settle'];
  /**
   * Puts a bounce message for recipients that ended badly into the spool and, in the same commit, that their
   * sender was told; resolves with the recipients as they are then. Rejects with SpoolError 'disk-full' when
   * there is no room for it: nothing has changed.
   */
  readonly bounce: (
    message: StoredMessage,
    recipients: readonly Recipient[],
  ) => Promise<readonly Recipient[]>;
  readonly emit: Emit;
  /** Wall clock, ms since the epoch. */
  readonly now: () => number;
  readonly random: () => number;
  readonly settings: () => RoundSettings;
}

export class Journal {
  readonly #message: StoredMessage;
  readonly #ledger: Ledger;
  readonly #deps: JournalDeps;
  /** Recipients as the log knows them. */
  #told: readonly Recipient[];

  constructor(message: StoredMessage, ledger: Ledger, deps: JournalDeps) {
    this.#message = message;
    this.#ledger = ledger;
    this.#deps = deps;
    this.#told = message.recipients;
  }

  /** The process before died in the middle of this message: takes its last note for the truth. */
  async takeUp(inFlight: InFlight): Promise<void> {
    const found = this.#ledger.takeUp(inFlight, this.#deps.now());
    if (found.uncertain > 0) {
      const { provider } = inFlight;
      tellInterrupted(this.#deps.emit, { id: this.#message.id, provider, recipients: found.uncertain });
    }
    // What follows overwrites the note.
    if (found.accepted > 0) await this.progress();
  }

  /** The final dot is about to go to that provider, for those positions. */
  atDot(provider: string, carried: readonly number[]): void {
    const uncertain = [...this.#ledger.uncertain, ...carried];
    this.#deps.note(this.#message.id, { provider, uncertain, accepted: [] });
  }

  /** It was answered, or never will be: the ledger knows by now. */
  afterDot(provider: string, carried: readonly number[]): void {
    const { recipients } = this.#ledger;
    const accepted = carried.filter(index => recipients[index]?.state === 'delivered');
    this.#deps.note(this.#message.id, { provider, uncertain: this.#ledger.uncertain, accepted });
  }

  /** Puts the results so far on disk; the round goes on. */
  progress(): Promise<void> {
    return this.#commit({ kind: 'progress', recipients: this.#ledger.recipients });
  }

  /**
   * Ends the round. `reason` is why the last provider was left. A bounce that finds no room holds nobody up:
   * its message waits as failed, owing it, and whoever claims it next tries again.
   */
  async end(reason: string): Promise<Settlement['kind']> {
    const { now, random, settings } = this.#deps;
    const { resend } = settings();
    const close = { now: now(), random: random(), resend, reason };
    const settlement = settlementOf(this.#message, this.#ledger.recipients, close);
    const { recipients } = settlement;
    if (!resend.bounces || !recipients.some(isUntold)) {
      await this.#commit(settlement);
      return settlement.kind;
    }
    // Who was delivered to must not be forgotten while the bounce is made.
    await this.#commit({ kind: 'progress', recipients });
    const told = await this.#bounce(recipients);
    const end =
      told === undefined
        ? owingBounce(this.#message, settlement, close)
        : { ...settlement, recipients: told };
    await this.#commit(end);
    return end.kind;
  }

  /** undefined = there is no room for it. */
  async #bounce(recipients: readonly Recipient[]): Promise<readonly Recipient[] | undefined> {
    try {
      return await this.#deps.bounce(this.#message, recipients);
    } catch (error) {
      if (error instanceof SpoolError && error.kind === 'disk-full') return undefined;
      throw error;
    }
  }

  async #commit(settlement: Settlement): Promise<void> {
    await this.#deps.settle(this.#message.id, settlement);
    const told = { ...this.#message, recipients: this.#told };
    this.#told = settlement.recipients;
    tellSettlement(this.#deps.emit, told, settlement, this.#deps.now());
  }
}
