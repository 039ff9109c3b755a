/** Observations for tests: a relay for which all is well, and one thing changed. */
import type { MailRelaySpecInput } from '../../../operator/api/schema.ts';
import type { MailRelayStatus } from '../../../operator/api/schema-status.ts';
import type { Credentials } from '../../../operator/reconcile/credentials.ts';
import type { Observation } from '../../../operator/reconcile/observation.ts';
import type { RelayStatus } from '../../../operator/reconcile/relay-status.ts';
import { mailRelayObject, relayOf, threeProvidersSpec } from '../operator-api/relays.ts';

export const fingerprint = '0123456789abcdef';
const since = '2026-01-01T00:00:00.000Z';
const none = { messages: 0, bytes: 0 };

type State = RelayStatus['providers'][number]['state'];

/** What a pod answers whose providers are in these states. */
export function podStatus(
  states: readonly State[] = ['active', 'standby', 'standby'],
  more: Partial<RelayStatus> = {},
): RelayStatus {
  const names = ['primary', 'backup', 'emergency'];
  const providers = states.map((state, at) => ({ name: names[at]!, state, since, reason: '', message: '' }));
  const queue = { active: none, failed: none, held: none, dead: none };
  const rest = { quarantine: { files: 0 }, disk: { freeBytes: 1e9, reserveBytes: 1e6, low: false } };
  return { version: '1', ready: true, draining: false, fingerprint, providers, queue, ...rest, ...more };
}

const available: Credentials = {
  references: [
    {
      secret: 'primary-smtp',
      key: 'username',
      path: 'providers/primary/username',
      provider: 'primary',
      field: 'forwardProviders[primary].secretRef',
    },
  ],
  missing: [],
  revision: 'r',
  changedAt: 0,
};

/** Everything is well, but for `more`. */
export function observed(
  more: Partial<Observation> = {},
  spec: MailRelaySpecInput = threeProvidersSpec,
  status: MailRelayStatus = {},
): Observation {
  const object = { ...mailRelayObject(spec, { generation: 3, uid: 'u' }), status };
  return {
    object,
    relay: relayOf(spec, { generation: 3 }),
    credentials: available,
    obstacles: [],
    retrying: [],
    fingerprint,
    workload: { desired: 1, replicas: 1, ready: 1, updated: 1, observed: true },
    reports: [{ pod: 'mail-a', status: podStatus(), askedAt: 0 }],
    scale: { replicas: 1, draining: [], awaited: [], leaving: [], unsent: 0 },
    volumes: { pending: [], held: [] },
    deleting: false,
    ...more,
  };
}

/** A spec of which nothing can be made. */
export function invalid(problems: readonly string[]): Observation {
  const { object } = observed();
  const volumes = { pending: [], held: [] };
  return { object, problems, obstacles: [], retrying: [], reports: [], volumes, deleting: false };
}

export { available };
