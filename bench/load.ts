/**
 * The load: clients that send messages as fast as they are answered, in a
 * process of their own so that their work is not counted as the relay's. Runs
 * one order per `start` message and tells the result; `stop` ends it early.
 */
import { connect, type Socket } from 'node:net';
import type { LoadOrder, LoadResult } from './messages.ts';

const MAX_LATENCIES = 200_000;

/** A canonical message of about `size` bytes: headers and lines of 76 characters. */
function message(size: number): Buffer {
  const header =
    'From: app@example.com\r\nTo: someone@example.net\r\nSubject: Your order\r\n' +
    'Date: Mon, 02 Nov 2026 10:00:00 +0000\r\nMessage-ID: <order-1@example.com>\r\n' +
    'MIME-Version: 1.0\r\nContent-Type: text/plain\r\n\r\n';
  const line = `${'The quick brown fox jumps over the lazy dog. '.repeat(2).slice(0, 76)}\r\n`;
  const lines = Math.max(1, Math.round((size - header.length) / line.length));
  return Buffer.from(`${header}${line.repeat(lines)}.\r\n`);
}

const ENVELOPE = 'MAIL FROM:<app@example.com>\r\nRCPT TO:<someone@example.net>\r\nDATA\r\n';

/** What each reply of a session calls for: greeting, EHLO, then MAIL, RCPT, DATA, dot; last QUIT. */
const NEXT = ['greeted', 'ready', 'wait', 'wait', 'body', 'stored', 'left'] as const;
const FIRST_OF_MESSAGE = 2;

class Load {
  readonly #order: LoadOrder;
  readonly #body: Buffer;
  readonly #latencies: number[] = [];
  readonly #sockets = new Set<Socket>();
  readonly #startedAt = Date.now();
  readonly #finished: (result: LoadResult) => void;
  #begun = 0;
  #accepted = 0;
  #refused = 0;
  #firstRefusal: string | undefined;
  #open = 0;
  #stopped = false;

  constructor(order: LoadOrder, finished: (result: LoadResult) => void) {
    this.#order = order;
    this.#body = message(order.bytes);
    this.#finished = finished;
    for (let client = 0; client < order.connections; client++) this.#client();
    if (order.seconds !== undefined) setTimeout(() => this.stop(), order.seconds * 1000).unref();
  }

  stop(): void {
    this.#stopped = true;
  }

  get #more(): boolean {
    return !this.#stopped && this.#begun < (this.#order.messages ?? Number.POSITIVE_INFINITY);
  }

  #client(): void {
    const { host, port, kept } = this.#order;
    const socket = connect({ host, port, noDelay: true });
    this.#open++;
    this.#sockets.add(socket);
    // Which reply comes next; what it calls for is NEXT[place].
    let place = 0;
    let sentAt = 0;
    const leave = (): void => {
      place = NEXT.length - 1;
      socket.write('QUIT\r\n');
    };
    const begin = (): void => {
      if (!this.#more) {
        leave();
        return;
      }
      this.#begun++;
      place = FIRST_OF_MESSAGE;
      socket.write(ENVELOPE);
    };
    const act = {
      greeted: () => socket.write('EHLO load.test\r\n'),
      ready: begin,
      wait: () => undefined,
      body: () => {
        sentAt = performance.now();
        socket.write(this.#body);
      },
      stored: () => {
        this.#take(performance.now() - sentAt);
        if (kept) begin();
        else leave();
      },
      left: () => socket.end(),
    };
    const step = (reply: string): void => {
      const does = NEXT[place++];
      if (reply < '4' && does !== undefined) {
        act[does]();
        return;
      }
      this.#refuse(reply);
      socket.destroy();
    };
    let input = '';
    socket.on('data', chunk => {
      const lines = (input + chunk.toString('latin1')).split('\r\n');
      input = lines.pop() ?? '';
      for (const line of lines) if (line[3] !== '-') step(line);
    });
    socket.on('error', error => this.#refuse(error.message));
    socket.on('close', () => {
      this.#open--;
      this.#sockets.delete(socket);
      if (this.#more && !kept) this.#client();
      else if (this.#open === 0) this.#end();
    });
  }

  #take(latencyMs: number): void {
    this.#accepted++;
    if (this.#latencies.length < MAX_LATENCIES) this.#latencies.push(latencyMs);
  }

  #refuse(reply: string): void {
    this.#refused++;
    this.#firstRefusal ??= reply;
    // A relay that refuses everything must not make this spin for ever.
    if (this.#refused > 1000) this.stop();
  }

  #end(): void {
    const sorted = Float64Array.from(this.#latencies).sort();
    const at = (part: number): number => sorted[Math.floor(sorted.length * part)] ?? 0;
    this.#finished({
      accepted: this.#accepted,
      refused: this.#refused,
      startedAt: this.#startedAt,
      endedAt: Date.now(),
      p50Ms: at(0.5),
      p99Ms: at(0.99),
      ...(this.#firstRefusal === undefined ? {} : { firstRefusal: this.#firstRefusal }),
    });
  }
}

let load: Load | undefined;
process.on('message', (order: LoadOrder | 'stop') => {
  if (order === 'stop') load?.stop();
  else load = new Load(order, result => process.send?.(result));
});
process.on('disconnect', () => process.exit(0));
process.send?.('ready');
