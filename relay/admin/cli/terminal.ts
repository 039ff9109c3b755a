/**
 * What a command sees of the world it runs in, and how it ends. Commands
 * write to it and throw CommandError; only program.ts turns that into an exit
 * code.
 */

export interface Output {
  write(text: string | Uint8Array): unknown;
  readonly isTTY?: boolean | undefined;
  readonly columns?: number | undefined;
  /** Resolves when the reader has what was written. Throws CommandError when it never will. */
  flushed?(): Promise<void>;
}

export interface Terminal {
  readonly stdout: Output;
  readonly stderr: Output;
  readonly env: Readonly<Record<string, string | undefined>>;
  /** Milliseconds since the epoch. */
  readonly now: () => number;
}

/** 0 is success. */
export const failure = 1;
/** Wrong use of the command line, or a bad configuration. */
export const usage = 2;

/** Thrown to end a command: `message` goes to standard error, line by line; '' says nothing. */
export class CommandError extends Error {
  readonly exitCode: number;
  constructor(exitCode: number, message: string, cause?: unknown) {
    super(message, { cause });
    this.name = 'CommandError';
    this.exitCode = exitCode;
  }
}

/** Pretty-printed JSON with a line end. */
export function writeJson(terminal: Terminal, value: unknown): void {
  terminal.stdout.write(`${JSON.stringify(value, null, 2)}\n`);
}
