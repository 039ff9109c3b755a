/** What is measured, in the order of the table. */
import { refusingPrimary, silentPrimary } from './failing.ts';
import { healthyLoads, securedUpstream } from './healthy.ts';
import type { Bench, Row } from './scenario.ts';
import { hugeMail, longQueue, queuedMail } from './waiting.ts';

const SCENARIOS: Readonly<Record<string, (bench: Bench) => Promise<Row[]>>> = {
  loads: healthyLoads,
  refusing: refusingPrimary,
  silent: silentPrimary,
  secured: securedUpstream,
  queued: queuedMail,
  huge: hugeMail,
  long: longQueue,
};

export const scenarioNames: readonly string[] = Object.keys(SCENARIOS);

/** Runs those named, in the order of the table. */
export async function measured(bench: Bench, names: readonly string[]): Promise<Row[]> {
  const rows: Row[] = [];
  for (const [name, scenario] of Object.entries(SCENARIOS)) {
    if (names.includes(name)) rows.push(...(await scenario(bench)));
  }
  return rows;
}
