/**
 * What /readyz, /livez and /status say, as pure functions of the view. Times
 * are ISO 8601 in UTC, ages and durations seconds. No address, no credential.
 */
import type { DiskState } from '../spool/disk.ts';
import type { QueueState } from '../spool/message.ts';
import type { ListenerView, ProviderView, RelayView } from './view.ts';

/** undefined when new mail is accepted, otherwise why not, a sentence. */
export function unready(view: RelayView): string | undefined {
  if (view.phase() === 'stopping')
    return 'stopping: running transactions are finished, nothing new is accepted';
  const failure = view.spoolFailure();
  if (failure !== undefined) return `the store failed: ${failure}`;
  const config = view.config();
  if (config === undefined) return 'no configuration has been loaded';
  if (config.draining) return 'draining: this relay is to go and sends what it has';
  if (view.phase() === 'starting') return 'starting: the listener is not open yet';
  const disk = view.disk();
  if (disk.low) return `disk is low: ${disk.freeBytes} bytes free, ${disk.reserveBytes} are kept in reserve`;
  return undefined;
}

/**
 * undefined when the process should live on, otherwise why only a new one can
 * help: after a failed write or sync no open file of the store may be trusted.
 */
export function unhealthy(view: RelayView): string | undefined {
  const failure = view.spoolFailure();
  return failure === undefined ? undefined : `the store failed: ${failure}`;
}

export interface QueueStatus {
  readonly messages: number;
  readonly bytes: number;
  /** Absent when there is none. */
  readonly oldestAgeSeconds?: number;
}

/** The /status document. The operator reads it: fields are added, never changed. */
export interface StatusDocument {
  readonly version: string;
  /** Whose status it is: an address may be another one's by now. */
  readonly host: string;
  readonly ready: boolean;
  /** Why not ready; absent when ready. */
  readonly notReady?: string;
  readonly uptimeSeconds: number;
  /** Fingerprint of the configuration in force; absent before the first one. */
  readonly fingerprint?: string;
  /** Changes when a password or a file that the configuration names does; comparable within one process only. */
  readonly credentialsFingerprint?: string;
  readonly draining: boolean;
  readonly forwarding: boolean;
  readonly warnings: readonly string[];
  readonly lastConfigError?: { readonly at: string; readonly errors: readonly string[] };
  readonly providers: readonly ProviderStatus[];
  readonly queue: Readonly<Record<QueueState, QueueStatus>>;
  /** What was found that no message knows, as it is there now. Absent when it cannot be read: there may be some. */
  readonly quarantine?: { readonly files: number };
  readonly disk: DiskState;
  readonly spoolFailure?: string;
  readonly listener: ListenerView;
}

export interface ProviderStatus {
  readonly name: string;
  readonly host: string;
  readonly port: number;
  readonly priority: number;
  readonly state: string;
  readonly since: string;
  readonly reason: string;
  readonly message: string;
  readonly lastSuccessAt?: string;
  readonly connections: number;
}

/** `now`: milliseconds since the epoch. */
export function statusDocument(view: RelayView, now: number): StatusDocument {
  const config = view.config();
  const why = unready(view);
  const error = view.lastConfigError();
  const failure = view.spoolFailure();
  const quarantined = view.quarantined();
  return {
    version: view.version,
    host: view.host,
    ready: why === undefined,
    ...(why !== undefined && { notReady: why }),
    uptimeSeconds: seconds(now - view.startedAt),
    ...(config !== undefined && {
      fingerprint: config.fingerprint,
      credentialsFingerprint: config.credentialsFingerprint,
    }),
    draining: config?.draining ?? false,
    forwarding: config?.forwarding ?? false,
    warnings: config?.warnings ?? [],
    ...(error !== undefined && { lastConfigError: { at: iso(error.at), errors: error.errors } }),
    providers: view.providers().map(providerStatus),
    queue: queueStatus(view, now),
    ...(quarantined !== undefined && { quarantine: { files: quarantined } }),
    disk: view.disk(),
    ...(failure !== undefined && { spoolFailure: failure }),
    listener: view.listener(),
  };
}

function queueStatus(view: RelayView, now: number): StatusDocument['queue'] {
  const counts = view.counts();
  const one = (state: QueueState): QueueStatus => {
    const { messages, bytes, oldestReceivedAt } = counts[state];
    if (oldestReceivedAt === undefined) return { messages, bytes };
    return { messages, bytes, oldestAgeSeconds: seconds(now - oldestReceivedAt) };
  };
  return { active: one('active'), failed: one('failed'), held: one('held'), dead: one('dead') };
}

function providerStatus(view: ProviderView): ProviderStatus {
  const { name, host, port, priority, state, reason, message, connections } = view;
  return {
    name,
    host,
    port,
    priority,
    state,
    since: iso(view.since),
    reason,
    message,
    ...(view.lastSuccessAt !== undefined && { lastSuccessAt: iso(view.lastSuccessAt) }),
    connections,
  };
}

function iso(ms: number): string {
  return new Date(ms).toISOString();
}

/** A clock that stepped back must not give negative ages. */
function seconds(ms: number): number {
  return Math.max(0, Math.round(ms / 1000));
}
