/**
 * `npm run bench`: measures the relay beside a plain baseline in the same run
 * and prints a table, in eight minutes on a machine that does nothing else.
 * `--quick` for a short look, `--only queued,huge` for some of it, `--json` for
 * machines, `--source` to measure the sources instead of the bundle,
 * `--publish` to write bench/results.md. Loopback only; bounded in time and
 * number; stops what it started by its id, whatever happens.
 */
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { useProgram } from './arena.ts';
import { startLoad } from './processes.ts';
import { interpreter, relayProgram } from './program.ts';
import type { Row } from './scenario.ts';
import { measured, scenarioNames } from './scenarios.ts';
import { machine, markdown } from './table.ts';

const RESULTS = join(import.meta.dirname, 'results.md');

const { values: flags } = parseArgs({
  options: {
    quick: { type: 'boolean', default: false },
    only: { type: 'string' },
    json: { type: 'boolean', default: false },
    source: { type: 'boolean', default: false },
    publish: { type: 'boolean', default: false },
  },
});

const how = flags.quick
  ? { timing: { warmUpSeconds: 0.7, seconds: 1.5 }, rounds: 1, queued: 2000, longQueue: 0 }
  : { timing: { warmUpSeconds: 1.5, seconds: 4 }, rounds: 3, queued: 10_000, longQueue: 1_000_000 };

const names = flags.only?.split(',') ?? scenarioNames;
const unknown = names.find(name => !scenarioNames.includes(name));
if (unknown !== undefined) throw new Error(`--only ${unknown}: there is ${scenarioNames.join(', ')}`);
if (flags.publish && flags.only !== undefined) throw new Error('--publish is of everything, not of --only');

const say = (text: string): void => {
  process.stderr.write(`${text}\n`);
};

const directory = await mkdtemp(join(tmpdir(), 'mailrelay-bench-program-'));
try {
  useProgram(await relayProgram(directory, flags.source));
  const rows = await rowsOf();
  const text = flags.json ? JSON.stringify({ machine: machine(), rows }, null, 2) : page(rows);
  process.stdout.write(`${text}\n`);
  if (flags.publish) await writeFile(RESULTS, `${page(rows)}\n`);
} finally {
  await rm(directory, { recursive: true, force: true });
}

async function rowsOf(): Promise<Row[]> {
  const load = await startLoad();
  try {
    return await measured({ load, say, ...how }, names);
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

Load, provider, baseline and relay share the machine, each in a process of its own. Measured: ${what}, started as \`${interpreter}\`; ${timing.seconds} s per figure after a warm-up, median of ${rounds} for the first five shapes and for STARTTLS. The baseline is smtp-server without its greeting delay, a file and an fdatasync per message, and a nodemailer pool of 20. End to end = first byte sent to last message received by the provider. 250 after = from the end of the data to the reply. CPU and memory are the kernel's figures for the whole process. A target with a ratio was set on a machine whose baseline is known; where other work slows everything down, the ratio counts.

${missed === 0 ? 'Every target is met.' : `${missed} of the targets below are not met on this machine.`}

${markdown(rows)}`;
}
