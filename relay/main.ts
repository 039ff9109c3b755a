/**
 * The relay's command line: arguments, signals and exit codes, nothing else.
 * Exit 0 after a clean stop, 2 for a bad configuration, 1 for anything else.
 */
import { existsSync } from 'node:fs';
import { performance } from 'node:perf_hooks';
import { type ProgramHandlers, type RunOptions, runProgram } from './admin/cli/program.ts';
import type { VerifyResult } from './admin/view.ts';
import { loadConfig } from './config/watch.ts';
import { openSession } from './delivery/connection.ts';
import { ProviderSet } from './delivery/provider-set.ts';
import { StoppedWaiting } from './own-spool.ts';
import { Relay } from './program.ts';
import { version } from './views.ts';

const DEFAULT_CONFIG = 'config.json';
/** Beside the sources only: neither the image nor the package carries it. */
const DEMONSTRATION = new URL('../test/demo/demonstration.ts', import.meta.url);

/** How long a start goes on after the relay was told to stop, so that it can end in order, ms. */
const STARTING_MS = 5000;

const handlers: ProgramHandlers = { version, run, verify };
process.exitCode = await runProgram(process.argv.slice(2), handlers);

async function run(options: RunOptions): Promise<number> {
  const configPath = options.config ?? (existsSync(DEFAULT_CONFIG) ? DEFAULT_CONFIG : undefined);
  if (configPath === undefined) return demonstrate(options.once === true);
  const stop = stopSignal();
  const stopping = new AbortController();
  let relay: Relay | undefined;
  void stop.then(() => {
    stopping.abort();
    setTimeout(() => relay ?? abandonStart(), STARTING_MS).unref();
  });
  // While it starts there is nothing to do: it watches the files already.
  process.on('SIGHUP', () => void relay?.reload());
  try {
    relay = await Relay.start({
      configPath,
      env: process.env,
      stopping: stopping.signal,
      ...(options.logFormat === undefined ? {} : { logFormat: options.logFormat }),
    });
  } catch (error) {
    if (error instanceof StoppedWaiting) return 0;
    throw error;
  }
  const signal = await stop;
  // A person who interrupts has no load balancer that must notice first.
  await relay.stop(signal === 'SIGINT' ? 0 : undefined);
  return 0;
}

/** What it leaves behind is what a kill leaves, which loses nothing. */
function abandonStart(): never {
  process.stderr.write('told to stop while it was starting: ended before the start was over\n');
  process.exit();
}

async function demonstrate(once: boolean): Promise<number> {
  if (!existsSync(DEMONSTRATION)) {
    throw new Error(`--config: no file given and no ./${DEFAULT_CONFIG}; name a config.json`);
  }
  const { demonstrate: tell } = (await import(
    DEMONSTRATION.href
  )) as typeof import('../test/demo/demonstration.ts');
  await tell({
    once,
    print: text => process.stdout.write(`${text}\n`),
    stopped: stopSignal().then(() => undefined),
  });
  return 0;
}

/**
 * Resolves at the first request to stop; a second one ends the process at once (in 2 s when nobody reads the
 * log), which loses no mail.
 */
function stopSignal(): Promise<NodeJS.Signals> {
  return new Promise(resolve => {
    let asked = false;
    for (const signal of ['SIGTERM', 'SIGINT'] as const) {
      process.on(signal, () => {
        if (asked) process.exit(1);
        asked = true;
        resolve(signal);
      });
    }
  });
}

async function verify(configPath: string): Promise<VerifyResult[]> {
  const config = loadConfig(configPath, process.env);
  const startedAt = performance.now();
  const providers = new ProviderSet({
    openSession,
    emit: () => undefined,
    now: () => performance.now(),
    wallClock: Date.now,
    random: Math.random,
    retry: () => config.retry,
    rules: () => config.replyRules,
    mailWaits: () => false,
    recovered: () => undefined,
  });
  providers.configure(config.providers);
  const results = await providers.verify();
  providers.close();
  return results.map(({ provider, error }) => {
    const { host, port } = config.providers.find(({ name }) => name === provider)!;
    const message = error ?? 'connected and logged in';
    return {
      provider,
      host,
      port,
      ok: error === undefined,
      message,
      durationMs: Math.round(performance.now() - startedAt),
    };
  });
}
