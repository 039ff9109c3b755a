/**
 * The commands of one client around its transactions: greeting, what is
 * offered, authentication, what is not understood. AUTH is offered only where
 * a password cannot be overheard, unless the configuration says otherwise.
 */
import { ClientConnection } from './client-connection.ts';
import { clientError } from './client-error.ts';
import { refusals } from './refusals.ts';
import { addressLiteral } from './trace-headers.ts';

type Done = () => void;

const VERBS = new Set([
  'HELO',
  'EHLO',
  'MAIL',
  'RCPT',
  'DATA',
  'RSET',
  'NOOP',
  'QUIT',
  'VRFY',
  'HELP',
  'STARTTLS',
  'AUTH',
]);
const NEED_HELO = new Set(['MAIL', 'RCPT', 'DATA', 'AUTH']);
/** Commands on a connection since its last message, recipients not counted. A pool that says NOOP every ten seconds gets there in hours. */
const MAX_COMMANDS = 1000;
/** RFC 5321 section 4.5.3.1.2, with a little slack. */
const MAX_HELO = 300;

export abstract class SessionConnection extends ClientConnection {
  #authenticating = false;
  #commands = 0;

  protected override get owesReply(): boolean {
    return this.#authenticating;
  }

  /** Who has authenticated on this connection. The library uses undefined and false for nobody. */
  protected get user(): string | undefined {
    const user: unknown = this.session.user;
    return typeof user === 'string' && user !== '' ? user : undefined;
  }

  /** 421, and the end of the connection. */
  protected sayShuttingDown(): void {
    if (this._closing || this._closed) return;
    const { code, enhanced, text } = refusals.shuttingDown();
    this.reply(code, enhanced, text);
  }

  override _onCommand(line: Buffer, callback?: Done): void {
    const done = callback ?? (() => undefined);
    // What came in clear behind STARTTLS is not part of the session (RFC 3207 section 4.2).
    if (this._upgrading || this._closing) {
      done();
      return;
    }
    const continuation = this._nextHandler;
    if (continuation !== false) {
      this._nextHandler = false;
      this.#authenticate(continuation, line, done);
      return;
    }
    this.#dispatch(line, done);
  }

  #dispatch(line: Buffer, done: Done): void {
    const verb = /^[A-Za-z]{1,10}(?=\s|$)/.exec(line.toString('latin1', 0, 12))?.[0].toUpperCase() ?? '';
    if (verb !== 'RCPT') this.#commands++;
    if (this.context.stopping && !this.inTransaction && verb !== 'QUIT') {
      this.sayShuttingDown();
    } else if (this.#commands > MAX_COMMANDS) {
      this.refuse(refusals.tooManyCommands(MAX_COMMANDS));
    } else if (!VERBS.has(verb) || !this.#isOffered(verb)) {
      this.#unknown(verb, line);
    } else if (this.hostNameAppearsAs === false && NEED_HELO.has(verb)) {
      this.reply(503, '5.5.1', 'Say EHLO first');
    } else {
      this.#handle(verb, line, done);
      return;
    }
    done();
  }

  /** A message was accepted: what the connection did before does not count against it. */
  protected startOver(): void {
    this.#commands = 0;
    this.forgiveErrors(Number.POSITIVE_INFINITY);
  }

  /** A mistake of ours costs this client one command, not the program its life. */
  #handle(verb: string, line: Buffer, done: Done): void {
    try {
      this.#call(verb, line, done);
    } catch (error) {
      const failure = new Error(`${verb} failed in the relay: ${String(error)}`);
      this.context.emit(clientError(this.client, failure));
      this.reply(451, '4.3.0', 'Internal error, try again later');
      done();
    }
  }

  #call(verb: string, line: Buffer, done: Done): void {
    if (verb === 'AUTH') this.#authenticate(this.handler_AUTH, line, done);
    else this._getHandler(verb)?.call(this, line, done);
  }

  #isOffered(verb: string): boolean {
    if (verb === 'STARTTLS') return this.context.offersTls;
    return verb !== 'AUTH' || this.context.policy.accounts.size > 0;
  }

  #unknown(verb: string, line: Buffer): void {
    // A browser that was made to talk to this port (RFC 5321 knows no such verbs).
    if (/ HTTP\/\d/.test(line.toString('latin1'))) this.reply(421, '4.7.0', 'This is no web server');
    else if (VERBS.has(verb) || verb === 'EXPN') this.reply(502, '5.5.1', `${verb} is not offered here`);
    else this.reply(500, '5.5.2', 'Command not recognized');
  }

  #authenticate(step: (command: Buffer, callback: Done) => void, line: Buffer, done: Done): void {
    this.#authenticating = true;
    step.call(this, line, () => {
      this.#authenticating = false;
      done();
    });
  }

  override handler_EHLO(command: Buffer, done: Done): void {
    if (this.#greet(command, 'EHLO')) {
      const { config, accounts } = this.context.policy;
      const offers = [
        `${this.name} greets ${addressLiteral(this.client)}`,
        'PIPELINING',
        `SIZE ${config.maxMessageBytes}`,
        '8BITMIME',
        'SMTPUTF8',
        'ENHANCEDSTATUSCODES',
      ];
      if (this.context.offersTls && !this.secure) offers.push('STARTTLS');
      const canAuthenticate = accounts.size > 0 && this.#mayAuthenticateNow() && this.user === undefined;
      if (canAuthenticate) offers.push('AUTH PLAIN LOGIN');
      this.send(250, offers, false);
    }
    done();
  }

  override handler_HELO(command: Buffer, done: Done): void {
    if (this.#greet(command, 'HELO')) this.reply(250, '', this.name);
    done();
  }

  #greet(command: Buffer, verb: 'EHLO' | 'HELO'): boolean {
    const name = command.toString('utf8').trim().split(/\s+/)[1] ?? '';
    if (name === '' || name.length > MAX_HELO) {
      this.reply(501, '', `Write ${verb} and your name`);
      return false;
    }
    this.hostNameAppearsAs = name;
    this.openingCommand = verb;
    this._resetSession();
    return true;
  }

  override handler_AUTH(command: Buffer, done: Done): void {
    if (this.#mayAuthenticateNow() && !this.inTransaction) {
      super.handler_AUTH(command, done);
      return;
    }
    if (this.inTransaction) this.reply(503, '5.5.1', 'Not within a mail transaction');
    else this.reply(538, '5.7.11', 'Encryption required: STARTTLS first');
    done();
  }

  #mayAuthenticateNow(): boolean {
    return this.secure || this.context.policy.config.allowClearTextAuth;
  }
}
