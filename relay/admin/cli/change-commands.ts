/** `queue resend|hold|release|delete`: say what to do with which messages, do it, say with how many. */
import type { Command } from 'commander';
import { type AddressOptions, adminBase, withAddress } from './address.ts';
import { AdminClient, type Selection } from './client.ts';
import { progress } from './progress.ts';
import { deliberate, type SelectionOptions, withFilters } from './selection.ts';
import { CommandError, failure, type Terminal, usage, writeJson } from './terminal.ts';

interface ChangeOptions extends AddressOptions, SelectionOptions {
  readonly json?: true;
  readonly yes?: true;
}

type Operation = Parameters<AdminClient['change']>[0];

interface Change {
  readonly operation: Operation;
  readonly description: string;
  /** `3 messages ${done}` */
  readonly done: string;
}

const changes: readonly Change[] = [
  {
    operation: 'resend',
    description:
      'make messages due now; without --state or ids those that failed (dead ones live again with --state dead)',
    done: 'due now',
  },
  { operation: 'hold', description: 'keep messages back until they are released', done: 'held' },
  { operation: 'release', description: 'let held messages go on', done: 'released' },
  { operation: 'delete', description: 'remove messages for good, without telling anyone', done: 'deleted' },
];

/** Adds the four commands to `queue`. */
export function changeCommands(queue: Command, terminal: Terminal): void {
  for (const change of changes) {
    const command = queue
      .command(change.operation)
      .argument('[ids...]', 'the messages')
      .description(change.description)
      .option('--all', 'every message, or every one that the other options choose')
      .option('--json', 'the count as JSON');
    if (change.operation === 'delete') {
      command.option('--yes', 'really; needed for more than one message and outside a terminal');
    }
    withAddress(withFilters(command)).action((ids: string[], options: ChangeOptions) =>
      run(change, deliberate(ids, options), options, terminal),
    );
  }
}

async function run(
  change: Change,
  chosen: Selection,
  options: ChangeOptions,
  terminal: Terminal,
): Promise<void> {
  if (change.operation === 'delete') confirmDelete(chosen, options, terminal);
  const client = new AdminClient(adminBase(options));
  const { operation } = change;
  const watched = terminal.stderr.isTTY === true && chosen['ids'] === undefined;
  const count = await (watched
    ? byPages(operation, chosen, client, terminal)
    : client.change(operation, chosen));
  if (options.json === true) writeJson(terminal, { operation, count });
  else terminal.stdout.write(`${count} ${count === 1 ? 'message' : 'messages'} ${change.done}\n`);
  checkAll(chosen, count, change);
}

/** Who names messages means each of them. Throws CommandError 1 when some were not changed. */
function checkAll({ ids }: Selection, count: number, { operation, done }: Change): void {
  const named = Array.isArray(ids) ? new Set(ids).size : 0;
  if (count >= named) return;
  const why = operation === 'resend' ? 'not in the queue, held, or just being sent' : whyNot;
  throw new CommandError(failure, `${named - count} of ${named} messages are not ${done}: ${why}`);
}

const whyNot = 'not in the queue, not in a state for it, or just being sent';

function confirmDelete(chosen: Selection, { yes }: ChangeOptions, { stdout }: Terminal): void {
  if (yes === true) return;
  const ids = chosen['ids'];
  const one = Array.isArray(ids) && ids.length === 1;
  if (one && stdout.isTTY === true) return;
  const what = one ? 'deleting without a terminal' : 'deleting more than one message';
  throw new CommandError(usage, `${what} needs --yes: deleted mail is gone, and nobody is told`);
}

/**
 * With someone watching, in steps of a thousand that can be shown. Messages
 * come in id order and new ids sort last, so each is met once.
 */
async function byPages(
  operation: Operation,
  chosen: Selection,
  client: AdminClient,
  terminal: Terminal,
): Promise<number> {
  const shown = progress(operation, terminal);
  const { all: _all, ...filter } = chosen;
  // What the relay does by itself when a resend names no state; see queue-routes.ts.
  const listed =
    operation === 'resend' && filter['state'] === undefined ? { ...filter, state: 'failed' } : filter;
  let count = 0;
  try {
    for await (const page of client.pages(listed)) {
      if (page.length > 0)
        count += await client.change(operation, { ...listed, ids: page.map(({ id }) => id) });
      shown.show(count);
    }
  } finally {
    shown.end();
  }
  return count;
}
