/**
 * The relay as it runs in production: the bundle of the image, started as its
 * first line says, which is how package.json's start script starts it. With
 * `--source` the sources, as `npm start` runs them.
 */
import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { promisify } from 'node:util';
import packageJson from '../package.json' with { type: 'json' };
import type { Command } from './processes.ts';

const root = join(import.meta.dirname, '..');
const { start } = packageJson.scripts;

/** What the start script says before the program: environment, `node` and its flags. */
export const interpreter = start.slice(0, start.search(/ \S+\.ts\b/));

/** The command that starts the relay, without its own arguments. */
export async function relayProgram(directory: string, source: boolean): Promise<Command> {
  const command = ['/usr/bin/env', '-S', interpreter] as const;
  if (source) return [...command, join(root, 'relay/main.ts')];
  await promisify(execFile)(process.execPath, [join(root, 'bundle.ts'), directory]);
  return [...command, join(directory, 'relay.js')];
}
