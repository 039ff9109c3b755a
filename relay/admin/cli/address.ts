/**
 * Where the running relay's admin API is, from the options of a command. Only
 * adminPort is read from config.json: while someone mends the rest of the
 * file, the relay still runs on its last good configuration.
 */
import { existsSync } from 'node:fs';
import type { Command } from 'commander';
import { Option } from 'commander';
import { ConfigError } from '../../config/problems.ts';
import { readJson } from '../../config/watch.ts';
import { CommandError, usage } from './terminal.ts';

export interface AddressOptions {
  readonly config?: string;
  readonly adminPort?: string;
  readonly admin?: string;
}

export const defaultAdminPort = 8026;

/** Used by every command when --config is not given. */
export const defaultConfig = 'config.json';

/** Adds --config, --admin-port and --admin. */
export function withAddress(command: Command): Command {
  return command
    .addOption(
      new Option('--config <file>', 'read adminPort from this config.json').conflicts(['adminPort', 'admin']),
    )
    .addOption(
      new Option('--admin-port <port>', 'admin port on 127.0.0.1 (default: 8026)').conflicts('admin'),
    )
    .addOption(new Option('--admin <url>', 'admin address, for a forwarded port: http://127.0.0.1:9000'));
}

/** `http://127.0.0.1:8026`. Throws CommandError 2 for what cannot be an address. */
export function adminBase(options: AddressOptions): string {
  if (options.admin !== undefined) return givenUrl(options.admin);
  if (options.adminPort !== undefined) return local(portNumber(options.adminPort, '--admin-port'));
  if (options.config !== undefined) return local(portIn(options.config));
  return local(existsSync(defaultConfig) ? portIn(defaultConfig) : defaultAdminPort);
}

function local(port: number): string {
  return `http://127.0.0.1:${port}`;
}

function givenUrl(text: string): string {
  const url = URL.canParse(text) ? new URL(text) : undefined;
  if (url === undefined || url.protocol !== 'http:' || url.username !== '' || url.pathname !== '/') {
    throw new CommandError(usage, `--admin must be an address like http://127.0.0.1:8026, not ${text}`);
  }
  return url.origin;
}

function portIn(path: string): number {
  const file = read(path);
  const port =
    file !== null && typeof file === 'object' && 'adminPort' in file ? file['adminPort'] : undefined;
  return port === undefined ? defaultAdminPort : portNumber(String(port), `adminPort in ${path}`);
}

function read(path: string): unknown {
  try {
    return readJson(path);
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    throw new CommandError(usage, `adminPort cannot be read: ${error.problems.join('; ')}`, error);
  }
}

function portNumber(text: string, name: string): number {
  const port = /^\d{1,5}$/.test(text) ? Number(text) : 0;
  if (port < 1 || port > 65_535) throw new CommandError(usage, `${name} must be 1 to 65535, not ${text}`);
  return port;
}
