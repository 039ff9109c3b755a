/** The rows as a Markdown table, with the machine they were measured on, which is never named. */
import { closeSync, fdatasyncSync, mkdtempSync, openSync, rmSync, writeSync } from 'node:fs';
import { cpus, release, tmpdir, totalmem } from 'node:os';
import { join } from 'node:path';
import type { Row, Target } from './scenario.ts';

const HEAD = ['what', 'relay', 'baseline', 'ratio', 'target', 'met'];

/** The table, in Markdown. */
export function markdown(rows: readonly Row[]): string {
  const lines = rows.map(row => `| ${cells(row).join(' | ')} |`);
  return [`| ${HEAD.join(' | ')} |`, `|${HEAD.map(() => '---|').join('')}`, ...lines].join('\n');
}

function cells({ what, value, unit, baseline, target }: Row): string[] {
  const compared =
    baseline === undefined ? ['', ''] : [figure(baseline, unit), `× ${(value / baseline).toFixed(2)}`];
  return [what, figure(value, unit), ...compared, aim(unit, target), verdict({ value, baseline, target })];
}

function aim(unit: string, target: Target | undefined): string {
  if (target === undefined) return '';
  const ratio = target.ratio === undefined ? '' : ` or × ${target.ratio.toFixed(2)}`;
  return `${target.at === 'least' ? '≥' : '≤'} ${figure(target.value, unit)}${ratio}`;
}

function verdict(row: {
  readonly value: number;
  readonly baseline: number | undefined;
  readonly target: Target | undefined;
}): string {
  const { value, baseline, target } = row;
  if (target === undefined) return '';
  const reaches = (measured: number, aimed: number) =>
    target.at === 'least' ? measured >= aimed : measured <= aimed;
  if (reaches(value, target.value)) return 'yes';
  const byRatio = baseline !== undefined && target.ratio !== undefined;
  return byRatio && reaches(value / baseline, target.ratio) ? 'by ratio' : '**no**';
}

function figure(value: number, unit: string): string {
  const digits = value >= 100 ? 0 : value >= 10 ? 1 : 2;
  const text = Number.isInteger(value) ? String(value) : value.toFixed(digits);
  return unit === '' || unit === '/s' ? `${text}${unit}` : `${text} ${unit}`;
}

/** What a reader must know of the machine to judge the figures. */
export function machine(): string {
  const [first] = cpus();
  const model = first?.model.trim() || process.arch;
  const memory = (totalmem() / 2 ** 30).toFixed(0);
  return [
    `${cpus().length} cores (${model}), ${memory} GiB memory, Linux ${release().split('-')[0]}, Node.js ${process.version};`,
    `one 4 KB write with fdatasync takes ${syncMs().toFixed(2)} ms (median of 200).`,
  ].join(' ');
}

function syncMs(): number {
  const directory = mkdtempSync(join(tmpdir(), 'mailrelay-bench-'));
  const file = openSync(join(directory, 'sync'), 'w');
  const block = Buffer.alloc(4096);
  const times = Array.from({ length: 200 }, () => {
    const startedAt = performance.now();
    writeSync(file, block);
    fdatasyncSync(file);
    return performance.now() - startedAt;
  });
  closeSync(file);
  rmSync(directory, { recursive: true });
  return times.toSorted((a, b) => a - b)[100]!;
}
