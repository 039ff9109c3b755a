/**
 * `npm test`: runs the tests group by group and says what ran. The last line is
 * `N passed, N failed, N skipped`; the exit code is 0 when nothing failed.
 *
 *     npm test                      everything that this machine can run
 *     npm test -- unit              one group
 *     npm test -- unit spool        the files of a group with "spool" in their path
 *     npm test -- test/unit/x.test.ts
 *
 * A group that this machine cannot run counts as skipped, with the reason; where
 * CI=true as failed, because there everything has to run.
 */
import process from 'node:process';
import { styleText } from 'node:util';
import { useClusters } from './cluster/cluster.ts';
import { helmProgram } from './cluster/tools.ts';
import { filesByGroup, type Group, pathOf, readSelection } from './runner/groups.ts';
import { type FileResult, type FileRun, killRunning, runFile } from './runner/run-file.ts';

type Totals = { passed: number; failed: number; skipped: number };

const isCi = process.env['CI'] === 'true';
const totals: Totals = { passed: 0, failed: 0, skipped: 0 };

function say(text: string): void {
  process.stdout.write(`${text}\n`);
}

function seconds(milliseconds: number): string {
  return `${(milliseconds / 1000).toFixed(1)} s`;
}

function count({ passed, failed, skipped }: Totals): string {
  return `${passed} passed, ${failed} failed, ${skipped} skipped`;
}

function totalsOf({ results }: FileResult): Totals {
  const sum: Totals = { passed: 0, failed: 0, skipped: 0 };
  for (const { outcome } of results) sum[outcome] += 1;
  return sum;
}

function add(sum: Totals, more: Totals): void {
  sum.passed += more.passed;
  sum.failed += more.failed;
  sum.skipped += more.skipped;
}

function tell(result: FileResult, file: string): void {
  const sum = totalsOf(result);
  const mark = sum.failed > 0 ? styleText('red', 'FAIL') : 'ok  ';
  say(`  ${mark}  ${file}  ${count(sum)}  ${seconds(result.milliseconds)}`);
  for (const { name, outcome, reason } of result.results) {
    if (outcome === 'skipped') say(`        skipped: ${name}${reason === undefined ? '' : ` (${reason})`}`);
  }
  if (sum.failed > 0) say(result.output.trimEnd().replaceAll(/^/gm, '      | '));
}

/** How files are run one after the other, and what to do afterwards. */
type Lane = { readonly how: Pick<FileRun, 'wrap' | 'env'>; readonly leave: () => Promise<void> };

/** As many as files at a time. A lane on a cluster has it for itself, so that its files may do anything to it. */
async function lanesFor({ onCluster, concurrency }: Group, files: number): Promise<readonly Lane[]> {
  const count = Math.min(concurrency, files);
  if (!onCluster) return Array.from({ length: count }, () => ({ how: {}, leave: () => Promise.resolve() }));
  await helmProgram();
  const started = performance.now();
  const clusters = await useClusters(count);
  const names = clusters.map(({ name, sort }) => `${name} (${sort})`).join(', ');
  say(`  up after ${seconds(performance.now() - started)}: ${names}`);
  const wrap = [new URL('cluster/cluster.sh', import.meta.url).pathname, 'shell'];
  return clusters.map(({ name, stop }) => ({
    how: { wrap, env: { ...process.env, MAILRELAY_CLUSTER: name } },
    leave: stop,
  }));
}

async function runGroup(group: Group, files: readonly string[]): Promise<void> {
  const reason = await group.missing?.();
  say(`${styleText('bold', group.name)}: ${files.length} files`);
  if (reason !== undefined) {
    totals[isCi ? 'failed' : 'skipped'] += files.length;
    return say(`  ${isCi ? 'FAIL' : 'skipped'}: ${reason}`);
  }
  const started = performance.now();
  const sum: Totals = { passed: 0, failed: 0, skipped: 0 };
  const waiting = [...files];
  const runAlong = async ({ how, leave }: Lane): Promise<void> => {
    for (let file = waiting.shift(); file !== undefined; file = waiting.shift()) {
      const result = await runFile({ file: pathOf(file), timeout: group.minutes * 60_000, ...how });
      add(sum, totalsOf(result));
      tell(result, file);
    }
    await leave();
  };
  await Promise.all((await lanesFor(group, files.length)).map(runAlong));
  add(totals, sum);
  say(`  ${group.name}: ${count(sum)} in ${seconds(performance.now() - started)}`);
}

async function runAll(words: readonly string[]): Promise<void> {
  const selection = readSelection(words);
  for (const [group, all] of filesByGroup()) {
    const { parts } = selection;
    const files = all.filter(file => parts.length === 0 || parts.some(part => file.includes(part)));
    if (!selection.groups.includes(group) || files.length === 0) continue;
    await runGroup(group, files).catch((error: unknown) => {
      totals.failed += 1;
      say(`  FAIL  ${error instanceof Error ? error.message : String(error)}`);
    });
  }
  if (totals.passed + totals.failed + totals.skipped > 0) return;
  totals.failed += 1;
  say(`no test file matches: ${words.join(' ')}`);
}

for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
  process.once(signal, () => {
    killRunning(); // they are process groups of their own, which the terminal does not reach
    process.exit(1);
  });
}
await runAll(process.argv.slice(2));
say(count(totals));
process.exitCode = totals.failed > 0 ? 1 : 0;
