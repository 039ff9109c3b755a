/**
 * The server's side of one SMTP connection, over raw sockets, so that any byte
 * of it can be wrong on demand. Correct ESMTP unless the script says
 * otherwise; searches are native and answers to one packet leave in one write,
 * so that it is also a fast sink.
 */
import type { Socket } from 'node:net';
import { type SecureContext, TLSSocket } from 'node:tls';
import { AuthDialogue } from './provider-auth.ts';
import { type SessionRecord, TransactionRecord } from './record.ts';
import type { Action, Moment, ScriptStage, Spoil } from './script.ts';
import { Spoiler } from './spoiler.ts';

/** What a session needs of its provider. */
export interface SessionHost {
  readonly hostname: string;
  readonly extensions: readonly string[];
  readonly maxSize: number;
  readonly maxRecipients: number;
  readonly tls: 'none' | 'starttls' | 'implicit';
  readonly users: ReadonlyMap<string, string>;
  readonly mechanisms: readonly string[];
  readonly authWithoutTls: boolean;
  readonly requireAuth: boolean;
  /** Bytes of each body to keep. */
  readonly keepBytes: number;
  /** Keep commands and replies. */
  readonly transcript: boolean;
  /** Those that stall; calling one lets it go on. */
  readonly stalled: Set<() => void>;
  choose(moment: Moment): Action;
  bodyAfterBytes(): number;
  spoil(): Spoil | undefined;
  secureContext(): SecureContext;
  began(transaction: TransactionRecord): void;
  received(transaction: TransactionRecord): void;
}

/** One point at which the script is asked. */
interface Step {
  readonly stage: ScriptStage | 'unscripted';
  readonly line: string;
  readonly address?: string;
  /** The normal reply; '' where the stage has none. */
  readonly reply: string;
  accepted?(): void;
  refused?(): void;
}

type Held = Extract<Action, { do: 'stall' | 'wait' }>;
type Misbehaviour = Exclude<Action, string | Held | { do: 'accept' }>;

/** A refusal that no script is asked about: the command itself is wrong. */
const refusal = (line: string, reply: string): Step => ({ stage: 'unscripted', line, reply });

const MAIL = /^MAIL FROM:\s*<([^>]*)>\s*(.*)$/i;
const RCPT = /^RCPT TO:\s*<([^>]+)>\s*(.*)$/i;
const END = Buffer.from('\r\n.\r\n');

export class ProviderSession {
  readonly record: SessionRecord;
  readonly #host: SessionHost;
  readonly #plain: Socket;
  #socket: Socket;
  #input: Buffer = Buffer.alloc(0);
  #out = '';
  readonly #spoiler: Spoiler;
  #mode: 'command' | 'data' | 'tls' = 'command';
  #blocked = false;
  #ended = false;
  #greeted = false;
  #auth: AuthDialogue | undefined;
  #transaction: TransactionRecord | undefined;
  /** The last bytes of the body so far: the final dot may come in pieces. */
  #tail: Buffer = Buffer.alloc(0);
  #bodyAsked = false;
  #lastReply: string | undefined;

  constructor(socket: Socket, id: number, host: SessionHost) {
    this.#host = host;
    this.#spoiler = new Spoiler(() => host.spoil());
    this.#plain = socket;
    this.#socket = socket;
    this.record = { id, openedAt: Date.now(), secure: false, commands: [], replies: [], discarded: 0 };
    socket.setNoDelay(true);
    socket.on('error', () => socket.destroy());
    socket.on('data', this.#onData);
  }

  /** Begins: script stage connect, then TLS if implicit, then the greeting. */
  start(): void {
    const greet = () => {
      const reply = `220 ${this.#host.hostname} ESMTP`;
      this.#step({ stage: 'greeting', line: '', reply, refused: () => this.#end() });
    };
    this.#step({
      stage: 'connect',
      line: '',
      reply: '',
      accepted: () => (this.#host.tls === 'implicit' ? this.#startTls(greet) : greet()),
    });
    this.#flush();
  }

  /** Says something that nobody asked for. */
  speak(text: string): void {
    this.#send(text);
    this.#flush();
  }

  destroy(): void {
    this.#ended = true;
    this.#socket.destroy();
    this.#plain.destroy();
  }

  readonly #onData = (chunk: Buffer): void => {
    if (this.#ended) return;
    this.#input = this.#input.length === 0 ? chunk : Buffer.concat([this.#input, chunk]);
    this.#drain();
  };

  #drain(): void {
    while (!this.#blocked && !this.#ended && this.#input.length > 0) {
      if (!(this.#mode === 'data' ? this.#takeBody() : this.#takeLine())) break;
    }
    this.#flush();
  }

  #takeLine(): boolean {
    if (this.#mode === 'tls') return false;
    const at = this.#input.indexOf('\r\n');
    if (at < 0) return false;
    const line = this.#input.toString('utf8', 0, at);
    this.#input = this.#input.subarray(at + 2);
    if (this.#host.transcript) this.record.commands.push(line);
    this.#step(this.#auth === undefined ? this.#command(line) : this.#authenticate(this.#auth, line));
    return true;
  }

  #command(line: string): Step {
    const verb = (line.split(' ', 1)[0] ?? '').toUpperCase();
    switch (verb) {
      case 'EHLO':
      case 'HELO':
        return this.#hello(line, verb);
      case 'STARTTLS':
        return this.#startTlsCommand(line);
      case 'AUTH':
        return this.#authCommand(line);
      case 'MAIL':
        return this.#mail(line);
      case 'RCPT':
        return this.#rcpt(line);
      case 'DATA':
        return this.#data(line);
      case 'RSET':
        return { stage: 'rset', line, reply: '250 2.0.0 reset', accepted: () => this.#forget() };
      case 'NOOP':
        return { stage: 'noop', line, reply: '250 2.0.0 ok' };
      case 'QUIT':
        return { stage: 'quit', line, reply: '221 2.0.0 bye', accepted: () => this.#end() };
      default:
        return refusal(line, '500 5.5.2 unknown command');
    }
  }

  #forget(): void {
    this.#transaction = undefined;
  }

  #hello(line: string, verb: string): Step {
    const lines = [this.#host.hostname];
    if (verb === 'EHLO') lines.push(...this.#extensions());
    const reply = lines
      .map((text, index) => `250${index === lines.length - 1 ? ' ' : '-'}${text}`)
      .join('\n');
    const accepted = () => {
      this.#greeted = true;
      this.#transaction = undefined;
    };
    return { stage: 'ehlo', line, reply, accepted };
  }

  #extensions(): string[] {
    const { extensions, tls, users, mechanisms, authWithoutTls } = this.#host;
    const list = [...extensions];
    if (tls === 'starttls' && !this.record.secure) list.push('STARTTLS');
    if (users.size > 0 && (this.record.secure || authWithoutTls)) list.push(`AUTH ${mechanisms.join(' ')}`);
    return list;
  }

  #startTlsCommand(line: string): Step {
    const offered = this.#host.tls === 'starttls' && !this.record.secure;
    const accepted = () => {
      this.#flush();
      this.record.discarded = this.#input.length;
      this.#input = Buffer.alloc(0);
      this.#greeted = false;
      this.#transaction = undefined;
      this.#startTls(() => undefined);
    };
    if (!offered) return refusal(line, '502 5.5.1 STARTTLS is not offered');
    return { stage: 'starttls', line, reply: '220 2.0.0 go ahead', accepted };
  }

  #startTls(then: () => void): void {
    this.#mode = 'tls';
    this.#step({ stage: 'tls', line: '', reply: '', accepted: () => this.#handshake(then) });
  }

  #handshake(then: () => void): void {
    this.#plain.off('data', this.#onData);
    const secured = new TLSSocket(this.#plain, { isServer: true, secureContext: this.#host.secureContext() });
    this.#socket = secured;
    secured.on('error', () => this.destroy());
    secured.on('_tlsError', () => this.destroy());
    secured.on('data', this.#onData);
    secured.once('secure', () => {
      this.record.secure = true;
      const { servername } = secured as TLSSocket & { servername?: string | false };
      if (typeof servername === 'string') this.record.serverName = servername;
      this.#mode = 'command';
      then();
      this.#drain();
    });
  }

  #authCommand(line: string): Step {
    const [, mechanism = '', initial] = line.split(' ');
    const known = this.#host.mechanisms.includes(mechanism.toUpperCase());
    if (this.#host.users.size === 0 || !known) return refusal(line, '504 5.5.4 mechanism not offered');
    this.#auth = new AuthDialogue(mechanism.toUpperCase(), this.#host.users);
    return this.#authenticate(this.#auth, initial, line);
  }

  #authenticate(dialogue: AuthDialogue, answer: string | undefined, line = answer ?? ''): Step {
    const reply = dialogue.next(answer);
    return {
      stage: 'auth',
      line,
      reply,
      accepted: () => {
        if (!reply.startsWith('2')) return;
        this.#auth = undefined;
        this.record.user = dialogue.user;
      },
      refused: () => {
        this.#auth = undefined;
      },
    };
  }

  #mail(line: string): Step {
    const [, sender, parameters = ''] = MAIL.exec(line) ?? [];
    if (sender === undefined) return refusal(line, '501 5.5.4 syntax: MAIL FROM:<address>');
    const accepted = () => {
      this.#transaction = new TransactionRecord(this.record, sender, parameters);
      this.#host.began(this.#transaction);
    };
    return {
      stage: 'mail',
      line,
      address: sender,
      reply: this.#mailReply(sender, parameters),
      accepted,
    };
  }

  #mailReply(sender: string, parameters: string): string {
    if (!this.#greeted) return '503 5.5.1 EHLO first';
    if (this.#transaction !== undefined) return '503 5.5.1 a transaction is open already';
    if (this.#host.requireAuth && this.record.user === undefined) return '530 5.7.0 authentication required';
    if (/[^\x20-\x7e]/.test(sender) && !/\bSMTPUTF8\b/i.test(parameters)) return '553 5.6.7 needs SMTPUTF8';
    const size = Number(/\bSIZE=(\d+)/i.exec(parameters)?.[1] ?? 0);
    if (size > this.#host.maxSize) return `552 5.3.4 larger than ${this.#host.maxSize}`;
    return '250 2.1.0 sender ok';
  }

  #rcpt(line: string): Step {
    const address = RCPT.exec(line)?.[1];
    if (address === undefined) return refusal(line, '501 5.5.4 syntax: RCPT TO:<address>');
    const transaction = this.#transaction;
    const accepted = () => transaction?.recipients.push(address);
    const refused = () => transaction?.refused.push(address);
    return { stage: 'rcpt', line, address, reply: this.#rcptReply(transaction), accepted, refused };
  }

  #rcptReply(transaction: TransactionRecord | undefined): string {
    if (transaction === undefined) return '503 5.5.1 MAIL first';
    if (transaction.recipients.length >= this.#host.maxRecipients) return '452 4.5.3 too many recipients';
    return '250 2.1.5 recipient ok';
  }

  #data(line: string): Step {
    const accepted = () => {
      // A script may say 354 where MAIL was refused; the body then belongs to nobody.
      this.#transaction ??= new TransactionRecord(this.record, '', '');
      this.#mode = 'data';
      this.#tail = Buffer.from('\r\n');
      this.#bodyAsked = false;
    };
    return { stage: 'data', line, reply: this.#dataReply(), accepted };
  }

  #dataReply(): string {
    if (this.#transaction === undefined) return '503 5.5.1 MAIL first';
    return this.#transaction.recipients.length === 0 ? '554 5.5.1 no valid recipients' : '354 go ahead';
  }

  #takeBody(): boolean {
    const transaction = this.#transaction!;
    const chunk = this.#input;
    if (!this.#bodyAsked && transaction.size + chunk.length >= this.#host.bodyAfterBytes()) {
      this.#bodyAsked = true;
      this.#step({ stage: 'body', line: '', reply: '' });
      return true;
    }
    const end = this.#findEnd(chunk);
    if (end === undefined) {
      transaction.add(chunk, this.#host.keepBytes);
      this.#tail = Buffer.concat([this.#tail, chunk.subarray(-4)]).subarray(-4);
      this.#input = Buffer.alloc(0);
      return true;
    }
    if (end.body > 0) transaction.add(chunk.subarray(0, end.body), this.#host.keepBytes);
    // The dot, or a part of `.CRLF`, was taken for body before the rest came.
    else if (end.body < 0) transaction.cut(-end.body);
    this.#input = chunk.subarray(end.next);
    this.#finish(transaction);
    return true;
  }

  /** Where the body ends in this chunk (negative: that many bytes before it) and the next command begins. */
  #findEnd(chunk: Buffer): { body: number; next: number } | undefined {
    const seam = Buffer.concat([this.#tail, chunk.subarray(0, 4)]);
    const across = seam.indexOf(END);
    if (across >= 0) {
      const body = across + 2 - this.#tail.length;
      return { body, next: body + 3 };
    }
    const at = chunk.indexOf(END);
    return at < 0 ? undefined : { body: at + 2, next: at + END.length };
  }

  #finish(transaction: TransactionRecord): void {
    this.#mode = 'command';
    this.#transaction = undefined;
    transaction.completedAt = Date.now();
    const accepted = () => {
      if (transaction.received) return;
      transaction.received = true;
      this.#host.received(transaction);
    };
    this.#step({ stage: 'dot', line: '.', reply: this.#dotReply(transaction), accepted }, transaction);
  }

  #dotReply(transaction: TransactionRecord): string {
    if (transaction.recipients.length === 0) return '554 5.5.1 no valid recipients';
    if (transaction.size > this.#host.maxSize) return `552 5.3.4 larger than ${this.#host.maxSize}`;
    return `250 2.0.0 queued as ${this.record.id}.${transaction.size}`;
  }

  #step(step: Step, transaction = this.#transaction): void {
    if (step.stage === 'unscripted') {
      this.#answer(step.reply, step);
      return;
    }
    const moment: Moment = {
      stage: step.stage,
      session: this.record,
      line: step.line,
      ...(step.address === undefined ? {} : { address: step.address }),
      ...(transaction === undefined ? {} : { transaction }),
    };
    const noted: Step = { ...step };
    if (step.stage === 'dot' && transaction !== undefined) this.#noteReply(noted, transaction);
    this.#act(this.#host.choose(moment), noted);
  }

  #noteReply(step: Step, transaction: TransactionRecord): void {
    const { accepted, refused } = step;
    const note = () => {
      if (this.#lastReply !== undefined) transaction.reply ??= this.#lastReply;
    };
    step.accepted = () => {
      note();
      accepted?.();
    };
    step.refused = () => {
      note();
      refused?.();
    };
  }

  #act(action: Action, step: Step): void {
    this.#lastReply = undefined;
    if (typeof action === 'string') this.#answer(action, step);
    else if (action.do === 'accept') this.#answer(step.reply, step);
    else if (action.do === 'stall' || action.do === 'wait') this.#hold(action, step);
    else this.#misbehave(action, step);
  }

  #misbehave(action: Misbehaviour, step: Step): void {
    switch (action.do) {
      case 'raw':
        this.#send(action.bytes.toString('latin1'), 'latin1');
        if (/^[23]/.test(action.bytes.toString('latin1', 0, 1))) step.accepted?.();
        break;
      case 'partial':
        this.#send(`${action.reply ?? step.reply}\r\n`.slice(0, action.bytes));
        this.#end();
        break;
      case 'drop':
        this.#end();
        break;
      case 'reset':
        this.#reset();
        break;
      case 'take':
        step.accepted?.();
        this.#act(action.then, { stage: step.stage, line: step.line, reply: step.reply });
        break;
      case 'then':
        this.#act(action.first, step);
        this.#act(action.then, { stage: step.stage, line: step.line, reply: '' });
    }
  }

  /** stall and wait: nothing more is read until the gate opens or release() is called. */
  #hold(action: Held, step: Step): void {
    this.#blocked = true;
    if (this.#mode === 'data') this.#socket.pause();
    const go = () => {
      this.#host.stalled.delete(go);
      if (this.#ended) return;
      this.#blocked = false;
      this.#socket.resume();
      this.#act(action.do === 'wait' ? action.then : { do: 'accept' }, step);
      this.#drain();
    };
    if (action.do === 'wait') void action.gate.then(go);
    else this.#host.stalled.add(go);
  }

  #answer(reply: string, step: Step): void {
    if (reply !== '') this.#reply(reply);
    if (reply === '' || /^[23]/.test(reply)) step.accepted?.();
    else step.refused?.();
    if (reply.startsWith('421')) this.#end();
  }

  #reply(reply: string): void {
    this.#lastReply = reply;
    if (this.#host.transcript) this.record.replies.push(reply);
    this.#send(`${reply.replaceAll('\n', '\r\n')}\r\n`);
  }

  /** Gathers output; a script that spoils it may end the session in the middle of it. */
  #send(text: string, encoding: BufferEncoding = 'utf8'): void {
    if (this.#ended) return;
    const { piece, ending } = this.#spoiler.pass(text);
    if (encoding === 'utf8') this.#out += piece;
    else {
      this.#flush();
      this.#socket.write(piece, encoding);
    }
    if (ending === 'end') this.#end();
    if (ending === 'reset') this.#reset();
  }

  #flush(): void {
    if (this.#out === '') return;
    const out = this.#out;
    this.#out = '';
    if (this.#socket.writable) this.#socket.write(out);
  }

  #reset(): void {
    this.#flush();
    this.#ended = true;
    this.#plain.resetAndDestroy();
  }

  /** FIN; what still comes is read and ignored. */
  #end(): void {
    if (this.#ended) return;
    this.#flush();
    this.#ended = true;
    this.#socket.resume();
    this.#socket.end();
  }
}
