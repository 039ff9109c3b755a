/**
 * One provider's health as a value, and what changes it. Three provider-level
 * failures in a row, or failures of ten different messages in a row, open the
 * breaker: the provider is skipped until a probe (which carries no mail)
 * succeeds. What follows is a trial: only mail that it takes, or answers three
 * times by refusing the mail itself, closes the breaker; failures open it again
 * for longer. Refused credentials suspend it; a
 * throttle cools it down for the time it named. It keeps no clock and no
 * randomness: `now` is a monotonic millisecond clock of the caller's, `random`
 * is uniform in [0, 1).
 */
import { openProbeTimes, suspendedProbeAt, type Waited } from './probe-times.ts';
import { domainsToCool, type ThrottledDomain, withThrottled } from './throttled-domains.ts';
import type { Verdict } from './verdict.ts';

export type Health = Closed | Trial | Open | Suspended | Cooling;

/** Failures in a row while it is in use. */
interface Counted {
  readonly strikes: number;
  readonly softStrikes: number;
  /** The messages counted in softStrikes: each counts once. */
  readonly softIds?: readonly string[];
  /** Recipient domains answered with what may be a throttle. */
  readonly throttled?: readonly ThrottledDomain[];
}

interface Closed extends Counted {
  readonly kind: 'closed';
}

/** It can be logged in to again, which does not say that it takes mail: in use for a few messages at a time. */
interface Trial extends Counted {
  readonly kind: 'trial';
  /** Messages that it refused for what they are. */
  readonly refusedIds: readonly string[];
  /** Trials that it failed before, without taking any mail in between. */
  readonly trials: number;
}

/** Out of use until a probe succeeds. */
interface Probed extends Waited {
  readonly since: number;
  readonly probeAt: number;
  readonly message: string;
}

interface Open extends Probed {
  readonly kind: 'open';
  /** When to probe if mail waits and no other provider can be used; at most `probeAt`. */
  readonly urgentAt: number;
  /** The class of the failure that opened it. */
  readonly reason: string;
}

interface Suspended extends Probed {
  readonly kind: 'suspended';
}

interface Cooling {
  readonly kind: 'cooling';
  readonly since: number;
  readonly until: number;
  readonly message: string;
}

/** The circumstances of a failure. */
export interface FailedAt {
  readonly now: number;
  /** For people; see describe() in failure.ts. Names no address. */
  readonly message: string;
  /** The message that met it; absent when only the connection was concerned. */
  readonly messageId?: string;
  /** Of the recipients that were answered so; needed for 'soft-cool-down' alone. */
  readonly domains?: readonly string[];
  readonly random: number;
}

/** Provider-level failures in a row that open the breaker. */
export const strikesToOpen = 3;

/** Different messages failed in a row that open it: one poisonous message must not. */
export const softStrikesToOpen = 10;

/** The same on trial, and how many messages it is given at a time meanwhile. */
export const trialMessages = 3;

/** When a throttle came without a time, and the verdict gave none either. */
const defaultCoolDownMs = 60_000;

export function initial(): Health {
  return { kind: 'closed', strikes: 0, softStrikes: 0 };
}

/**
 * It took mail: closed, nothing counted. Two exceptions. A cool-down runs its
 * time: on other connections messages that were under way still succeed, and
 * must not cancel what the provider asked for. And a suspension stays: an old
 * connection works on after the password was changed, and closing would try
 * the refused one again.
 */
export function onDelivered(health: Health): Health {
  return health.kind === 'cooling' || health.kind === 'suspended' ? health : initial();
}

/** A probe succeeded. That it can be logged in to ends no cool-down and forgives no failed message. */
export function onLoggedIn(health: Health): Health {
  if (health.kind !== 'open' && health.kind !== 'suspended') return health;
  return { kind: 'trial', trials: health.trials, refusedIds: [], strikes: 0, softStrikes: 0 };
}

/**
 * It refused a message for what the message is. That it works shows only when
 * several met it: else it would stay on trial for as long as nothing but
 * refused mail comes.
 */
export function onRefused(health: Health, messageId: string): Health {
  if (health.kind !== 'trial' || health.refusedIds.includes(messageId)) return health;
  const refusedIds = [...health.refusedIds, messageId];
  return refusedIds.length >= trialMessages ? initial() : { ...health, refusedIds };
}

/** What a judged failure of a connection or a message does to the provider. */
export function onFailure(health: Health, verdict: Verdict, at: FailedAt): Health {
  switch (verdict.effect) {
    case 'none':
      return health;
    case 'suspend':
      return health.kind === 'suspended' ? health : suspend(health, at);
    case 'cool-down':
      return coolDown(health, verdict, at);
    case 'soft-cool-down':
      return inUse(health) ? softCoolDown(health, verdict, at) : health;
    case 'strike':
      return inUse(health) ? strike(health, verdict, at) : health;
    case 'soft-strike':
      return inUse(health) ? softStrike(health, verdict, at) : health;
  }
}

/** A background probe failed: the next one comes later, or the reason has changed. */
export function onProbeFailed(health: Health, verdict: Verdict, at: FailedAt): Health {
  if (health.kind !== 'open' && health.kind !== 'suspended') return onFailure(health, verdict, at);
  const later = { ...health, probes: health.probes + 1, message: at.message };
  if (later.kind === 'suspended') return { ...later, probeAt: suspendedProbeAt(later, verdict, at) };
  if (verdict.effect === 'suspend') return suspend(health, at);
  return { ...later, ...openProbeTimes(later, verdict, at) };
}

/** Time passed: a cool-down that is over ends. */
export function onTick(health: Health, now: number): Health {
  return health.kind === 'cooling' && now >= health.until ? initial() : health;
}

/** May messages be given to it? */
export function usable(health: Health, now: number): boolean {
  return inUse(health) || (health.kind === 'cooling' && now >= health.until);
}

/** When something is to be done about it: a cool-down ends, a probe is due; undefined = nothing. */
export function wakesAt(health: Health, urgent: boolean): number | undefined {
  if (inUse(health)) return undefined;
  if (health.kind === 'cooling') return health.until;
  return health.kind === 'open' && urgent ? health.urgentAt : health.probeAt;
}

function inUse(health: Health): health is Closed | Trial {
  return health.kind === 'closed' || health.kind === 'trial';
}

function strike(health: Closed | Trial, verdict: Verdict, at: FailedAt): Health {
  const strikes = health.strikes + 1;
  // again 'no' says that another try would end the same way (a certificate, a
  // greeting of 554): the second and third would only delay mail. An unanswered
  // dot is not repeated for another reason, and one of them proves little.
  const hopeless = verdict.again === 'no' && !verdict.ambiguous;
  const enough = strikes >= strikesToOpen || hopeless;
  return enough ? open(health, verdict, at) : { ...health, strikes };
}

function softStrike(health: Closed | Trial, verdict: Verdict, at: FailedAt): Health {
  const ids = health.softIds ?? [];
  const id = at.messageId;
  if (id !== undefined && ids.includes(id)) return health;
  const softStrikes = health.softStrikes + 1;
  const enough = softStrikes >= (health.kind === 'trial' ? trialMessages : softStrikesToOpen);
  if (enough) return open(health, verdict, at);
  return { ...health, softStrikes, softIds: id === undefined ? ids : [...ids, id] };
}

function open(health: Closed | Trial, verdict: Verdict, at: FailedAt): Health {
  const count = { probes: 0, trials: trialsFailed(health) };
  return {
    kind: 'open',
    since: at.now,
    ...count,
    ...openProbeTimes(count, verdict, at),
    reason: verdict.class,
    message: at.message,
  };
}

function suspend(health: Health, at: FailedAt): Health {
  const count = { probes: 0, trials: trialsFailed(health) };
  const probeAt = suspendedProbeAt(count, {}, at);
  return { kind: 'suspended', since: at.now, probeAt, ...count, message: at.message };
}

/** Once more when this failure ends a trial. */
function trialsFailed(health: Health): number {
  if (health.kind === 'trial') return health.trials + 1;
  return 'trials' in health ? health.trials : 0;
}

/** Never shortens a longer cool-down, and never hides a graver state. */
function coolDown(health: Health, verdict: Verdict, at: FailedAt): Health {
  if (health.kind === 'open' || health.kind === 'suspended') return health;
  const until = at.now + (verdict.waitMs ?? defaultCoolDownMs);
  if (inUse(health)) {
    return { kind: 'cooling', since: at.now, until, message: at.message };
  }
  return until > health.until ? { ...health, until, message: at.message } : health;
}

/** A slow destination is no throttle of the provider: several domains must be answered so, and no mail taken meanwhile. */
function softCoolDown(health: Closed | Trial, verdict: Verdict, at: FailedAt): Health {
  const throttled = withThrottled(health.throttled ?? [], at.domains ?? [], at.now);
  return throttled.length >= domainsToCool ? coolDown(health, verdict, at) : { ...health, throttled };
}
