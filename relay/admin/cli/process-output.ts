/**
 * Standard output of this process. A reader that went away (`queue list |
 * head`) has what it wanted; a disk that took nothing is a failure, and never
 * a list that looks whole.
 */
import { setImmediate } from 'node:timers/promises';
import { CommandError, failure, type Output } from './terminal.ts';

export class ProcessOutput implements Output {
  readonly #stream: NodeJS.WriteStream;
  #lost: NodeJS.ErrnoException | undefined;

  constructor(stream: NodeJS.WriteStream) {
    this.#stream = stream;
    stream.on('error', (error: NodeJS.ErrnoException) => {
      this.#lost ??= error;
    });
  }

  get isTTY(): boolean | undefined {
    return this.#stream.isTTY;
  }

  get columns(): number | undefined {
    return this.#stream.columns;
  }

  write(text: string | Uint8Array): unknown {
    return this.#stream.write(text);
  }

  /** @throws CommandError when what was written is lost: 0 where the reader is gone, else 1. */
  async flushed(): Promise<void> {
    await new Promise<void>(resolve => this.#stream.write('', () => resolve()));
    // The event that says why comes after the callbacks.
    await setImmediate();
    if (this.#lost === undefined) return;
    if (this.#lost.code === 'EPIPE') throw new CommandError(0, '');
    throw new CommandError(failure, `standard output was not written: ${this.#lost.message}`, this.#lost);
  }
}
