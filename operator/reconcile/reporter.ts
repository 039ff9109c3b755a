/**
 * Makes known what was observed of a MailRelay: its status where it says something new, events, and its state for
 * metrics. Decides nothing.
 */
import { mailRelays } from '../api/mail-relay.ts';
import { annotations } from '../api/names.ts';
import { keyOf } from '../kube/object.ts';
import type { ReconcilerDeps } from './deps.ts';
import { eventsOf } from './events.ts';
import type { Observation } from './observation.ts';
import { isEmpty } from './on-board.ts';
import { relayState } from './relay-state.ts';
import { type Handled, patienceOf, statusOf } from './status.ts';

type ReporterDeps = Pick<ReconcilerDeps, 'caches' | 'statusWriter' | 'events' | 'gauges' | 'clock'>;

/** `gone`: there is no such MailRelay any more. `afterMs`: it is too early to say it, come again then. */
export interface Reported {
  readonly gone: boolean;
  readonly afterMs?: number;
}

/** A pod is asked within moments. */
const SOON_MS = 1000;

/** Writes the status if it says something new, and the events that this is worth. */
export async function report(seen: Observation, deps: ReporterDeps): Promise<Reported> {
  if (isPremature(seen)) return { gone: false, afterMs: SOON_MS };
  const { object } = seen;
  // The finalizer was written since: over the version before it the API server would refuse the status.
  const newest = deps.caches.relays.get(object.metadata);
  const live = newest !== undefined && newest.metadata.uid === object.metadata.uid ? newest : object;
  const before = object.status ?? {};
  const status = statusOf(seen, handledIn(seen), deps.clock.wallTime());
  const outcome = await deps.statusWriter.write(mailRelays, live, status, {
    minIntervalMs: patienceOf(before, status),
  });
  if (outcome.outcome === 'gone') return { gone: true };
  deps.gauges.become(keyOf(object.metadata), relayState(seen, status.conditions ?? []));
  if (outcome.outcome === 'deferred') return { gone: false, afterMs: outcome.afterMs };
  if (outcome.outcome === 'written') {
    deps.caches.relays.observe(outcome.object);
    for (const event of eventsOf(before, status, seen)) deps.events.record(object, event);
  }
  return { gone: false };
}

/** The last events of a MailRelay whose status nobody will read any more: every volume with mail is named once more. */
export function farewell(seen: Observation, deps: ReporterDeps): void {
  const { heldVolumes: _told, ...before } = seen.object.status ?? {};
  const after = statusOf(seen, {}, deps.clock.wallTime());
  for (const event of eventsOf(before, after, seen)) deps.events.record(seen.object, event);
}

/**
 * A pod has not been asked yet, which takes moments: nothing can be said of it. Without this every start of the
 * operator would call every relay not ready, and then ready again. Mail left behind is told at once.
 */
function isPremature({ reports, scale }: Observation): boolean {
  const unasked = reports.some(({ status, error }) => status === undefined && error === undefined);
  const leavesMail = scale?.leaving.some(({ board }) => !isEmpty(board)) ?? false;
  return unasked && !leavesMail;
}

/** The requests that were acted on: a resend when the pods' configuration asks for it, a look when nothing failed. */
function handledIn({ object, problems, suspended, retrying, configWritten }: Observation): Handled {
  if (problems !== undefined || suspended !== undefined) return {};
  const asked = object.metadata.annotations ?? {};
  const resendAt = configWritten === true ? asked[annotations.resendRequestedAt] : undefined;
  const reconcileAt = retrying.length === 0 ? asked[annotations.reconcileRequestedAt] : undefined;
  return { ...(resendAt !== undefined && { resendAt }), ...(reconcileAt !== undefined && { reconcileAt }) };
}
