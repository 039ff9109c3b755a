/**
 * One measurement from beginning to end: a fresh program under test in a
 * fresh directory, its providers, a warm-up, the load, the figures. Leaves
 * nothing behind: no process, no file.
 */
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { BaselineOrder, LoadOrder, LoadResult } from './messages.ts';
import { type Command, type Load, type Sink, type Subject, startSubject } from './processes.ts';

const BASELINE = join(import.meta.dirname, 'baseline.ts');
/** How long the last message may take to arrive after the load has ended. */
const ARRIVAL_MS = 60_000;
const SAMPLE_MS = 50;

/** What the load looks like. */
export interface Shape {
  readonly connections: number;
  readonly kept: boolean;
  readonly bytes: number;
}

/** What one run showed. */
export interface Figures {
  /** First byte sent to last message received by the provider. */
  readonly perSecond: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
  readonly cpuMsPerMessage: number;
  readonly readyMs: number;
  readonly rssIdle: number;
  readonly rssLoad: number;
  readonly rssAfter: number;
  readonly messages: number;
}

/** The program under test. */
export type Kind = 'relay' | 'baseline';

export interface ProviderChoice {
  readonly name: string;
  readonly port: number;
  readonly login?: { readonly user: string; readonly pass: string; readonly ca: string };
}

export interface Timing {
  readonly warmUpSeconds: number;
  readonly seconds: number;
}

/** The command that starts the relay. */
let program: Command = ['false'];

/** Says what the relay is; to be called once, before anything is measured. */
export function useProgram(command: Command): void {
  program = command;
}

let nextPort = 20_000 + Math.floor(Math.random() * 10_000);

/** A relay on providers, or a baseline on the first of them; `use` gets it, then it is gone. */
export async function withSubject<T>(
  kind: Kind,
  providers: readonly ProviderChoice[],
  use: (subject: Subject, ports: { readonly health: number }) => Promise<T>,
  prepare: (directory: string) => Promise<void> = async () => undefined,
): Promise<T> {
  const directory = await mkdtemp(join(tmpdir(), 'mailrelay-bench-'));
  const port = nextPort++;
  const health = nextPort++;
  try {
    await prepare(directory);
    const command =
      kind === 'relay'
        ? await relayCommand(directory, { port, health }, providers)
        : await baselineCommand(directory, port, providers[0]!);
    const subject = await startSubject(command, port);
    try {
      return await use(subject, { health });
    } finally {
      await subject.close();
    }
  } finally {
    await rm(directory, { recursive: true, force: true });
  }
}

async function relayCommand(
  directory: string,
  { port, health }: { port: number; health: number },
  providers: readonly ProviderChoice[],
): Promise<Command> {
  const forwardProviders = await Promise.all(
    providers.map(async (provider, priority) => {
      const { name, login } = provider;
      const common = { name, host: '127.0.0.1', port: provider.port, priority };
      if (login === undefined) return common;
      const caFile = join(directory, `${name}.pem`);
      await writeFile(caFile, login.ca);
      const tls = { caFile, serverName: 'localhost' };
      return { ...common, username: login.user, password: login.pass, tls };
    }),
  );
  const config = {
    forwardProviders,
    smtpPort: port,
    healthCheckPort: health,
    adminPort: 0,
    dataDir: directory,
    // The machine's disk may be fuller than a default reserve allows.
    diskReserveBytes: 0,
    shutdown: { graceSeconds: 0 },
  };
  const path = join(directory, 'config.json');
  await writeFile(path, JSON.stringify(config));
  return [...program, 'run', '--config', path];
}

async function baselineCommand(
  directory: string,
  port: number,
  { port: providerPort, login }: ProviderChoice,
): Promise<Command> {
  const queue = join(directory, 'queue');
  await mkdir(queue);
  const provider = { host: '127.0.0.1', port: providerPort };
  const order: BaselineOrder = { port, directory: queue, provider, ...(login && { login }) };
  return [process.execPath, BASELINE, JSON.stringify(order)];
}

/** The usual measurement, against a subject that is running. */
export async function measure(
  tools: { readonly load: Load; readonly sink: Sink; readonly subject: Subject },
  shape: Shape,
  timing: Timing,
): Promise<Figures> {
  const { load, sink, subject } = tools;
  const rssIdle = subject.rssBytes();
  const order = { host: '127.0.0.1', port: subject.port, ...shape };
  if (timing.warmUpSeconds > 0) await sent(load, sink, { ...order, seconds: timing.warmUpSeconds });
  const cpuBefore = subject.cpuMs();
  const sampler = sampleMost(() => subject.rssBytes());
  const { result, lastAt } = await sent(load, sink, { ...order, seconds: timing.seconds });
  const rssLoad = sampler.stop();
  // What is done after the last message (commits, log lines) belongs to it.
  await new Promise(resolve => setTimeout(resolve, 300));
  const cpuMs = subject.cpuMs() - cpuBefore;
  const rssAfter = subject.rssBytes();
  return {
    perSecond: (result.accepted * 1000) / Math.max(1, lastAt - result.startedAt),
    p50Ms: result.p50Ms,
    p99Ms: result.p99Ms,
    cpuMsPerMessage: cpuMs / result.accepted,
    readyMs: subject.readyMs,
    rssIdle,
    rssLoad,
    rssAfter,
    messages: result.accepted,
  };
}

/** Runs an order and waits until the provider has every message of it. */
export async function sent(
  load: Load,
  sink: Sink,
  order: LoadOrder,
): Promise<{ readonly result: LoadResult; readonly lastAt: number }> {
  const before = (await sink.ask('counters')).counters.messages;
  const result = await load.run(order);
  if (result.refused > 0) throw new Error(`${result.refused} refused, the first: ${result.firstRefusal}`);
  const counters = await arrived(sink, before + result.accepted, ARRIVAL_MS);
  return { result, lastAt: counters.lastAt };
}

/** Waits until the provider has had that many messages. */
export async function arrived(sink: Sink, messages: number, withinMs: number) {
  const deadline = performance.now() + withinMs;
  for (;;) {
    const { counters } = await sink.ask('counters');
    if (counters.messages >= messages) return counters;
    if (performance.now() > deadline) {
      throw new Error(`the provider has ${counters.messages} messages of ${messages} after ${withinMs} ms`);
    }
    await new Promise(resolve => setTimeout(resolve, 5));
  }
}

/** Keeps the largest value seen. */
export function sampleMost(read: () => number): { stop(): number } {
  let most = read();
  const timer = setInterval(() => {
    most = Math.max(most, read());
  }, SAMPLE_MS);
  return {
    stop: () => {
      clearInterval(timer);
      return Math.max(most, read());
    },
  };
}
