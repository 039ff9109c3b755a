/**
 * What a process did to its files, read from the output of strace: which
 * bytes it wrote where, what it created, renamed and removed, when each fsync
 * began and was done, and what it said on its standard output meanwhile.
 */
import { createReadStream } from 'node:fs';
import { createInterface } from 'node:readline';

/** In the order in which they ended; a sync has a beginning of its own, for it covers no more than what was done by then. */
export type FileCall =
  | {
      readonly do: 'open';
      readonly fd: number;
      readonly path: string;
      readonly create: boolean;
      readonly truncate: boolean;
    }
  | { readonly do: 'write'; readonly fd: number; readonly data: Buffer; readonly at: number | undefined }
  | { readonly do: 'truncate'; readonly fd: number; readonly length: number }
  | { readonly do: 'rename'; readonly from: string; readonly to: string }
  | { readonly do: 'unlink' | 'mkdir'; readonly path: string }
  | { readonly do: 'sync-begun' | 'sync-done'; readonly fd: number; readonly by: string };

const CALLS = [
  ...['openat', 'write', 'pwrite64', 'ftruncate', 'rename', 'unlink', 'mkdir', 'fsync', 'fdatasync'],
  // Not understood here: whoever meets one is told, for the picture would be wrong.
  ...[
    'writev',
    'pwritev',
    'pwritev2',
    'truncate',
    'fallocate',
    'renameat2',
    'unlinkat',
    'link',
    'linkat',
    'copy_file_range',
  ],
];

/** The program and options in front of a command that write the trace to `file`. */
export function straceTo(file: string): readonly string[] {
  return ['strace', '-f', '--seccomp-bpf', '-xx', '-s', '2000000', '-e', `trace=${CALLS.join()}`, '-o', file];
}

const LINE = /^(\d+) +(?:<\.\.\. \w+ resumed>(.*)|(\w+\(.*))$/s;
const UNFINISHED = ' <unfinished ...>';
const CALL = /^(\w+)\((.*)\) += (-?\d+)/s;
const SYNC = /^f(?:data)?sync\((\d+)/;

/** Reads a trace in order. Throws at a call that it does not understand. */
export async function* fileCalls(file: string): AsyncGenerator<FileCall> {
  const begun = new Map<string, string>();
  for await (const line of createInterface({ input: createReadStream(file, 'latin1') })) {
    const [, by = '', rest, start = ''] = LINE.exec(line) ?? [];
    const [, syncing] = SYNC.exec(start) ?? [];
    if (syncing !== undefined) yield { do: 'sync-begun', fd: Number(syncing), by };
    const text = rest === undefined ? start : `${begun.get(by)}${rest}`;
    if (text.endsWith(UNFINISHED)) begun.set(by, text.slice(0, -UNFINISHED.length));
    else yield* ended(text, by);
  }
}

function* ended(text: string, by: string): Iterable<FileCall> {
  const [, name, args = '', result] = CALL.exec(text) ?? [];
  // One that failed has changed nothing; one of a process that was killed has no result.
  if (name !== undefined && Number(result) >= 0) yield read(name, args, { result: Number(result), by });
}

function read(name: string, args: string, { result, by }: { result: number; by: string }): FileCall {
  const fd = Number.parseInt(args, 10);
  const [first = '', second = ''] = [...args.matchAll(/"([^"]*)"/g)].map(match => match[1] ?? '');
  switch (name) {
    case 'openat':
      return {
        do: 'open',
        fd: result,
        path: bytes(first).toString(),
        create: args.includes('O_CREAT'),
        truncate: args.includes('O_TRUNC'),
      };
    case 'write':
      return { do: 'write', fd, data: bytes(first).subarray(0, result), at: undefined };
    case 'pwrite64':
      return {
        do: 'write',
        fd,
        data: bytes(first).subarray(0, result),
        at: Number(args.slice(args.lastIndexOf(',') + 1)),
      };
    case 'ftruncate':
      return { do: 'truncate', fd, length: Number(args.slice(args.lastIndexOf(',') + 1)) };
    case 'rename':
      return { do: 'rename', from: bytes(first).toString(), to: bytes(second).toString() };
    case 'unlink':
    case 'mkdir':
      return { do: name, path: bytes(first).toString() };
    case 'fsync':
    case 'fdatasync':
      return { do: 'sync-done', fd, by };
    default:
      throw new Error(`not understood: ${name}`);
  }
}

/** `\x61\x62` as bytes. */
function bytes(text: string): Buffer {
  return Buffer.from(text.replaceAll('\\x', ''), 'hex');
}
