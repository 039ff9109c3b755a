/**
 * Child processes of tests that never outlive the test: the kernel kills them
 * when the process that started them is gone, however it ended.
 */
import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { open, readdir, readFile } from 'node:fs/promises';
import process from 'node:process';
import { setTimeout as delay } from 'node:timers/promises';

/** A running program whose output goes to a file. */
export type Service = {
  readonly name: string;
  readonly pid: number;
  /** Rejects when the program ends before it is told to; never resolves. */
  readonly failed: Promise<never>;
  /** SIGSTOP, and waits until every thread of it stands still. */
  freeze(): Promise<void>;
  /** Ends {@link Service.freeze}. */
  thaw(): void;
  /** Sends a signal and waits until the program has ended. Does nothing when it has ended already. */
  stop(signal?: NodeJS.Signals): Promise<void>;
};

/** The last lines of a log file, for a message to a person. */
export async function logTail(file: string, lines = 20): Promise<string> {
  const text = await readFile(file, 'utf8').catch(() => '(no log)');
  return text.trimEnd().split('\n').slice(-lines).join('\n');
}

function dyingWithUs(command: readonly string[]): readonly string[] {
  return process.platform === 'linux' ? ['setpriv', '--pdeathsig', 'KILL', ...command] : command;
}

/** Starts a program. What it prints is appended to `log`. */
export async function startService(name: string, command: readonly string[], log: string): Promise<Service> {
  const output = await open(log, 'a');
  const [program = '', ...rest] = dyingWithUs(command);
  const child = spawn(program, rest, { stdio: ['ignore', output.fd, output.fd] });
  let stopping = false;
  const ended = Promise.race([once(child, 'exit'), once(child, 'error')]);
  try {
    await once(child, 'spawn');
  } finally {
    await output.close();
  }
  const failed = ended.then(async () => {
    if (stopping) return new Promise<never>(() => {});
    const how = child.signalCode ?? `code ${child.exitCode}`;
    throw new Error(`${name} ended by itself (${how}). The end of ${log}:\n${await logTail(log)}`);
  });
  failed.catch(() => {}); // heard by whoever waits for the service, else meant for nobody
  return {
    name,
    pid: child.pid!,
    failed,
    freeze: async () => {
      child.kill('SIGSTOP');
      while (!(await standsStill(child.pid!))) await delay(2);
    },
    thaw: () => void child.kill('SIGCONT'),
    stop: async (signal = 'SIGKILL') => {
      stopping = true;
      if (hasEnded(child)) return;
      child.kill(signal);
      await ended;
    },
  };
}

/** A signal is taken by one thread; until the others have heard of it they work on, and may still answer. */
async function standsStill(pid: number): Promise<boolean> {
  if (process.platform !== 'linux') return true;
  const threads = await readdir(`/proc/${pid}/task`);
  const states = await Promise.all(
    threads.map(thread => readFile(`/proc/${pid}/task/${thread}/stat`, 'utf8').catch(() => '')),
  );
  // The state follows the program's name, which is in parentheses and may contain any character.
  return states.every(stat => stat === '' || /\) [TtXZ] [^)]*$/.test(stat));
}

function hasEnded(child: ChildProcess): boolean {
  return child.exitCode !== null || child.signalCode !== null;
}

/** What a finished command printed. */
export type Output = { readonly stdout: string; readonly stderr: string };

/** How a command is run. */
export type CommandOptions = {
  /** Written to its standard input. */
  readonly input?: string;
  readonly env?: NodeJS.ProcessEnv;
  /** After so many milliseconds it is killed and counts as failed. Default: two minutes. */
  readonly timeout?: number;
};

/**
 * Runs a command to its end.
 *
 * @throws {Error} when it exits with another code than 0; the message has the command and what it printed,
 * `cause` the error of `execFile` with `code`, `stdout` and `stderr`
 */
export function command(
  [program = '', ...rest]: readonly string[],
  { input, env, timeout = 120_000 }: CommandOptions = {},
): Promise<Output> {
  return new Promise((resolve, reject) => {
    const options = { maxBuffer: 64 << 20, timeout, killSignal: 'SIGKILL' as const, ...(env && { env }) };
    const child = execFile(program, rest, options, (error, stdout, stderr) => {
      if (!error) return resolve({ stdout, stderr });
      const how = error.killed ? `was killed after ${timeout} ms` : `exited with ${error.code}`;
      const printed = `${stdout}\n${stderr}`.trim();
      reject(new Error(`${[program, ...rest].join(' ')} ${how}:\n${printed}`, { cause: error }));
    });
    child.stdin?.on('error', () => {}); // a program may end without reading its input
    child.stdin?.end(input);
  });
}
