/**
 * What a round leaves behind of a message, in the order that matters: a note
 * before a final dot goes out and when it was answered, results as they come,
 * the settlement at the end, a bounce where one is due. Tells each when it is
 * safe. Decides nothing but when the next round is due (recipients.ts).
 */
import type { ReplyRule, ResendConfig, RetryConfig } from '../config/config.ts';
import type { Recipient, StoredMessage } from '../spool/message.ts';
import type { InFlight, Settlement, Spool } from '../spool/spool.ts';
import type { Emit } from '../telemetry/events.ts';
import { isUntold } from './bounce.ts';
import type { Ledger } from './ledger.ts';
import { settlementOf } from './recipients.ts';
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
  /** Puts a bounce message for recipients that ended badly into the spool, when one is due. */
  readonly bounce: (message: StoredMessage, recipients: readonly Recipient[]) => Promise<void>;
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

  /** Ends the round. `reason` is why the last provider was left. */
  async end(reason: string): Promise<Settlement['kind']> {
    const { now, random, settings, bounce } = this.#deps;
    const { resend } = settings();
    const close = { now: now(), random: random(), resend, reason };
    const settlement = settlementOf(this.#message, this.#ledger.recipients, close);
    const { recipients } = settlement;
    if (!resend.bounces || !recipients.some(isUntold)) {
      await this.#commit(settlement);
      return settlement.kind;
    }
    // The bounce may have to wait for room on the disk; who was delivered to must not be forgotten meanwhile.
    await this.#commit({ kind: 'progress', recipients });
    await bounce(this.#message, recipients);
    // After the bounce is on disk: a crash in between repeats it, and loses none.
    const told = recipients.map(one => (isUntold(one) ? { ...one, bounced: true as const } : one));
    await this.#commit({ ...settlement, recipients: told });
    return settlement.kind;
  }

  async #commit(settlement: Settlement): Promise<void> {
    await this.#deps.settle(this.#message.id, settlement);
    const told = { ...this.#message, recipients: this.#told };
    this.#told = settlement.recipients;
    tellSettlement(this.#deps.emit, told, settlement, this.#deps.now());
  }
}
