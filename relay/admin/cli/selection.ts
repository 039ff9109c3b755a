/** The options that choose messages, the same for every queue command. */
import { type Command, InvalidArgumentError, Option } from 'commander';
import { durationMs } from '../duration.ts';
import { queueStates } from '../filter.ts';
import type { Selection } from './client.ts';
import { CommandError, usage } from './terminal.ts';

export interface SelectionOptions {
  readonly state?: string;
  readonly sender?: string;
  readonly recipient?: string;
  readonly olderThan?: string;
  readonly all?: true;
}

/** Adds --state, --sender, --recipient and --older-than. */
export function withFilters(command: Command): Command {
  return command
    .addOption(new Option('--state <state>', 'only messages in this state').choices([...queueStates]))
    .option('--sender <text>', 'only where the sender contains this, upper and lower case alike')
    .option('--recipient <text>', 'only where a recipient contains this')
    .option('--older-than <age>', 'only messages accepted at least this long ago: 90s, 30m, 2h, 1d', age);
}

function age(text: string): string {
  if (durationMs(text) === undefined)
    throw new InvalidArgumentError('It must be a number and a unit: 90s, 30m, 2h, 1d.');
  return text;
}

/** What the API understands. */
export function selection(ids: readonly string[], options: SelectionOptions): Selection {
  const { state, sender, recipient, olderThan } = options;
  return {
    ...(ids.length > 0 && { ids }),
    ...(state !== undefined && { state }),
    ...(sender !== undefined && { sender }),
    ...(recipient !== undefined && { recipient }),
    ...(olderThan !== undefined && { olderThan }),
  };
}

/** The same for commands that change mail: choosing everything must be said. Throws CommandError 2. */
export function deliberate(ids: readonly string[], options: SelectionOptions): Selection {
  const chosen = selection(ids, options);
  if (options.all === true) return { ...chosen, all: true };
  if (Object.keys(chosen).length === 0) {
    throw new CommandError(
      usage,
      'choose messages by id, --state, --sender, --recipient or --older-than, or say --all',
    );
  }
  return chosen;
}
