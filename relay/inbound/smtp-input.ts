/**
 * Cuts a client's bytes into command lines and message data. One thing at a
 * time: the next line is not looked at before the handler of the last one is
 * done, and the socket is not read further before the chunk is used up and the
 * replies are on their way. It knows no command.
 */
import { SMTPStream } from 'smtp-server/lib/smtp-stream.js';

const LF = 0x0a;
const CR = 0x0d;

/** RFC 4954 section 4 asks for 12,288 octets in an AUTH line; every other line is far shorter. */
const MAX_LINE = 12_288;

/** Lines handled before other connections get a turn. */
const LINES_PER_TURN = 100;

/** Takes message data. Resolves with the bytes behind the message's end once it is dealt with, else undefined. Never rejects. */
export type DataReceiver = (chunk: Buffer) => Promise<Buffer | undefined>;

export interface InputHandlers {
  /** A line without its end. `done` is called once, now or later. */
  command(line: Buffer, done: () => void): void;
  lineTooLong(): void;
  /** Replies may be gathered until pause(). */
  begin(): void;
  /** Nothing more happens until the client or the store does something. */
  pause(): void;
  /** The chunk is used up; `next` asks for more. */
  used(next: () => void): void;
  /** The client has said all it is going to say. */
  end(): void;
}

const NOTHING = Buffer.alloc(0);

export class SmtpInput extends SMTPStream {
  static readonly maxLine = MAX_LINE;
  readonly #handlers: InputHandlers;
  /** The beginning of a line whose end has not come. */
  #partial: Buffer = NOTHING;
  #chunk: Buffer = NOTHING;
  #at = 0;
  #next: (() => void) | undefined;
  #receiver: DataReceiver | undefined;
  #working = false;
  #again = false;

  constructor(handlers: InputHandlers) {
    super();
    this.#handlers = handlers;
  }

  /** From here on bytes are message data, until the receiver hands back what lies behind it. */
  receive(receiver: DataReceiver): void {
    this.#receiver = receiver;
  }

  override _write(chunk: Buffer, _encoding: string, next: () => void): void {
    this.#chunk = chunk;
    this.#at = 0;
    this.#next = next;
    this.#work();
  }

  /** Runs at the end of input: a line without its end is not a command. */
  override _flushData(): void {
    this.#partial = NOTHING;
    this.#handlers.end();
  }

  readonly #work = (): void => {
    // A handler that is done at once continues the loop below instead of recursing.
    this.#again = true;
    if (this.#working) return;
    this.#working = true;
    this.#handlers.begin();
    for (let lines = 0; this.#again && lines < LINES_PER_TURN; lines++) {
      this.#again = false;
      this.#step();
    }
    this.#working = false;
    this.#handlers.pause();
    if (this.#again) setImmediate(this.#work);
    else if (this.#next === undefined) this.#chunk = NOTHING;
  };

  #step(): void {
    if (this.isClosed || this.#at >= this.#chunk.length) {
      this.#used();
    } else if (this.#receiver !== undefined) {
      this.#data(this.#receiver);
    } else {
      this.#line();
    }
  }

  #used(): void {
    const next = this.#next;
    this.#next = undefined;
    if (next !== undefined) this.#handlers.used(next);
  }

  #data(receiver: DataReceiver): void {
    const chunk = this.#at === 0 ? this.#chunk : this.#chunk.subarray(this.#at);
    this.#chunk = NOTHING;
    this.#at = 0;
    receiver(chunk).then(
      rest => {
        if (rest !== undefined) {
          this.#receiver = undefined;
          this.#chunk = rest;
        }
        this.#work();
      },
      // Only a mistake of ours gets here: it costs this client its connection, and nobody else anything.
      () => this.#handlers.end(),
    );
  }

  #line(): void {
    const end = this.#chunk.indexOf(LF, this.#at);
    const piece = this.#chunk.subarray(this.#at, end < 0 ? undefined : end);
    const line = this.#partial.length === 0 ? piece : Buffer.concat([this.#partial, piece]);
    if (line.length > MAX_LINE) {
      this.#partial = NOTHING;
      this.#at = this.#chunk.length;
      this.#handlers.lineTooLong();
      this.#again = true;
    } else if (end < 0) {
      this.#partial = line;
      this.#at = this.#chunk.length;
      this.#again = true;
    } else {
      this.#partial = NOTHING;
      this.#at = end + 1;
      const length = line[line.length - 1] === CR ? line.length - 1 : line.length;
      this.#handlers.command(line.subarray(0, length), this.#work);
    }
  }
}
