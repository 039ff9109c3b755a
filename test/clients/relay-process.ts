/**
 * The relay as its users run it: `node relay/main.ts run` in a process of its
 * own, with a directory of its own. Keeps all it prints. Ended by its id.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { RelayEvent } from '../../relay/telemetry/events.ts';
import { authority } from '../smtp/certificates.ts';
import { hello, type SmtpClient } from '../smtp/client.ts';
import { until } from '../smtp/wait.ts';
import { freePort } from './tethered.ts';

const MAIN = fileURLToPath(new URL('../../relay/main.ts', import.meta.url));

export type Json = Record<string, unknown>;

/** A line of the log. */
export type LogLine = { readonly event?: RelayEvent['event'] } & Readonly<Record<string, unknown>>;

export interface Ending {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
}

/** Things to set for the process beside its configuration. */
export interface RunSetup {
  readonly env?: Readonly<Record<string, string>>;
  /** Arguments in place of `run --config FILE`. */
  readonly args?: readonly string[];
  /** Working directory; default: that of the test. */
  readonly cwd?: string;
}

/** One run of the program. */
export class Run {
  readonly child: ChildProcess;
  readonly #ended: Promise<Ending>;
  ending: Ending | undefined;
  stdout = '';
  stderr = '';
  #whole: LogLine[] = [];
  #readTo = 0;

  constructor(configPath: string, { env = {}, cwd, args = ['run', '--config', configPath] }: RunSetup = {}) {
    const { NODE_TEST_CONTEXT: _ours, ...clean } = process.env;
    this.child = spawn(process.execPath, [MAIN, ...args], {
      stdio: ['ignore', 'pipe', 'pipe'],
      env: { ...clean, ...env },
      ...(cwd !== undefined && { cwd }),
    });
    this.child.stdout?.on('data', (text: Buffer) => {
      this.stdout += text;
    });
    this.child.stderr?.on('data', (text: Buffer) => {
      this.stderr += text;
    });
    this.#ended = once(this.child, 'close').then(([code, signal]) => {
      this.ending = { code, signal };
      return this.ending;
    });
  }

  /** Whole lines of its log so far. */
  get log(): readonly LogLine[] {
    const end = this.stdout.lastIndexOf('\n') + 1;
    for (const line of this.stdout.slice(this.#readTo, end).split('\n')) {
      if (line !== '') this.#whole.push(JSON.parse(line) as LogLine);
    }
    this.#readTo = Math.max(end, this.#readTo);
    return this.#whole;
  }

  /** Lines of that event that hold these values. */
  heard(event: RelayEvent['event'], having: Json = {}): readonly LogLine[] {
    return this.log.filter(
      line => line.event === event && Object.entries(having).every(([key, value]) => line[key] === value),
    );
  }

  async until(event: RelayEvent['event'], having: Json = {}, timeoutMs = 30_000): Promise<LogLine> {
    const found = (): LogLine | undefined => {
      const [line] = this.heard(event, having);
      if (line === undefined && this.ending !== undefined) throw new Error(`it has ended: ${this.stderr}`);
      return line;
    };
    return until(found, `${event} ${JSON.stringify(having)}`, timeoutMs).catch((error: unknown) => {
      throw new Error(`${(error as Error).message}; it said:\n${this.stdout.slice(-4000)}${this.stderr}`);
    });
  }

  /** Sends a signal without waiting. */
  signal(name: NodeJS.Signals): void {
    this.child.kill(name);
  }

  /** Resolves when the process is gone and all it printed was read. */
  ended(): Promise<Ending> {
    return this.#ended;
  }
}

export interface ProcessSetup {
  /** The whole forwardProviders list. */
  readonly providers: readonly Json[];
  /** Further keys of config.json. */
  readonly config?: Json;
  /** Used instead of a new directory for emails/; not removed. */
  readonly dataDir?: string;
}

/** The relay's directory, configuration and ports over any number of runs. */
export class RelayProcess {
  readonly directory: string;
  readonly configPath: string;
  readonly dataDir: string;
  readonly smtpPort: number;
  readonly healthPort: number;
  readonly adminPort: number;
  readonly #setup: ProcessSetup;
  readonly runs: Run[] = [];

  private constructor(directory: string, setup: ProcessSetup, ports: readonly number[]) {
    this.directory = directory;
    this.configPath = join(directory, 'config.json');
    this.dataDir = setup.dataDir ?? directory;
    this.#setup = setup;
    [this.smtpPort = 0, this.healthPort = 0, this.adminPort = 0] = ports;
  }

  /** Writes config.json and the authority's certificate; starts nothing. */
  static async create(setup: ProcessSetup): Promise<RelayProcess> {
    const directory = await mkdtemp(join(tmpdir(), 'mailrelay-process-'));
    const ports = [await freePort(), await freePort(), await freePort()];
    const relay = new RelayProcess(directory, setup, ports);
    await writeFile(join(directory, 'ca.pem'), authority().certificate);
    await relay.configure();
    return relay;
  }

  /** config.json with these keys besides those of the setup. */
  config(more: Json = {}): Json {
    return {
      forwardProviders: this.#setup.providers,
      dataDir: this.dataDir,
      smtpPort: this.smtpPort,
      healthCheckPort: this.healthPort,
      adminPort: this.adminPort,
      listener: { hostname: 'relay.test' },
      retry: { initialDelayMilliseconds: 20 },
      resend: { initialDelaySeconds: 1, maxDelaySeconds: 2 },
      shutdown: { graceSeconds: 0, deadlineSeconds: 10 },
      ...this.#setup.config,
      ...more,
    };
  }

  /** Writes config.json anew; a running relay notices. */
  async configure(more: Json = {}): Promise<void> {
    await writeFile(this.configPath, `${JSON.stringify(this.config(more), null, 2)}\n`);
  }

  get run(): Run {
    const run = this.runs.at(-1);
    if (run === undefined) throw new Error('the relay was never started');
    return run;
  }

  /** Starts it, again after its end; resolves when mail is accepted. */
  async start(setup: RunSetup = {}): Promise<Run> {
    const run = this.spawn(setup);
    await run.until('started');
    return run;
  }

  /** Starts it and waits for nothing. */
  spawn(setup: RunSetup = {}): Run {
    const run = new Run(this.configPath, setup);
    this.runs.push(run);
    return run;
  }

  /** SIGKILL, and the end. */
  async kill(): Promise<Ending> {
    this.run.signal('SIGKILL');
    return this.run.ended();
  }

  /** SIGTERM, and the end. */
  async halt(): Promise<Ending> {
    this.run.signal('SIGTERM');
    return this.run.ended();
  }

  /** Ends every run and removes the directory. */
  async remove(): Promise<void> {
    for (const run of this.runs) {
      if (run.ending === undefined) run.signal('SIGKILL');
      await run.ended();
    }
    await rm(this.directory, { recursive: true, force: true });
  }

  /** A client that has said EHLO. */
  connect(): Promise<SmtpClient> {
    return hello({ host: '127.0.0.1', port: this.smtpPort });
  }

  /** The status code and text of an HTTP answer. */
  async http(path: string, port = this.healthPort): Promise<{ status: number; text: string }> {
    const answer = await fetch(`http://127.0.0.1:${port}${path}`);
    return { status: answer.status, text: await answer.text() };
  }

  /** Everything that any run printed. */
  get output(): string {
    return this.runs.map(({ stdout, stderr }) => stdout + stderr).join('');
  }
}
