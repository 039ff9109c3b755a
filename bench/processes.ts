/**
 * The benchmark's processes: started apart, so that each one's CPU and memory
 * can be told from the others', and stopped by their own id. What a process
 * used is read from the kernel (proc(5)), not from the process.
 */
import { type ChildProcess, fork, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { connect } from 'node:net';
import { dirname, join } from 'node:path';
import type { LoadOrder, LoadResult, SinkOrder, SinkRequest, SinkState } from './messages.ts';

const here = import.meta.dirname;
/** Clock ticks per second of utime and stime: 100 on every Linux. */
const TICK_MS = 10;
const STOP_MS = 40_000;

export interface Load {
  run(order: LoadOrder): Promise<LoadResult>;
  /** Ends the order under way early. */
  stop(): void;
  close(): Promise<void>;
}

export interface Sink {
  readonly port: number;
  readonly ca: string;
  ask(request: SinkRequest): Promise<SinkState>;
  close(): Promise<void>;
}

/** A program and its arguments. */
export type Command = readonly [program: string, ...args: string[]];

/** The program under test: the relay or the baseline. */
export interface Subject {
  readonly port: number;
  /** Milliseconds from the start of the process to its greeting. */
  readonly readyMs: number;
  /** CPU used so far, user and system, ms. */
  cpuMs(): number;
  /** Resident memory now, bytes. */
  rssBytes(): number;
  close(): Promise<void>;
}

export async function startLoad(): Promise<Load> {
  const child = fork(join(here, 'load.ts'), { execArgv: [] });
  await heard(child);
  return {
    run: order => asked(child, order) as Promise<LoadResult>,
    stop: () => child.send('stop'),
    close: () => stopped(child),
  };
}

export async function startSink(order: SinkOrder): Promise<Sink> {
  const child = fork(join(here, 'sink.ts'), { execArgv: [] });
  await heard(child);
  const { port, ca } = (await asked(child, order)) as SinkState;
  return {
    port,
    ca,
    ask: request => asked(child, request) as Promise<SinkState>,
    close: () => stopped(child),
  };
}

/** Puts that many messages into the spool below a data directory. */
export async function fillSpool(directory: string, messages: number): Promise<void> {
  const child = spawn(process.execPath, [join(here, 'fill.ts'), directory, String(messages)], {
    stdio: 'inherit',
  });
  const [code] = await once(child, 'exit');
  if (code !== 0) throw new Error(`filling the spool ended with code ${code}`);
}

/** Starts the command and waits for its greeting on the port. `node` is this very one. */
export async function startSubject([program, ...args]: Command, port: number): Promise<Subject> {
  const startedAt = performance.now();
  const env = { ...process.env, PATH: `${dirname(process.execPath)}:${process.env['PATH']}` };
  // Standard output is read and thrown away, as a container's is read by its runtime.
  const child = spawn(program, args, { env, stdio: ['ignore', 'pipe', 'inherit'] });
  child.stdout.resume();
  await greeted(port, child);
  const readyMs = performance.now() - startedAt;
  const pid = child.pid!;
  return {
    port,
    readyMs,
    cpuMs: () => cpuOf(pid),
    rssBytes: () => rssOf(pid),
    close: () => stopped(child),
  };
}

/** The next message of a child; rejects when it ends instead. */
async function heard(child: ChildProcess): Promise<unknown> {
  const ended = new AbortController();
  const exit = once(child, 'exit', { signal: ended.signal }).then(() => {
    throw new Error(`${child.spawnargs.at(-1)} ended`);
  });
  exit.catch(() => undefined);
  const [message] = (await Promise.race([once(child, 'message', { signal: ended.signal }), exit])) as [
    unknown,
  ];
  ended.abort();
  return message;
}

function asked(child: ChildProcess, request: LoadOrder | SinkOrder | SinkRequest): Promise<unknown> {
  const answer = heard(child);
  child.send(request);
  return answer;
}

async function stopped(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const ended = once(child, 'exit');
  const timer = setTimeout(() => child.kill('SIGKILL'), STOP_MS);
  child.kill('SIGTERM');
  await ended;
  clearTimeout(timer);
}

async function greeted(port: number, child: ChildProcess): Promise<void> {
  const deadline = performance.now() + 20_000;
  while (!(await greets(port))) {
    if (child.exitCode !== null) throw new Error(`the program under test ended with code ${child.exitCode}`);
    if (performance.now() > deadline) throw new Error('the program under test was not ready within 20 s');
    await new Promise(resolve => setTimeout(resolve, 5));
  }
}

function greets(port: number): Promise<boolean> {
  return new Promise(resolve => {
    const socket = connect({ host: '127.0.0.1', port });
    socket.on('error', () => resolve(false));
    socket.on('close', () => resolve(false));
    socket.on('data', () => {
      resolve(true);
      socket.end('QUIT\r\n');
    });
  });
}

function cpuOf(pid: number): number {
  // Fields 14 and 15; the second one, a name in brackets, may hold spaces.
  const fields = readFileSync(`/proc/${pid}/stat`, 'latin1').split(') ')[1]!.split(' ');
  return (Number(fields[11]) + Number(fields[12])) * TICK_MS;
}

function rssOf(pid: number): number {
  const kilobytes = /VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, 'latin1'))?.[1];
  return Number(kilobytes) * 1024;
}
