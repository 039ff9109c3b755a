/** Durations as people write them: `90s`, `30m`, `2h`, `1d`. */

const units = { ms: 1, s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000 } as const;

/** Milliseconds, or undefined when the text is not a number and a unit (ms, s, m, h, d). */
export function durationMs(text: string): number | undefined {
  const parts = /^(\d{1,9}(?:\.\d{1,3})?)(ms|s|m|h|d)$/.exec(text);
  if (parts === null) return undefined;
  return Math.round(Number(parts[1]) * units[parts[2] as keyof typeof units]);
}
