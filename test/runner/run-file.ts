/**
 * Runs one test file in a process of its own and tells what came of it. A file
 * that hangs, crashes, or runs no test at all has failed: nothing passes silently.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import process from 'node:process';
import type { TestResult } from './reporter.ts';

/** How a file is run. */
export type FileRun = {
  readonly file: string;
  /** Milliseconds after which the file counts as hanging and is killed with what it started. */
  readonly timeout: number;
  /** A command that runs its arguments as a command, such as one that enters a network. */
  readonly wrap?: readonly string[];
  readonly env?: NodeJS.ProcessEnv;
};

/** What came of a file. */
export type FileResult = {
  readonly file: string;
  readonly results: readonly TestResult[];
  /** What it printed: for people, when something failed. */
  readonly output: string;
  readonly milliseconds: number;
};

const reporter = join(import.meta.dirname, 'reporter.ts');
const running = new Set<number>();

/** Kills every file that is being run, with what it started. For the end of the runner itself. */
export function killRunning(): void {
  for (const pid of running) killGroup(pid);
}

/** Runs a file to its end. Never rejects because of what the file does. */
export async function runFile({ file, timeout, wrap = [], env = process.env }: FileRun): Promise<FileResult> {
  const directory = await mkdtemp(join(tmpdir(), 'test-results-'));
  const lines = join(directory, 'results');
  const started = performance.now();
  const line = [
    ...wrap,
    process.execPath,
    ...['--test-reporter=spec', '--test-reporter-destination=stdout'],
    ...[`--test-reporter=${reporter}`, `--test-reporter-destination=${lines}`],
    file,
  ];
  const { output, ending } = await runToEnd(line, timeout, env);
  const results = await readResults(lines);
  await rm(directory, { recursive: true, force: true });
  const milliseconds = performance.now() - started;
  const complaint = complaintOf(ending, results);
  if (complaint === undefined) return { file, results, output, milliseconds };
  const failure: TestResult = { name: complaint, outcome: 'failed' };
  return { file, results: [...results, failure], output: `${output}\n${file} ${complaint}\n`, milliseconds };
}

async function runToEnd(
  [program = '', ...rest]: readonly string[],
  timeout: number,
  env: NodeJS.ProcessEnv,
): Promise<{ readonly output: string; readonly ending: string }> {
  const { NODE_TEST_CONTEXT: _ours, ...clean } = env; // else the file reports to the runner that runs this one
  const child = spawn(program, rest, { detached: true, stdio: ['ignore', 'pipe', 'pipe'], env: clean });
  const pid = child.pid;
  if (pid === undefined) {
    const [error] = (await once(child, 'error')) as [Error];
    return { output: '', ending: `could not be started: ${error.message}` };
  }
  running.add(pid);
  let output = '';
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding('utf8').on('data', (text: string) => {
      output += text;
    });
  }
  let hung = false;
  const timer = setTimeout(() => {
    hung = true;
    killGroup(pid);
  }, timeout);
  const closed = once(child, 'close');
  const [code, signal] = (await once(child, 'exit')) as [number | null, NodeJS.Signals | null];
  clearTimeout(timer);
  killGroup(pid); // what it left running would hold the output open
  await closed;
  running.delete(pid);
  if (hung) return { output, ending: `did not end within ${timeout / 1000} s` };
  return { output, ending: code === 0 ? '' : `ended with ${signal ?? `exit code ${code}`}` };
}

function killGroup(pid: number): void {
  try {
    process.kill(-pid, 'SIGKILL');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error;
  }
}

async function readResults(lines: string): Promise<readonly TestResult[]> {
  const content = await readFile(lines, 'utf8').catch(() => '');
  const complete = content.slice(0, content.lastIndexOf('\n') + 1); // a killed process may leave half a line
  return complete
    .split('\n')
    .filter(line => line !== '')
    .map(line => JSON.parse(line) as TestResult);
}

/** What is wrong with a file beside tests that failed. */
function complaintOf(ending: string, results: readonly TestResult[]): string | undefined {
  const hasFailure = results.some(({ outcome }) => outcome === 'failed');
  if (ending.startsWith('did not end')) return ending;
  if (ending !== '' && !hasFailure) return ending;
  return results.length === 0 ? 'ran no test' : undefined;
}
