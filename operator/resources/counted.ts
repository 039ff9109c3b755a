/** How much a counter has counted within a time, as PromQL that does not miss what was counted before the first scrape. */

/** As Prometheus writes it, and in seconds. */
export const periods = { '10m': 600, '1h': 3600 } as const;

/**
 * By each series of `counter`, what it counted within `period`. `started` is process_start_time_seconds of the same
 * targets.
 *
 * increase() sees differences only: what a pod counts before it is read for the first time, such as what it finds in its
 * volume at its start, never shows in one. So the whole value counts of a series that is new within the period and
 * comes from a process that is: for exactly that long, also when the pod is gone by then. A series alone does not tell:
 * it is new as well to a Prometheus that has lost what it knew, and that is not to tell everything once more.
 */
export function countedWithin(counter: string, period: keyof typeof periods, started: string): string {
  const whole = `max_over_time(${counter}[${period}]) > 0`;
  const known = `count_over_time(${counter}[${period}] offset ${period})`;
  const young = `max_over_time(${started}[${period}]) > time() - ${periods[period]}`;
  return `(${whole} unless ${known} and on (job, instance) ${young} or increase(${counter}[${period}]))`;
}
