/** `mailrelay queue …`: looks at and changes the queue of a running relay. */
import { type Command, InvalidArgumentError } from 'commander';
import { type AddressOptions, adminBase, withAddress } from './address.ts';
import { changeCommands } from './change-commands.ts';
import { AdminClient, type Selection } from './client.ts';
import { messageTable, messageText } from './queue-view.ts';
import { type SelectionOptions, selection, withFilters } from './selection.ts';
import { type Terminal, writeJson } from './terminal.ts';
import { transferCommands } from './transfer-commands.ts';

/** Adds the group to `program`. */
export function queueCommands(program: Command, terminal: Terminal): void {
  const queue = program.command('queue').description('look at and change the queue of the running relay');
  listCommand(queue, terminal);
  showCommand(queue, terminal);
  changeCommands(queue, terminal);
  transferCommands(queue, terminal);
}

interface ListOptions extends AddressOptions, SelectionOptions {
  readonly limit: number;
  readonly after?: string;
  readonly json?: true;
}

function listCommand(queue: Command, terminal: Terminal): void {
  const command = queue
    .command('list')
    .description('list messages, oldest first')
    .option('--limit <count>', 'at most that many (default: 100)', count, 100)
    .option('--after <id>', 'continue after this message')
    .option('--all', 'every chosen message, whatever their number')
    .option('--json', 'as a JSON list');
  withAddress(withFilters(command)).action(async (options: ListOptions) => {
    const client = new AdminClient(adminBase(options));
    const chosen = {
      ...selection([], options),
      ...(options.after !== undefined && { after: options.after }),
    };
    const print = printer(terminal, options.json === true);
    print.end(
      await (options.all === true ? printAll : printSome)({ ...chosen, limit: options.limit }, client, print),
    );
  });
}

type Messages = Parameters<typeof messageTable>[0];

interface Printer {
  page(messages: Messages): Promise<void>;
  /** `next`: where a further list would go on. */
  end(next: string | undefined): void;
}

type Print = (chosen: Selection, client: AdminClient, print: Printer) => Promise<string | undefined>;

/** Resolves with where a further list would go on. */
const printSome: Print = async (chosen, client, print) => {
  const { messages, next } = await client.list(chosen);
  await print.page(messages);
  return next;
};

const printAll: Print = async (chosen, client, print) => {
  for await (const page of client.pages(chosen)) await print.page(page);
  return undefined;
};

function printer(terminal: Terminal, json: boolean): Printer {
  return json ? jsonPrinter(terminal) : tablePrinter(terminal);
}

/** One JSON list, written a page at a time: a long queue is never held whole. */
function jsonPrinter({ stdout }: Terminal): Printer {
  let separator = '[';
  return {
    async page(messages) {
      for (const message of messages) {
        stdout.write(`${separator}\n  ${JSON.stringify(message)}`);
        separator = ',';
      }
      await stdout.flushed?.();
    },
    end() {
      stdout.write(separator === '[' ? '[]\n' : '\n]\n');
    },
  };
}

function tablePrinter({ stdout, stderr, now }: Terminal): Printer {
  let any = false;
  return {
    async page(messages) {
      if (messages.length === 0) return;
      any = true;
      stdout.write(messageTable(messages, now(), stdout.isTTY === true ? stdout.columns : undefined));
      await stdout.flushed?.();
    },
    end(next) {
      if (next !== undefined) stderr.write(`There are more: --after ${next}, --limit, or --all.\n`);
      else if (!any) stderr.write('No message.\n');
    },
  };
}

function showCommand(queue: Command, terminal: Terminal): void {
  const command = queue
    .command('show')
    .argument('<id>', 'the message')
    .description('show one message: envelope, what each recipient got, when it is sent next')
    .option('--body', 'its content instead, byte for byte')
    .option('--json', 'as JSON');
  withAddress(command).action(async (id: string, options: AddressOptions & { body?: true; json?: true }) => {
    const client = new AdminClient(adminBase(options));
    if (options.body === true) return writeBody(client.body(id), terminal);
    const message = await client.show(id);
    if (options.json === true) writeJson(terminal, message);
    else terminal.stdout.write(messageText(message, terminal.now()));
  });
}

async function writeBody(chunks: AsyncIterable<Buffer>, { stdout }: Terminal): Promise<void> {
  for await (const chunk of chunks) {
    stdout.write(chunk);
    await stdout.flushed?.();
  }
}

function count(text: string): number {
  const value = /^\d{1,4}$/.test(text) ? Number(text) : 0;
  if (value < 1 || value > 1000) throw new InvalidArgumentError('It must be 1 to 1000; --all has no limit.');
  return value;
}
