/**
 * The configuration in use, kept up to date while the relay runs. A reload is
 * all or nothing: what cannot be compiled is reported and the last good
 * configuration stays. Changes are seen by watching the directories of
 * config.json and of every file it names (a mounted Kubernetes volume changes
 * by swapping its `..data` link, editors rename over the file; both are
 * invisible to a watch on the file itself), by a slow poll for what no watch
 * sees (network file systems, chains of links), and by reload().
 */
import { readFileSync, statSync } from 'node:fs';
import { dirname, resolve } from 'node:path';
import { compile } from './compile.ts';
import type { RelayConfig } from './config.ts';
import { watchDirectories } from './directories.ts';
import { ConfigError } from './problems.ts';
import { decodeConfig, type Json, maxConfigBytes, readConfigText } from './read.ts';
import { keepRestartOnly } from './restart.ts';
import { diskSources, type Sources } from './sources.ts';

/** Is told of each configuration taken into use and of each one refused. Must not throw. */
export interface ConfigReport {
  loaded(config: RelayConfig): void;
  rejected(problems: readonly string[]): void;
}

export interface OpenConfigOptions {
  /** Path of config.json. */
  readonly path: string;
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly report: ConfigReport;
  /**
   * Called with each configuration that differs from the one before, not with
   * the first. When it throws, the change counts as refused.
   */
  readonly onChange: (config: RelayConfig) => void;
  /** How long a burst of file events is waited out, milliseconds. Default 100. */
  readonly settleMs?: number;
  /** Milliseconds between looks at the files without an event. Default 10 s. */
  readonly pollMs?: number;
}

export interface LiveConfig {
  current(): RelayConfig;
  /** Reads everything again and reports the outcome even when nothing changed. Resolves with whether it could be used. */
  reload(): Promise<boolean>;
  /** Why the files as they are now cannot be used, one line per mistake; undefined when they can. */
  lastError(): string | undefined;
  close(): void;
}

/** Loads the configuration and follows it. @throws ConfigError when it cannot be used now. */
export async function openConfig(options: OpenConfigOptions): Promise<LiveConfig> {
  const { report } = options;
  const path = resolve(options.path);
  const files = new Set<string>();
  const sources = remembering(diskSources(dirname(path), options.env), files);
  // By the path as it was given, so that messages are those of `check`.
  const loadNow = () => load(options.path, sources);
  let current = loadNow();
  let problems: readonly string[] = [];
  report.loaded(current);

  const refuse = (error: unknown, always: boolean): boolean => {
    const found = error instanceof ConfigError ? error.problems : [`cannot be applied: ${message(error)}`];
    const news = found.join('\n') !== problems.join('\n');
    problems = found;
    if (news || always) report.rejected(found);
    return false;
  };
  /** `always`: someone asked, so that the outcome is reported in any case. */
  const attempt = (always: boolean): boolean => {
    try {
      files.clear();
      const next = keepRestartOnly(current, loadNow());
      const changed = !isSame(current, next);
      if (changed) options.onChange(next);
      current = next;
      if (changed || always || problems.length > 0) report.loaded(next);
      problems = [];
      return true;
    } catch (error) {
      return refuse(error, always);
    }
  };
  const watching = watchDirectories({
    files: () => [path, ...files],
    base: dirname(path),
    onEvent: () => attempt(false),
    settleMs: options.settleMs ?? 100,
    pollMs: options.pollMs ?? 10_000,
  });
  return {
    current: () => current,
    reload: async () => attempt(true),
    lastError: () => (problems.length === 0 ? undefined : problems.join('\n')),
    close: () => watching.close(),
  };
}

/** One look at the file and all that it names. @throws ConfigError */
export function loadConfig(path: string, env: Readonly<Record<string, string | undefined>>): RelayConfig {
  return load(path, diskSources(dirname(path), env));
}

function load(path: string, sources: Sources): RelayConfig {
  return compile(readJson(path), sources);
}

/** The value in the file. @throws ConfigError that names file, line and column. */
export function readJson(path: string): Json {
  const bytes = readBytes(path);
  try {
    return readConfigText(decodeConfig(bytes));
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    throw new ConfigError(
      error.problems.map(problem => `${path}: ${problem}`),
      { cause: error },
    );
  }
}

function readBytes(path: string): Uint8Array {
  try {
    const stat = statSync(path);
    if (!stat.isFile()) throw new ConfigError([`${path}: must be a regular file`]);
    if (stat.size > maxConfigBytes) {
      throw new ConfigError([`${path}: must be at most ${maxConfigBytes} bytes long`]);
    }
    return readFileSync(path);
  } catch (error) {
    if (error instanceof ConfigError) throw error;
    const { code } = error as NodeJS.ErrnoException;
    const reason = code === 'ENOENT' ? 'no such file' : String(code ?? error);
    throw new ConfigError([`${path}: cannot be read: ${reason}`], { cause: error });
  }
}

/** The warnings count: a password file that appears changes what `check` says. */
function isSame(a: RelayConfig, b: RelayConfig): boolean {
  return (
    a.fingerprint === b.fingerprint &&
    a.credentialsFingerprint === b.credentialsFingerprint &&
    a.warnings.join('\n') === b.warnings.join('\n')
  );
}

function message(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

/** Notes which files were asked for, found or not: these are watched. */
function remembering(sources: Sources, files: Set<string>): Sources {
  return {
    ...sources,
    readFile(path, maxBytes) {
      files.add(path);
      return sources.readFile(path, maxBytes);
    },
  };
}
