/**
 * The recipient domains that a provider answered with what may be a throttle
 * of its own, or of that domain alone. A value; it keeps no clock.
 */

/** One domain, and when it was answered so last. */
export interface ThrottledDomain {
  readonly domain: string;
  /** Milliseconds, of the caller's monotonic clock. */
  readonly at: number;
}

/** As many are no slow destination any more: it is the provider that is meant. */
export const domainsToCool = 3;

/** What was said longer ago has nothing to do with it. */
const windowMs = 60_000;

/** Those within the last minute, each once, with these domains answered so now. */
export function withThrottled(
  known: readonly ThrottledDomain[],
  domains: readonly string[],
  now: number,
): readonly ThrottledDomain[] {
  const others = known.filter(({ domain, at }) => now - at < windowMs && !domains.includes(domain));
  return [...others, ...[...new Set(domains)].map(domain => ({ domain, at: now }))];
}

/** What stands behind the last @, in lower case; an address without one is a domain of its own. */
export function domainOf(address: string): string {
  return address.slice(address.lastIndexOf('@') + 1).toLowerCase();
}
