/**
 * One provider's health as a value, and what changes it. Three provider-level
 * failures in a row, or failures of ten different messages in a row, open the
 * breaker: the provider is skipped until a probe (which carries no mail)
 * succeeds. Refused credentials suspend it; a throttle cools it down for the
 * time it named. It keeps no clock and no randomness: `now` is a monotonic
 * millisecond clock of the caller's, `random` is uniform in [0, 1).
 */
import { exponential, jittered } from './backoff.ts';
import type { Verdict } from './verdict.ts';

export type Health =
  | {
      readonly kind: 'closed';
      readonly strikes: number;
      readonly softStrikes: number;
      /** The messages counted in softStrikes: each counts once. */
      readonly softIds?: readonly string[];
    }
  | {
      readonly kind: 'open';
      readonly since: number;
      readonly probeAt: number;
      /** Probes that failed since it opened. */
      readonly probes: number;
      /** The class of the failure that opened it. */
      readonly reason: string;
      readonly message: string;
    }
  | {
      readonly kind: 'suspended';
      readonly since: number;
      readonly probeAt: number;
      readonly probes: number;
      readonly message: string;
    }
  | {
      readonly kind: 'cooling';
      readonly since: number;
      readonly until: number;
      readonly message: string;
    };

/** The circumstances of a failure. */
export interface FailedAt {
  readonly now: number;
  /** For people; see describe() in verdict.ts. */
  readonly message: string;
  /** The message that met it; absent when only the connection was concerned. */
  readonly messageId?: string;
  readonly random: number;
}

type Closed = Extract<Health, { kind: 'closed' }>;

/** Provider-level failures in a row that open the breaker. */
export const strikesToOpen = 3;

/** Different messages failed in a row that open it: one poisonous message must not. */
export const softStrikesToOpen = 10;

/** A down provider is found again within seconds; a long outage costs one probe in five minutes. */
const openProbe = { firstMs: 5000, ceilingMs: 300_000 };

/** Wrong passwords lock accounts: six tries an hour at most, one an hour in the end. */
const suspendedProbe = { firstMs: 600_000, ceilingMs: 3_600_000 };

const probeMultiplier = 2;
const probeJitter = 0.2;

/** When a throttle came without a time, and the verdict gave none either. */
const defaultCoolDownMs = 60_000;

export function initial(): Health {
  return { kind: 'closed', strikes: 0, softStrikes: 0 };
}

/**
 * A transaction or a probe succeeded: closed, nothing counted. Two exceptions.
 * A cool-down runs its time: on other connections messages that were under way
 * still succeed, and must not cancel what the provider asked for. And with
 * `by` 'transaction' a suspension stays: an old connection works on after the
 * password was changed, and closing would try the refused one again.
 */
export function onSuccess(health: Health, by: 'transaction' | 'probe' = 'probe'): Health {
  if (health.kind === 'cooling') return health;
  if (health.kind === 'suspended' && by === 'transaction') return health;
  return initial();
}

/** What a judged failure of a connection or a message does to the provider. */
export function onFailure(health: Health, verdict: Verdict, at: FailedAt): Health {
  switch (verdict.effect) {
    case 'none':
      return health;
    case 'suspend':
      return health.kind === 'suspended' ? health : suspend(at);
    case 'cool-down':
      return coolDown(health, verdict, at);
    case 'strike':
      return health.kind === 'closed' ? strike(health, verdict, at) : health;
    case 'soft-strike':
      return health.kind === 'closed' ? softStrike(health, verdict, at) : health;
  }
}

/** A background probe failed: the next one comes later, or the reason has changed. */
export function onProbeFailed(health: Health, verdict: Verdict, at: FailedAt): Health {
  if (health.kind === 'closed' || health.kind === 'cooling') return onFailure(health, verdict, at);
  if (health.kind === 'open' && verdict.effect === 'suspend') return suspend(at);
  const probes = health.probes + 1;
  const pace = health.kind === 'open' ? openProbe : suspendedProbe;
  const wait = Math.max(probeDelay(pace, probes, at.random), verdict.waitMs ?? 0);
  return { ...health, probes, probeAt: at.now + wait, message: at.message };
}

/** Time passed: a cool-down that is over ends. */
export function onTick(health: Health, now: number): Health {
  return health.kind === 'cooling' && now >= health.until ? initial() : health;
}

/** May messages be given to it? */
export function usable(health: Health, now: number): boolean {
  return health.kind === 'closed' || (health.kind === 'cooling' && now >= health.until);
}

function strike(health: Closed, verdict: Verdict, at: FailedAt): Health {
  const strikes = health.strikes + 1;
  // again 'no' says that another try would end the same way (a certificate, a
  // greeting of 554): the second and third would only delay mail. An unanswered
  // dot is not repeated for another reason, and one of them proves little.
  const hopeless = verdict.again === 'no' && !verdict.ambiguous;
  const enough = strikes >= strikesToOpen || hopeless;
  return enough ? open(verdict, at) : { ...health, strikes };
}

function softStrike(health: Closed, verdict: Verdict, at: FailedAt): Health {
  const ids = health.softIds ?? [];
  const id = at.messageId;
  if (id !== undefined && ids.includes(id)) return health;
  const softStrikes = health.softStrikes + 1;
  if (softStrikes >= softStrikesToOpen) return open(verdict, at);
  return { ...health, softStrikes, softIds: id === undefined ? ids : [...ids, id] };
}

function open(verdict: Verdict, at: FailedAt): Health {
  return {
    kind: 'open',
    since: at.now,
    probeAt: at.now + Math.max(probeDelay(openProbe, 0, at.random), verdict.waitMs ?? 0),
    probes: 0,
    reason: verdict.class,
    message: at.message,
  };
}

function suspend(at: FailedAt): Health {
  return {
    kind: 'suspended',
    since: at.now,
    probeAt: at.now + probeDelay(suspendedProbe, 0, at.random),
    probes: 0,
    message: at.message,
  };
}

/** Never shortens a longer cool-down, and never hides a graver state. */
function coolDown(health: Health, verdict: Verdict, at: FailedAt): Health {
  if (health.kind === 'open' || health.kind === 'suspended') return health;
  const until = at.now + (verdict.waitMs ?? defaultCoolDownMs);
  if (health.kind === 'closed') {
    return { kind: 'cooling', since: at.now, until, message: at.message };
  }
  return until > health.until ? { ...health, until, message: at.message } : health;
}

function probeDelay(
  pace: { readonly firstMs: number; readonly ceilingMs: number },
  probes: number,
  random: number,
): number {
  const base = exponential(pace.firstMs, probeMultiplier, probes, pace.ceilingMs);
  return jittered(base, probeJitter, random);
}
