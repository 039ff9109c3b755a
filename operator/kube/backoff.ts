/** Growing, jittered pauses between tries: doubling from a first to a longest, each drawn between half and whole. */

/** Pause before try `failures + 1` in milliseconds; `random` in [0, 1). */
export function backoffDelay(
  failures: number,
  [first, longest]: readonly [number, number],
  random: () => number,
): number {
  const whole = Math.min(longest, first * 2 ** Math.min(Math.max(0, failures - 1), 40));
  return whole * (0.5 + random() / 2);
}
