/**
 * System calls of a process that fail on demand (strace injects the error).
 * What failed is written down, for a fault that never came proves nothing.
 */
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { readFile } from 'node:fs/promises';

export const straceMissing =
  spawnSync('strace', ['-V']).status === 0 ? false : ('strace is not installed' as const);

export interface Fault {
  /** Names of system calls, separated by commas. */
  readonly call: string;
  /** Default EIO. */
  readonly error?: string;
  /** Which of the calls fail, strace's `when`; default: all. */
  readonly when?: string;
  /** Further calls, that fail from the third on. */
  readonly later?: string;
  /** Only calls on these files; default: all. */
  readonly paths?: readonly string[];
}

/** strace and its options in front of a command, or of `-p PID`; each such call is written to `trace`. */
export function failing(fault: Fault, trace: string): string[] {
  const { call, error = 'EIO', when = '1+', paths = [], later } = fault;
  const only = paths.flatMap(path => ['-P', path]);
  const calls = later === undefined ? call : `${call},${later}`;
  const what = ['-e', `trace=${calls}`, '-e', `inject=${call}:error=${error}:when=${when}`];
  const too = later === undefined ? [] : ['-e', `inject=${later}:error=${error}:when=3+`];
  return ['strace', '-f', '-o', trace, ...only, ...what, ...too];
}

export interface Injection {
  /** Takes the fault away again; the process goes on. */
  lift(): Promise<void>;
  /** Resolves when the process has ended, or the fault was lifted. */
  readonly ended: Promise<unknown>;
}

/** Makes the calls of a running process fail from when this resolves. */
export async function inject(pid: number | undefined, fault: Fault, trace: string): Promise<Injection> {
  const [program = '', ...options] = failing(fault, trace);
  const tracer = spawn(program, [...options, '-p', `${pid}`], { stdio: ['ignore', 'ignore', 'pipe'] });
  const ended = once(tracer, 'exit');
  // "Process 1 attached with 12 threads"; what it says later must not stop it.
  await once(tracer.stderr, 'data');
  tracer.stderr.resume();
  return {
    ended,
    lift: async () => {
      tracer.kill('SIGINT');
      await ended;
    },
  };
}

/** How many calls were made to fail. Ask when the tracer has ended. */
export async function failures(trace: string): Promise<number> {
  return (await readFile(trace, 'utf8')).split('(INJECTED)').length - 1;
}

/** strace and its options in front of a command: calls on files and descriptors are added to `trace`, with paths. */
export function naming(trace: string): string[] {
  return ['strace', '-f', '-y', '-s', '0', '-A', '-e', 'trace=%file,%desc', '-o', trace];
}

/** Names of the calls in a trace of naming() that concerned something in that directory. */
export async function callsOn(directory: string, trace: string): Promise<ReadonlySet<string>> {
  const lines = (await readFile(trace, 'utf8')).split('\n').filter(line => line.includes(directory));
  return new Set(lines.flatMap(line => /^\d+ +(\w+)\(/.exec(line)?.[1] ?? []));
}
