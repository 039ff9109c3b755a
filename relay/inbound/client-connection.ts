/**
 * One client's connection below the commands: replies, waiting, ending. All
 * replies to what arrived together leave in one write, so a client that
 * pipelines gets one segment and nobody waits for a delayed ACK. A client that
 * completes nothing in time, or makes too many mistakes, is told so with 421
 * and closed. Whatever the network does ends here, never in a crash.
 */
import type { Socket } from 'node:net';
import type { SMTPServer } from 'smtp-server';
import { SMTPConnection } from 'smtp-server/lib/smtp-connection.js';
import { clientError } from './client-error.ts';
import type { ListenerContext } from './context.ts';
import { type Refusal, refusals } from './refusals.ts';
import { SmtpInput } from './smtp-input.ts';

/** Mistakes before the connection is closed. An accepted message wipes them out. */
const MAX_ERRORS = 20;

/** Ways a client may vanish between two messages: no news. */
const ORDINARY_ENDS = new Set(['ECONNRESET', 'EPIPE', 'ETIMEDOUT', 'EHOSTUNREACH', 'ENETUNREACH']);

/** An enhanced status code given to send() as its context. */
const ENHANCED = /^[245]\.\d{1,3}\.\d{1,3}$/;

export abstract class ClientConnection extends SMTPConnection {
  protected readonly context: ListenerContext;
  /** The client's address, an IPv4 one never in its IPv6 form. */
  readonly client: string;
  #replies = '';
  #gathering = false;
  #errors = 0;
  #admitted = false;
  #idle: NodeJS.Timeout | undefined;
  #watcher: (() => void) | undefined;

  constructor(server: SMTPServer, socket: Socket, context: ListenerContext) {
    // The library would make a random name for its logs, which are off.
    super(server, socket, { id: '-' });
    this.context = context;
    this.client = this.remoteAddress;
    this.session.remoteAddress = this.client;
  }

  /** A message is being received or stored. */
  abstract get inTransaction(): boolean;
  /** The client is owed an answer and may not be hung up on. */
  protected abstract get owesReply(): boolean;
  /** The connection is ending: whatever was not completed is given up. */
  protected abstract abandon(): void;

  /** Replaces the library's start, which waits 100 ms before the greeting and looks the client's name up. */
  override init(): void {
    this._setListeners(() => {
      const refusal = this.#admissionRefusal();
      if (refusal !== undefined) {
        this.refuse(refusal);
        return;
      }
      this.#admitted = true;
      this.context.admitted.add(this.client);
      this._ready = true;
      this._resetSession();
      this._sendGreeting();
    });
  }

  #admissionRefusal(): Refusal | undefined {
    const { admitted, stopping, policy } = this.context;
    const { maxConnections, maxConnectionsPerClient } = policy.config;
    if (stopping) return refusals.shuttingDown();
    if (admitted.total >= maxConnections) return refusals.tooManyConnections(maxConnections);
    if (admitted.of(this.client) >= maxConnectionsPerClient) {
      return refusals.tooManyFromClient(this.client, maxConnectionsPerClient);
    }
    return undefined;
  }

  /** Says no and tells of it. 421 closes the connection. */
  protected refuse(refusal: Refusal): void {
    const { code, enhanced, text, reason } = refusal;
    const reply = `${code} ${enhanced} ${text}`.replace(/\p{Cc}/gu, '?');
    this.context.emit({ event: 'message-refused', reason, client: this.client, reply });
    this.reply(code, enhanced, text);
  }

  /** One reply line. '' = no enhanced code. */
  protected reply(code: number, enhanced: string, text: string): void {
    this.send(code, text, enhanced === '' ? false : enhanced);
  }

  /** The only place that writes, for the library's replies and ours. */
  override send(code: number, data?: string | string[] | null, context?: string | false): void {
    const enhanced = this._getEnhancedStatusCode(code, context);
    const lines = Array.isArray(data) ? data : [data ?? ''];
    lines.forEach((line, index) => {
      const separator = index < lines.length - 1 ? '-' : ' ';
      const text = line.replace(/\p{Cc}/gu, '?');
      this.#replies += `${code}${separator}${enhanced === '' ? '' : `${enhanced} `}${text}\r\n`;
    });
    if (code === 421) this.close();
    else if (code >= 500) this.#countError();
    if (!this.#gathering) this.flush();
  }

  override _getEnhancedStatusCode(code: number, context?: string | false): string {
    if (typeof context === 'string' && ENHANCED.test(context)) return context;
    // The library's word for 421 is 4.4.2, a lost connection; it says it to clients that overdo something.
    if (code === 421 && context === undefined) return '4.7.0';
    return super._getEnhancedStatusCode(code, context);
  }

  #countError(): void {
    this.#errors++;
    if (this.#errors >= MAX_ERRORS && !this._closing) this.refuse(refusals.tooManyErrors(MAX_ERRORS));
  }

  protected forgiveErrors(count: number): void {
    this.#errors = Math.max(0, this.#errors - count);
  }

  /** The socket is closed. */
  get gone(): boolean {
    return this._closed;
  }

  /** `listener` is called whenever a transaction ends and when the socket has closed. */
  watch(listener: () => void): void {
    this.#watcher = listener;
  }

  protected changed(): void {
    this.#watcher?.();
  }

  protected flush(): void {
    const replies = this.#replies;
    if (replies === '') return;
    this.#replies = '';
    // While a TLS handshake runs, text would land in the middle of it.
    if (!this._upgrading && this._socket.writable) this._socket.write(replies);
  }

  override _createParser(): SmtpInput {
    return new SmtpInput({
      command: (line, done) => {
        this.progress();
        this._onCommand(line, done);
      },
      lineTooLong: () => this.#lineTooLong(),
      begin: () => {
        this.#gathering = true;
      },
      pause: () => {
        this.#gathering = false;
        this.flush();
      },
      used: next => this.#whenRead(next),
      end: () => this.close(),
    });
  }

  #lineTooLong(): void {
    if (this._upgrading) return;
    const { code, enhanced, text } = refusals.lineTooLong(SmtpInput.maxLine);
    this.reply(code, enhanced, text);
    this.close();
  }

  /** A client that sends commands and reads no replies gets no more of them than the socket holds. */
  #whenRead(next: () => void): void {
    this.flush();
    const socket = this._socket;
    if (socket.writableNeedDrain && !socket.destroyed) socket.once('drain', next);
    else next();
  }

  /** Something complete arrived: the idle time starts anew. Single bytes do not count, or a client could hold a connection for ever. */
  protected progress(): void {
    this.#idle?.refresh();
  }

  /** Replaces the socket's own timeout, which any byte resets. */
  override _armTimeout(socket: Socket = this._socket): void {
    clearTimeout(this.#idle);
    this.#idle = setTimeout(() => this._onTimeout(), this.context.policy.config.idleTimeoutMs).unref();
    // The TLS socket of a handshake: half-open connections are allowed here, but half a handshake never ends.
    if (socket !== this._socket) {
      socket.once('end', () => {
        if (this._upgrading) socket.destroy();
      });
    }
  }

  override _onTimeout(): void {
    if (this._closing) {
      this._socket.destroy();
    } else if (this.owesReply) {
      this.#idle?.refresh();
    } else {
      this.#timeOut(refusals.idle(this.context.policy.config.idleTimeoutMs));
    }
  }

  #timeOut(refusal: Refusal): void {
    this.#idle?.refresh();
    if (this._upgrading) this._socket.destroy();
    else if (this.inTransaction) this.refuse(refusal);
    else this.reply(refusal.code, refusal.enhanced, refusal.text);
  }

  override upgrade(callback: () => void, secureCallback?: () => void): void {
    this.flush();
    super.upgrade(callback, secureCallback);
  }

  override close(): void {
    if (this._closing || this._closed) {
      super.close();
      return;
    }
    this.abandon();
    this.flush();
    super.close();
  }

  override _onClose(): void {
    clearTimeout(this.#idle);
    this.abandon();
    if (this.#admitted) {
      this.#admitted = false;
      this.context.admitted.remove(this.client);
    }
    super._onClose();
    this.changed();
  }

  /** Replaces the library's, which lets an error of one client surface as the server's. */
  override _onError(error: Error & { code?: string }): void {
    const isOrdinary = ORDINARY_ENDS.has(error.code ?? '') && !this.inTransaction;
    if (!isOrdinary && !this._closing) this.context.emit(clientError(this.client, error));
    this.close();
  }

  /** Ends the connection now, reply or not. */
  destroy(): void {
    this.abandon();
    this._socket.destroy();
  }
}
