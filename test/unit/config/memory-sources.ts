/** Sources for compiling that live in memory, and the shortest way to compile text or to be refused. */
import assert from 'node:assert/strict';
import { compile } from '../../../relay/config/compile.ts';
import type { RelayConfig } from '../../../relay/config/config.ts';
import { ConfigError } from '../../../relay/config/problems.ts';
import { readConfigText } from '../../../relay/config/read.ts';
import type { Sources } from '../../../relay/config/sources.ts';

export interface Outside {
  readonly files?: Readonly<Record<string, string>>;
  readonly env?: Readonly<Record<string, string>>;
  readonly key?: string;
}

export function sources({ files = {}, env = {}, key = 'a key' }: Outside = {}): Sources {
  return {
    readFile(path, maxBytes) {
      const text = files[path];
      if (text === undefined) return { found: false, reason: 'no such file' };
      return text.length > maxBytes
        ? { found: false, reason: `longer than ${maxBytes} bytes` }
        : { found: true, text };
    },
    env: name => env[name],
    hostname: 'relay.test',
    defaultHost: '127.0.0.1',
    digestKey: Buffer.from(key),
  };
}

export function compiled(file: unknown, outside?: Outside): RelayConfig {
  return compile(readConfigText(typeof file === 'string' ? file : JSON.stringify(file)), sources(outside));
}

/** The problems with which it is refused; fails when it is accepted. */
export function refused(file: unknown, outside?: Outside): readonly string[] {
  try {
    compiled(file, outside);
  } catch (error) {
    assert.ok(error instanceof ConfigError, `not a ConfigError: ${String(error)}`);
    return error.problems;
  }
  return assert.fail('accepted');
}

/** A file with one provider, changed and added to as given. */
export function one(provider: object = {}, rest: object = {}): object {
  return { forwardProviders: [{ host: 'smtp.example.com', port: 587, ...provider }], ...rest };
}

/** How config.json refers to an environment variable. */
export function fromEnv(name: string): string {
  return `\${env:${name}}`;
}
