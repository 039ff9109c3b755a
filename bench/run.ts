/**
 * `npm run bench`: measures the relay beside a plain baseline in the same run
 * and prints a table. `--quick` for a short look, `--json` for machines,
 * `--source` to measure the sources instead of the bundle, `--publish` to
 * write bench/results.md. Loopback only; bounded in time and number; stops
 * what it started by its id, whatever happens.
 */
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { useProgram } from './arena.ts';
import { startLoad } from './processes.ts';
import { interpreter, relayProgram } from './program.ts';
import { type Bench, everyScenario, type Row } from './scenarios.ts';
import { machine, markdown } from './table.ts';

const RESULTS = join(import.meta.dirname, 'results.md');

const { values: flags } = parseArgs({
  options: {
    quick: { type: 'boolean', default: false },
    json: { type: 'boolean', default: false },
    source: { type: 'boolean', default: false },
    publish: { type: 'boolean', default: false },
  },
});

const how = flags.quick
  ? { timing: { warmUpSeconds: 0.7, seconds: 1.5 }, rounds: 1, queued: 2000, longQueue: 0 }
  : { timing: { warmUpSeconds: 2, seconds: 5 }, rounds: 3, queued: 10_000, longQueue: 1_000_000 };

const say = (text: string): void => {
  process.stderr.write(`${text}\n`);
};

const directory = await mkdtemp(join(tmpdir(), 'mailrelay-bench-program-'));
try {
  useProgram(await relayProgram(directory, flags.source));
  const rows = await measured();
  const text = flags.json ? JSON.stringify({ machine: machine(), rows }, null, 2) : page(rows);
  process.stdout.write(`${text}\n`);
  if (flags.publish) await writeFile(RESULTS, `${page(rows)}\n`);
} finally {
  await rm(directory, { recursive: true, force: true });
}

async function measured(): Promise<Row[]> {
  const load = await startLoad();
  try {
    const bench: Bench = { load, say, ...how };
    return await everyScenario(bench);
  } finally {
    await load.close();
  }
}

function page(rows: readonly Row[]): string {
  const { timing, rounds } = how;
  const what = flags.source ? 'the sources as `npm start` runs them' : 'the bundle as it goes into the image';
  const missed = markdown(rows).split('**no**').length - 1;
  return `# Results of \`npm run bench\`

${machine()}

Load, provider, baseline and relay share the machine, each in a process of its own. Measured: ${what}, started as \`${interpreter}\`; ${timing.seconds} s per figure after a warm-up, median of ${rounds} for the first five shapes. The baseline is smtp-server without its greeting delay, a file and an fdatasync per message, and a nodemailer pool of 20. End to end = first byte sent to last message received by the provider. 250 after = from the end of the data to the reply. CPU and memory are the kernel's figures for the whole process. A target with a ratio was set on a machine whose baseline is known; where other work slows everything down, the ratio counts.

${missed === 0 ? 'Every target is met.' : `${missed} of the targets below are not met on this machine.`}

${markdown(rows)}`;
}
