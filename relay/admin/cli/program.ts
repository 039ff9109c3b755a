/**
 * The command line. Exit codes: 0 done, 1 it failed, 2 wrong use or a bad
 * configuration. What needs the other parts of the relay (run, verify) is
 * handed in by main.ts.
 */
import { existsSync } from 'node:fs';
import { Command, CommanderError, Option } from 'commander';
import { describeConfig, describeForPeople } from '../../config/describe.ts';
import { ConfigError } from '../../config/problems.ts';
import { loadConfig } from '../../config/watch.ts';
import type { VerifyResult } from '../view.ts';
import { type AddressOptions, adminBase, defaultConfig, withAddress } from './address.ts';
import { AdminClient } from './client.ts';
import { convertCommand } from './convert-command.ts';
import { ProcessOutput } from './process-output.ts';
import { queueCommands } from './queue-commands.ts';
import { table } from './table.ts';
import { CommandError, failure, type Terminal, usage, writeJson } from './terminal.ts';

export interface RunOptions {
  /** Path of config.json; absent = ./config.json when there is one, else the demonstration. */
  readonly config?: string;
  /** The demonstration ends by itself. */
  readonly once?: true;
  readonly logFormat?: 'json' | 'text';
}

export interface ProgramHandlers {
  readonly version: string;
  /** Runs the relay until it is told to stop. Resolves with the exit code. */
  readonly run: (options: RunOptions) => Promise<number>;
  /** Logs in to each provider of that config.json without sending. Throws ConfigError. */
  readonly verify: (configPath: string) => Promise<readonly VerifyResult[]>;
}

/** Parses `args` (without node and script) and does what they say. Never rejects; resolves with the exit code. */
export async function runProgram(
  args: readonly string[],
  handlers: ProgramHandlers,
  terminal: Terminal = processTerminal(),
): Promise<number> {
  const exit = { code: 0 };
  try {
    await createProgram(handlers, terminal, exit).parseAsync(args, { from: 'user' });
    await terminal.stdout.flushed?.();
    return exit.code;
  } catch (error) {
    return exitCode(error, terminal);
  }
}

function processTerminal(): Terminal {
  return {
    stdout: new ProcessOutput(process.stdout),
    stderr: process.stderr,
    env: process.env,
    now: Date.now,
  };
}

function exitCode(error: unknown, { stderr }: Terminal): number {
  if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : usage;
  if (error instanceof ConfigError) {
    const lines = [...error.problems, ...error.warnings.map(warning => `Warning: ${warning}`)];
    stderr.write(`${lines.join('\n')}\n`);
    return usage;
  }
  const message = error instanceof Error ? error.message : String(error);
  if (message !== '') stderr.write(`${message}\n`);
  return error instanceof CommandError ? error.exitCode : failure;
}

/** `exit.code` is set by commands that end other than by throwing. */
export function createProgram(
  handlers: ProgramHandlers,
  terminal: Terminal,
  exit: { code: number },
): Command {
  const program = new Command('mailrelay')
    .description('Durable SMTP relay with failover between providers')
    .version(handlers.version)
    .exitOverride()
    .configureOutput({
      writeOut: text => terminal.stdout.write(text),
      writeErr: text => terminal.stderr.write(text),
      getOutHelpWidth: () => terminal.stdout.columns ?? 100,
      getErrHelpWidth: () => terminal.stderr.columns ?? 100,
    });
  runCommand(program, handlers, exit);
  checkCommand(program, terminal);
  verifyCommand(program, handlers, terminal);
  reloadCommand(program, terminal);
  queueCommands(program, terminal);
  convertCommand(program, terminal);
  return program;
}

function runCommand(program: Command, handlers: ProgramHandlers, exit: { code: number }): void {
  program
    .command('run')
    .description('run the relay in the foreground until SIGTERM or SIGINT')
    .option(
      '--config <file>',
      'configuration (default: ./config.json when there is one, else a demonstration)',
    )
    .option('--once', 'let the demonstration end by itself')
    .addOption(
      new Option('--log-format <format>', 'log lines as JSON or as text for people').choices([
        'json',
        'text',
      ]),
    )
    .action(async (options: RunOptions) => {
      exit.code = await handlers.run(options);
    });
}

function checkCommand(program: Command, terminal: Terminal): void {
  program
    .command('check')
    .description('check a configuration and show the order in which providers are tried')
    .option('--config <file>', 'configuration', defaultConfig)
    .option('--json', 'as JSON')
    .action(({ config: path, json }: { config: string; json?: true }) => {
      const config = loadConfig(path, terminal.env);
      if (json === true) writeJson(terminal, describeConfig(config));
      else terminal.stdout.write(`${describeForPeople(config)}\n`);
    });
}

function verifyCommand(program: Command, handlers: ProgramHandlers, terminal: Terminal): void {
  const command = program
    .command('verify')
    .description(
      'log in to each provider without sending: from here (--config) or by the running relay (--admin-port)',
    )
    .option('--json', 'as JSON');
  withAddress(command).action(async (options: AddressOptions & { json?: true }) => {
    const path = options.config ?? (asksRelay(options) ? undefined : defaultConfig);
    const results = await (path === undefined
      ? new AdminClient(adminBase(options)).verify()
      : handlers.verify(path));
    if (options.json === true) writeJson(terminal, { providers: results });
    else terminal.stdout.write(verifyTable(results));
    const bad = results.filter(({ ok }) => !ok);
    if (bad.length > 0)
      throw new CommandError(failure, `${bad.length} of ${results.length} providers cannot be used`);
  });
}

function asksRelay({ admin, adminPort }: AddressOptions): boolean {
  return admin !== undefined || adminPort !== undefined || !existsSync(defaultConfig);
}

function verifyTable(results: readonly VerifyResult[]): string {
  const rows = results.map(({ provider, host, port, ok, durationMs, message }) => [
    provider,
    `${host}:${port}`,
    ok ? 'ok' : 'FAILED',
    `${Math.round(durationMs)} ms`,
    message,
  ]);
  return table(['PROVIDER', 'ADDRESS', 'RESULT', 'TIME', 'MESSAGE'], rows);
}

function reloadCommand(program: Command, terminal: Terminal): void {
  const command = program
    .command('reload')
    .description('make the running relay read its configuration again')
    .option('--json', 'as JSON');
  withAddress(command).action(async (options: AddressOptions & { json?: true }) => {
    const result = await new AdminClient(adminBase(options)).reload();
    if (options.json === true) writeJson(terminal, result);
    else if (result.ok) terminal.stdout.write(`configuration ${result.fingerprint} is in force\n`);
    if (!result.ok) throw new CommandError(usage, result.errors.join('\n'));
  });
}
