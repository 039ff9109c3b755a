/**
 * When only a new process can help the operator: it leads and cannot renew its lease, or a watch stays away and no LIST
 * stands in for it. Pure.
 */

/** Renewal is due every 2 s and must succeed within 10 s; see kube/lease.ts. */
const STALE_LEASE_MS = 30_000;
/** A watch that could not be re-opened for so long, while another one could, will not be by this process. */
const STALE_WATCH_MS = 10 * 60_000;
/**
 * With no watch at all it is most likely the API server that is away: a new process would find nothing either, end,
 * and be started later and later, so that it came back minutes after the server.
 */
const STALE_ALL_MS = 60 * 60_000;

/** What tells whether the operator still lives. */
export interface SignsOfLife {
  /** undefined while it does not lead. */
  readonly sinceRenewalMs: number | undefined;
  /** For how long each kind has had neither a watch nor a LIST; 0 = it is watched, undefined = it is out of view. */
  readonly watches: readonly { readonly kind: string; readonly disconnectedMs: number | undefined }[];
}

/** Why the process should be ended, for people; undefined while all is well. */
export function unhealthy({ sinceRenewalMs = 0, watches }: SignsOfLife): string | undefined {
  if (sinceRenewalMs > STALE_LEASE_MS) {
    return `leading, but the lease was renewed ${Math.round(sinceRenewalMs)} ms ago`;
  }
  const limitMs = watches.some(({ disconnectedMs }) => disconnectedMs === 0) ? STALE_WATCH_MS : STALE_ALL_MS;
  const stale = watches.find(({ disconnectedMs = 0 }) => disconnectedMs > limitMs);
  if (stale?.disconnectedMs === undefined) return undefined;
  return `the watch of ${stale.kind} has been away for ${Math.round(stale.disconnectedMs / 1000)} s`;
}
