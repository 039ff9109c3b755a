/**
 * What one transaction says of its provider: that it works, that it failed, or
 * nothing, because mail or a recipient was meant. Tells the provider that, and
 * decides nothing that the verdicts have not.
 */
import { describe } from './failure.ts';
import type { RecipientOutcome, TransactionOutcome } from './outcome.ts';
import type { Provider } from './provider.ts';
import { domainOf } from './throttled-domains.ts';
import type { Verdict } from './verdict.ts';

/** Whose transaction it was. */
export interface Carried {
  readonly messageId: string;
  /** In the order of the outcome's recipients. */
  readonly addresses: readonly string[];
}

type Failed = Extract<RecipientOutcome, { kind: 'failed' }>;

/** Tells `provider` what the outcome says of it. */
export function tellHealth(
  provider: Pick<Provider, 'succeeded' | 'refused' | 'failed'>,
  { messageId, addresses }: Carried,
  { recipients, ended }: TransactionOutcome,
): void {
  const concerning = ended ?? gravest(recipients);
  if (concerning === undefined) {
    tellAnswered(provider, messageId, recipients);
    return;
  }
  const { verdict, failure } = concerning;
  if (verdict.effect !== 'none') {
    const domains = verdict.effect === 'soft-cool-down' ? domainsMeant(recipients, addresses) : [];
    provider.failed(verdict, describe(failure), messageId, domains);
  } else if (failure.fault === 'reply' && isFinal(verdict)) provider.refused(messageId);
}

/** Nothing was said about the provider. That it works shows in mail that it took, less so in refusals. */
function tellAnswered(
  provider: Pick<Provider, 'succeeded' | 'refused'>,
  messageId: string,
  recipients: readonly RecipientOutcome[],
): void {
  if (recipients.some(({ kind }) => kind === 'delivered')) provider.succeeded();
  else if (recipients.some(one => one.kind === 'failed' && isFinal(one.verdict))) provider.refused(messageId);
}

/** The answer to a recipient that says most of the provider: what is surely about it before what may be. */
function gravest(recipients: readonly RecipientOutcome[]): Failed | undefined {
  const taken = recipients.some(({ kind }) => kind === 'delivered');
  const about = recipients.filter((one): one is Failed => {
    const effect = one.kind === 'failed' ? one.verdict.effect : 'none';
    // What may be one recipient's doing is not held against a provider that took the mail for another.
    const soft = effect === 'soft-strike' || effect === 'soft-cool-down';
    return effect !== 'none' && !(taken && soft);
  });
  return about.find(({ verdict }) => verdict.effect !== 'soft-cool-down') ?? about[0];
}

function domainsMeant(recipients: readonly RecipientOutcome[], addresses: readonly string[]): string[] {
  return recipients.flatMap((one, at) => {
    const meant = one.kind === 'failed' && one.verdict.effect === 'soft-cool-down';
    return meant ? [domainOf(addresses[at] ?? '')] : [];
  });
}

function isFinal({ refused, ends }: Verdict): boolean {
  return refused || ends;
}
