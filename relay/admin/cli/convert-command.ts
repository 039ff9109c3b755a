/** `mailrelay convert`: prints the manifests that say what a config.json says. */
import { type Command, InvalidArgumentError } from 'commander';
import type { JsonObject } from '../../config/read.ts';
import { loadConfig, readJson } from '../../config/watch.ts';
import { convert } from '../convert.ts';
import { defaultConfig } from './address.ts';
import type { Terminal } from './terminal.ts';

interface ConvertOptions {
  readonly config: string;
  readonly name: string;
  readonly namespace?: string;
}

/** Adds it to `program`. Warnings go to standard error. */
export function convertCommand(program: Command, terminal: Terminal): void {
  program
    .command('convert')
    .description('print a config.json as a MailRelay and its Secrets, for kubectl apply')
    .option('--config <file>', 'configuration', defaultConfig)
    .option('--name <name>', 'name of the MailRelay', label, 'mail')
    .option('--namespace <namespace>', 'its namespace (default: that of kubectl)', namespaceName)
    .action(async ({ config: path, ...target }: ConvertOptions) => {
      // Loaded here alone: a running relay has no use for it and would carry its 9 MB.
      const { stringify } = await import('yaml');
      const config = loadConfig(path, terminal.env);
      const file = readJson(path) as JsonObject;
      const { manifests, warnings } = convert({ file, config }, target);
      for (const warning of warnings) terminal.stderr.write(`warning: ${warning}\n`);
      // Line width 0: a wrapped certificate or address would still be right, but hard to compare.
      terminal.stdout.write(manifests.map(manifest => stringify(manifest, { lineWidth: 0 })).join('---\n'));
    });
}

/** The operator leaves room for the suffixes of what it creates. */
const longestName = 46;

function label(text: string): string {
  if (text.length > longestName || !/^[a-z0-9](?:[a-z0-9-]*[a-z0-9])?$/.test(text)) {
    throw new InvalidArgumentError(`It must be 1 to ${longestName} of a-z, 0-9 and - between them.`);
  }
  return text;
}

function namespaceName(text: string): string {
  if (!/^[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?$/.test(text)) {
    throw new InvalidArgumentError('It must be 1 to 63 of a-z, 0-9 and - between them.');
  }
  return text;
}
