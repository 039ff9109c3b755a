/** How much a counter has counted of late, as PromQL that does not miss what was counted before the first scrape. */

/**
 * By each series of `counter`, what it counted within the last hour. `started` is process_start_time_seconds of the same
 * targets.
 *
 * increase() sees differences only: what a pod counts before it is read for the first time, such as what it finds in its
 * volume at its start, never shows in one. So the whole value counts of a series that is new within the hour and comes
 * from a process that is: for exactly that long, also when the pod is gone by then. A series alone does not tell: it is
 * new as well to a Prometheus that has lost what it knew, and that is not to tell everything once more.
 */
export function countedWithinAnHour(counter: string, started: string): string {
  const whole = `max_over_time(${counter}[1h]) > 0`;
  const known = `count_over_time(${counter}[1h] offset 1h)`;
  const young = `max_over_time(${started}[1h]) > time() - 3600`;
  return `(${whole} unless ${known} and on (job, instance) ${young} or increase(${counter}[1h]))`;
}
