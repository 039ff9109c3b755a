/** Runs child.ts and collects what it says; always ended by its id. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';

const CHILD = fileURLToPath(new URL('./child.ts', import.meta.url));

export interface Running {
  readonly process: ChildProcess;
  readonly lines: string[];
  /** Resolves when a line begins with this, or the output ends. */
  readonly said: (start: string) => Promise<string | undefined>;
  /** Resolves when there are this many lines, or the output ends. */
  readonly saidLines: (count: number) => Promise<void>;
  /** Resolves with the signal or code it ended with. */
  readonly ended: Promise<string | number | null>;
}

export interface ChildOptions {
  readonly directory: string;
  readonly what: string;
  readonly arm?: string;
  readonly step?: string;
  /** The work begins when this file exists. */
  readonly wait?: string;
  /** A program in front of node: strace and its options. */
  readonly under?: readonly string[];
}

export function run(options: ChildOptions): Running {
  const { directory, what, arm = '/nonexistent/arm', step = '', wait = '', under = [] } = options;
  const [program = process.execPath, ...rest] = [...under, process.execPath, CHILD, directory, what, arm];
  const child = spawn(program, rest, {
    env: { ...process.env, SPOOL_ARM: arm, SPOOL_STEP: step, SPOOL_WAIT: wait, NODE_TEST_CONTEXT: undefined },
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const lines: string[] = [];
  let waiting: (() => void)[] = [];
  let over = false;
  const wake = () => {
    const all = waiting;
    waiting = [];
    for (const one of all) one();
  };
  const reader = createInterface({ input: child.stdout });
  reader.on('line', line => {
    lines.push(line);
    wake();
  });
  reader.on('close', () => {
    over = true;
    wake();
  });
  const ended = Promise.all([once(child, 'exit'), once(reader, 'close')]).then(
    ([[code, signal]]) => signal ?? code,
  );
  const said = async (start: string) => {
    for (;;) {
      const line = lines.find(one => one.startsWith(start));
      if (line !== undefined || over) return line;
      await new Promise<void>(resolve => waiting.push(resolve));
    }
  };
  const saidLines = async (count: number) => {
    while (lines.length < count && !over) await new Promise<void>(resolve => waiting.push(resolve));
  };
  return { process: child, lines, said, saidLines, ended };
}
