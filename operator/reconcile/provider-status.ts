/**
 * status.providers from what the pods say: for each provider in the order of
 * use the worst that any replica sees, or what the operator itself knows to be
 * missing. Pure.
 */
import type { MailRelay } from '../api/mail-relay.ts';
import type { ProviderState, ProviderStatus } from '../api/schema-status.ts';
import { type Credentials, missingSentence } from './credentials.ts';
import type { RelayStatus } from './relay-status.ts';

/** From well to worst. Active and Standby are equally well. */
const severity: Readonly<Record<ProviderState, number>> = {
  Active: 0,
  Standby: 0,
  Cooling: 1,
  Failing: 2,
  Suspended: 3,
  Misconfigured: 4,
};

const stateNames: Readonly<Record<RelayStatus['providers'][number]['state'], ProviderState>> = {
  active: 'Active',
  standby: 'Standby',
  cooling: 'Cooling',
  failing: 'Failing',
  suspended: 'Suspended',
  misconfigured: 'Misconfigured',
};

const longestReason = 256;
const longestMessage = 1024;

/** One entry per provider of the spec, in the order of use. A provider that no pod reported on is left out. */
export function providerStatuses(
  relay: MailRelay,
  credentials: Credentials | undefined,
  statuses: readonly RelayStatus[],
): ProviderStatus[] {
  const ordered = relay.spec.forwardProviders
    .map((provider, position) => ({ name: provider.name, priority: provider.priority ?? position, position }))
    .sort((a, b) => a.priority - b.priority || a.position - b.position);
  return ordered.flatMap(({ name }) => {
    const reported = worst(statuses.flatMap(status => reportOn(name, status)));
    const lacking = credentials?.missing.find(({ reference }) => reference.provider === name);
    if (lacking === undefined) return reported ?? [];
    return [misconfigured(name, missingSentence(lacking), reported)];
  });
}

/** May mail go through it? */
export function isUsable({ state }: ProviderStatus): boolean {
  return state === 'Active' || state === 'Standby';
}

function reportOn(name: string, status: RelayStatus): ProviderStatus[] {
  const told = status.providers.find(provider => provider.name === name);
  if (told === undefined) return [];
  return [
    {
      name,
      state: stateNames[told.state],
      since: `${told.since.slice(0, 19)}Z`,
      ...(told.reason !== '' && { reason: told.reason.slice(0, longestReason) }),
      ...(told.message !== '' && { message: told.message.slice(0, longestMessage) }),
    },
  ];
}

/** The gravest; among equals Active, then the one that has lasted longest. */
function worst(reports: readonly ProviderStatus[]): ProviderStatus | undefined {
  return [...reports].sort(
    (a, b) =>
      severity[b.state] - severity[a.state] ||
      Number(b.state === 'Active') - Number(a.state === 'Active') ||
      (a.since ?? '').localeCompare(b.since ?? ''),
  )[0];
}

function misconfigured(name: string, message: string, reported: ProviderStatus | undefined): ProviderStatus {
  const since = reported?.state === 'Misconfigured' ? reported.since : undefined;
  return {
    name,
    state: 'Misconfigured',
    ...(since !== undefined && { since }),
    reason: 'Misconfigured',
    message: message.slice(0, longestMessage),
  };
}
