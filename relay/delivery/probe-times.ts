/**
 * When a provider that is out of use is probed next: longer after every probe
 * and every trial that fails. Pure; times are of the caller's monotonic clock.
 */
import { exponential, jittered } from './backoff.ts';
import type { Verdict } from './verdict.ts';

/** What has failed so far. */
export interface Waited {
  /** Probes that failed since it is out of use. */
  readonly probes: number;
  /** Trials that it failed, without taking any mail in between. */
  readonly trials: number;
}

/** Now, and a number uniform in [0, 1). */
interface Moment {
  readonly now: number;
  readonly random: number;
}

/** A down provider is found again within seconds; a long outage costs one probe in five minutes. */
const openProbe = { firstMs: 5000, ceilingMs: 300_000 };

/**
 * While mail waits and nothing else can be used, for a provider that is not
 * there: a refused or unanswered connection costs nobody anything. One that
 * answers is never asked sooner than `openProbe` says.
 */
const urgentProbeMs = 2500;

/** Wrong passwords lock accounts: six tries an hour at most, one an hour in the end. */
const suspendedProbe = { firstMs: 600_000, ceilingMs: 3_600_000 };

const probeMultiplier = 2;
const probeJitter = 0.2;

/** Milliseconds to the next probe: longer with every probe and every trial that fails. */
function probeWait(
  pace: { readonly firstMs: number; readonly ceilingMs: number },
  { probes, trials }: Waited,
  { waitMs = 0 }: Pick<Verdict, 'waitMs'>,
  { random }: Moment,
): number {
  const base = exponential(pace.firstMs, probeMultiplier, probes + trials, pace.ceilingMs);
  return Math.max(jittered(base, probeJitter, random), waitMs);
}

/** When to log in again to a provider that refuses the credentials, or later where it named a longer wait. */
export function suspendedProbeAt(waited: Waited, verdict: Pick<Verdict, 'waitMs'>, at: Moment): number {
  return at.now + probeWait(suspendedProbe, waited, verdict, at);
}

/** Both moments of the next probe of an open breaker: in any case, and when it is urgent. A failed trial is never hurried. */
export function openProbeTimes(
  waited: Waited,
  verdict: Pick<Verdict, 'class' | 'waitMs'>,
  at: Moment,
): { readonly probeAt: number; readonly urgentAt: number } {
  const wait = probeWait(openProbe, waited, verdict, at);
  const absent = verdict.class === 'network' && waited.trials === 0;
  const urgent = absent
    ? Math.max(jittered(urgentProbeMs, probeJitter, at.random), verdict.waitMs ?? 0)
    : wait;
  return { probeAt: at.now + wait, urgentAt: at.now + Math.min(urgent, wait) };
}
