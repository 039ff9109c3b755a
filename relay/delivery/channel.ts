/**
 * The two directions of one connection once it is set up: bytes out with
 * back-pressure, replies in, each wait with its limit. It never throws and
 * never forgets: a reply that came before the connection ended is given first,
 * and after the end every question gets the same answer.
 */
import type { Socket } from 'node:net';
import type { Reply } from './failure.ts';
import { hearLastWords } from './last-words.ts';
import { printable } from './reply.ts';
import { ReplyReader } from './reply-reader.ts';

/** Why there is no reply. */
export interface Silence {
  readonly fault: 'timeout' | 'lost' | 'garbled';
  readonly message: string;
}

/** What came of waiting for a reply. */
export type Answer =
  | { readonly reply: Reply; readonly silence?: undefined }
  | { readonly reply?: undefined; readonly silence: Silence };

/** The slowest line that is waited for, bytes a ms: 64 KiB/s. */
const SLOWEST_LINE = 65_536 / 1000;
/** The most that a kernel holds of what was written: the largest send buffer of Linux by default, bytes. */
const SEND_BUFFER = 4 * 1024 * 1024;

export class Channel {
  readonly #socket: Socket;
  readonly #reader = new ReplyReader();
  readonly #replies: Reply[] = [];
  #ended: Silence | undefined;
  /**
   * When something came last, or what was written has gone even over the slowest
   * line, by the monotonic clock: what the kernel holds is not seen to leave.
   */
  #activeUntil = performance.now();
  /** Whoever waits for something to happen; called once. */
  #wake: (() => void) | undefined;
  #onUnasked: (() => void) | undefined;

  constructor(socket: Socket) {
    this.#socket = socket;
    hearLastWords(socket);
    socket.on('data', (chunk: Buffer) => this.#read(chunk));
    socket.on('end', () => this.#end({ fault: 'lost', message: 'the provider closed the connection' }));
    socket.on('error', error => this.#end({ fault: 'lost', message: explain(error) }));
    socket.on('close', () => this.#end({ fault: 'lost', message: 'the connection was closed' }));
  }

  /** For how long nothing has come, and nothing can have been on its way out, ms. */
  get quietMs(): number {
    return Math.max(0, performance.now() - this.#activeUntil);
  }

  /** How the connection ended, or undefined while it lives. */
  get ended(): Silence | undefined {
    return this.#ended;
  }

  /** Something is there that nobody has asked for yet: a reply, or the beginning of one. */
  get hasUnasked(): boolean {
    return this.#replies.length > 0 || !this.#reader.empty;
  }

  /** Calls back whenever a reply or the end comes while nobody waits. */
  onUnasked(listener: () => void): void {
    this.#onUnasked = listener;
  }

  /** Writes in one go. A connection that has ended swallows it: the next answer tells. */
  write(...pieces: readonly (Buffer | string)[]): void {
    if (this.#ended !== undefined) return;
    this.#leaves(pieces);
    const socket = this.#socket;
    if (pieces.length > 1) socket.cork();
    for (const piece of pieces) socket.write(piece);
    if (pieces.length > 1) socket.uncork();
  }

  /** As write(). `taken`: the network has the first, and its memory is free; never called when it has not. */
  lend(taken: () => void, first: Buffer, ...more: readonly Buffer[]): void {
    if (this.#ended !== undefined) return;
    this.#leaves([first, ...more]);
    const socket = this.#socket;
    socket.cork();
    socket.write(first, error => {
      if (!error) taken();
    });
    for (const piece of more) socket.write(piece);
    socket.uncork();
  }

  /** The next reply; waits at most `ms`. */
  async next(ms: number): Promise<Answer> {
    const ready = this.#take();
    if (ready !== undefined) return ready;
    const happened = await this.#happening(ms);
    const silence = { fault: 'timeout', message: `no answer within ${seconds(ms)}` } as const;
    return (happened ? this.#take() : undefined) ?? { silence };
  }

  /**
   * Waits until more may be written. undefined = it may. Otherwise why not: a
   * reply came early, the connection ended, or nothing went out for `ms`.
   */
  async drained(ms: number): Promise<Answer | undefined> {
    const socket = this.#socket;
    const early = this.#take();
    if (early !== undefined || !socket.writableNeedDrain) return early;
    const onDrain = () => this.#wake?.();
    socket.once('drain', onDrain);
    const happened = await this.#happening(ms);
    socket.off('drain', onDrain);
    const silence = { fault: 'timeout', message: `nothing could be sent for ${seconds(ms)}` } as const;
    return happened ? this.#take() : { silence };
  }

  /** Closes at once. */
  destroy(): void {
    this.#ended ??= { fault: 'lost', message: 'closed by the relay' };
    this.#socket.destroy();
    this.#wake?.();
  }

  #take(): Answer | undefined {
    const reply = this.#replies.shift();
    if (reply !== undefined) return { reply };
    return this.#ended === undefined ? undefined : { silence: this.#ended };
  }

  /** true when something happened, false when `ms` went by. */
  #happening(ms: number): Promise<boolean> {
    return new Promise(resolve => {
      const settle = (happened: boolean) => {
        clearTimeout(timer);
        this.#wake = undefined;
        resolve(happened);
      };
      const timer = setTimeout(settle, ms, false);
      this.#wake = () => settle(true);
    });
  }

  #leaves(pieces: readonly (Buffer | string)[]): void {
    const bytes = pieces.reduce((sum, { length }) => sum + length, 0);
    const now = performance.now();
    const gone = Math.max(now, this.#activeUntil) + bytes / SLOWEST_LINE;
    this.#activeUntil = Math.min(gone, now + SEND_BUFFER / SLOWEST_LINE);
  }

  #read(chunk: Buffer): void {
    if (this.#ended !== undefined) return;
    this.#activeUntil = performance.now();
    for (const reply of this.#reader.push(chunk)) {
      if (reply === 'garbled') {
        this.#end({ fault: 'garbled', message: 'the provider sent something that is not an SMTP reply' });
        return;
      }
      this.#replies.push(reply);
    }
    if (this.#replies.length > 0) this.#tell();
  }

  #end(how: Silence): void {
    if (this.#ended !== undefined) return;
    this.#ended = how;
    this.#socket.destroy();
    this.#tell();
  }

  #tell(): void {
    if (this.#wake !== undefined) this.#wake();
    else this.#onUnasked?.();
  }
}

const seconds = (ms: number): string => `${ms / 1000} s`;

/** `ECONNRESET: read ECONNRESET`, fit for logs. */
export function explain(error: Error): string {
  const { code } = error as NodeJS.ErrnoException;
  if (code === undefined) return printable(error.message);
  return error.message.includes(code) ? printable(error.message) : printable(`${error.message} (${code})`);
}
