/**
 * How long to wait: between tries at one provider, between rounds of one
 * message, and what a provider itself asked for. Every answer is a finite
 * number of milliseconds that a timer can hold; nothing here waits.
 */
import type { ResendConfig, RetryConfig } from '../config/config.ts';

/** Longest wait any function here returns: a day. A Node.js timer overflows at 24.8 days. */
const longestMs = 24 * 3_600_000;

/** Shortest wait taken from a provider's words: "retry in 0 seconds" must not spin. */
const shortestNamedMs = 1000;

/**
 * Milliseconds before the next try at the same provider.
 * @param triesDone tries already made in this round, 1 after the first
 */
export function tryDelay(triesDone: number, retry: RetryConfig): number {
  return exponential(retry.initialDelayMs, retry.multiplier, triesDone - 1, longestMs);
}

/**
 * Milliseconds from the end of a failed round to the next one. The jitter is
 * applied after the ceiling, so that mail that has reached it stays spread.
 * @param rounds completed rounds that did not settle the message, at least 1
 * @param random uniform in [0, 1)
 */
export function resendDelay(rounds: number, resend: ResendConfig, random: number): number {
  const base = exponential(resend.initialDelayMs, resend.multiplier, rounds - 1, resend.maxDelayMs);
  return jittered(base, resend.jitter, random);
}

/**
 * `first × multiplier^steps`, at most `ceiling`, in milliseconds. Safe for any
 * number of steps: a power that overflows is the ceiling.
 */
export function exponential(first: number, multiplier: number, steps: number, ceiling: number): number {
  const delay = first * multiplier ** Math.max(0, steps);
  const bounded = Number.isNaN(delay) ? ceiling : Math.min(delay, ceiling);
  return Math.round(Math.min(Math.max(0, bounded), longestMs));
}

/** `delay` varied by up to ± `fraction`, as `random` in [0, 1) says. */
export function jittered(delay: number, fraction: number, random: number): number {
  const swing = 1 + fraction * (2 * random - 1);
  return Math.round(Math.min(Math.max(0, delay * swing), longestMs));
}

const unitMs: Readonly<Record<string, number>> = { s: 1000, m: 60_000, h: 3_600_000 };

/**
 * A verb that asks for a wait must stand before the number: "100 messages in
 * 1 hour" names a limit, not a wait.
 */
const namedWaitPattern =
  /\b(?:try|retry|again|wait|back|resend|reconnect|greylisted|graylisted|delayed)\b[^0-9]{0,40}?\b(?:in|after|for|wait|until|least)[:\s]+(?:about |another |at least )?(\d{1,6})\s*(s|secs?|seconds?|m|mins?|minutes?|h|hrs?|hours?)\b/i;
const retryAfterPattern = /\bretry[- ]after[:=\s]+(\d{1,6})\b/i;

/**
 * The wait that a reply asks for in words ("try again in 30 seconds", "retry
 * after 5 minutes", "Retry-After: 30"), in milliseconds between one second and
 * a day; undefined when it names none.
 */
export function namedWait(text: string): number | undefined {
  const match = namedWaitPattern.exec(text) ?? retryAfterPattern.exec(text);
  if (match === null) return undefined;
  const unit = (match[2] ?? 's').charAt(0).toLowerCase();
  const wait = Number(match[1]) * (unitMs[unit] ?? 1000);
  return Math.min(Math.max(wait, shortestNamedMs), longestMs);
}
