/** `queue export` and `queue import` as commands; transfer.ts does the work. */
import type { Command } from 'commander';
import { type AddressOptions, adminBase, withAddress } from './address.ts';
import { AdminClient } from './client.ts';
import { type SelectionOptions, selection, withFilters } from './selection.ts';
import { CommandError, failure, type Terminal, writeJson } from './terminal.ts';
import { exportTo, type Imported, importFrom } from './transfer.ts';

interface ExportOptions extends AddressOptions, SelectionOptions {
  readonly id?: readonly string[];
  readonly json?: true;
}

interface ImportCommandOptions extends AddressOptions {
  readonly sender?: string;
  readonly recipient?: string[];
  readonly keepAge?: true;
  readonly retryRejected?: true;
  readonly remove?: true;
  readonly json?: true;
}

/** Adds both to `queue`. */
export function transferCommands(queue: Command, terminal: Terminal): void {
  const exporting = queue
    .command('export')
    .argument('<directory>', 'where to write <id>.eml and <id>.json')
    .description('copy messages into files, all of them unless options choose; the queue keeps them')
    .option('--id <ids...>', 'only these messages')
    .option('--json', 'the ids as JSON');
  withAddress(withFilters(exporting)).action(async (directory: string, options: ExportOptions) => {
    const client = new AdminClient(adminBase(options));
    const ids = await exportTo(directory, selection(options.id ?? [], options), client, terminal);
    if (options.json === true) writeJson(terminal, { count: ids.length, ids });
    else terminal.stdout.write(`${counted(ids.length)} exported to ${directory}\n`);
  });
  const importing = queue
    .command('import')
    .argument('<paths...>', 'files or directories: exported ones, failed mail of nuecms/mailer, any .eml')
    .description('take messages from files into the queue, due at once')
    .option('--sender <address>', 'envelope sender, whatever the files say')
    .option('--recipient <addresses...>', 'envelope recipients, whatever the files say')
    .option('--keep-age', 'count their age from when they were first accepted, not from now')
    .option('--retry-rejected', 'send to recipients that were rejected or expired, too')
    .option('--remove', 'remove each file once its message is in the queue')
    .option('--json', 'what became of each file as JSON');
  withAddress(importing).action(async (paths: string[], options: ImportCommandOptions) => {
    const { recipient, ...rest } = options;
    const given = { ...rest, ...(recipient !== undefined && { recipients: recipient }) };
    report(await importFrom(paths, given, new AdminClient(adminBase(options)), terminal), options, terminal);
  });
}

/** Throws CommandError 1 when a file could not be imported. */
function report({ imported, failed }: Imported, { json }: ImportCommandOptions, terminal: Terminal): void {
  if (json === true) writeJson(terminal, { imported, failed });
  else terminal.stdout.write(`${counted(imported.length)} imported\n`);
  if (failed.length === 0) return;
  throw new CommandError(failure, failed.map(({ path, error }) => `${path}: ${error}`).join('\n'));
}

function counted(count: number): string {
  return `${count} ${count === 1 ? 'message' : 'messages'}`;
}
