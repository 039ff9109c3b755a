/**
 * What a failure means, as a value: whose fault it is, whether to try again,
 * and where. judge.ts gives verdicts, everything else in delivery goes by them.
 */
import type { FailureClass } from '../telemetry/events.ts';

/**
 * none        nothing about the provider: the message or the recipient is meant
 * strike      the provider failed; three in a row open its breaker, one does
 *             when `again` is 'no' and nothing is unknown: another try would end the same way
 * soft-strike it failed on this message; ten different messages open the breaker
 * suspend     it refuses our credentials
 * cool-down   it asks to be left alone for `waitMs`
 * soft-cool-down  it does, or the domain of the recipient does (rcpt only):
 *             several domains that are answered so cool the provider down
 */
export type ProviderEffect = 'none' | 'strike' | 'soft-strike' | 'suspend' | 'cool-down' | 'soft-cool-down';

export interface Verdict {
  readonly class: FailureClass;
  /**
   * May the same provider be tried again in this round? 'retry': yes, within
   * the tries allowed, not before `waitMs` and only while it is usable.
   * 'rest-now': at once, in a new transaction with the recipients that this
   * one had no room for (rcpt only). 'fewer': at once, in new transactions with
   * half as many recipients as were accepted, who are several (data to dot only).
   */
  readonly again: 'retry' | 'rest-now' | 'fewer' | 'no';
  /** May the next provider be tried in this round? */
  readonly next: boolean;
  /** This provider has refused it for good; when every configured provider did, the recipient ends. */
  readonly refused: boolean;
  /** Ends the recipient at once, whatever other providers would say. */
  readonly ends: boolean;
  /** Nobody can know whether it was delivered. */
  readonly ambiguous: boolean;
  readonly effect: ProviderEffect;
  /** Wait (ms) that the provider named, or that its kind of reply calls for; always there with 'cool-down' and 'soft-cool-down'. */
  readonly waitMs?: number;
}

/** Nothing but the class, unless said otherwise: this provider no more in this round, the next one yes. */
export function verdict(failureClass: FailureClass, differences: Partial<Verdict> = {}): Verdict {
  const plain = {
    again: 'no',
    next: true,
    refused: false,
    ends: false,
    ambiguous: false,
    effect: 'none',
  } as const;
  return { class: failureClass, ...plain, ...differences };
}
