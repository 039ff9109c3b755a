/**
 * Sets up a session on a connected socket with nodemailer's SMTPConnection:
 * greeting, EHLO, STARTTLS, AUTH. Stops at the first thing that is not as
 * configured, says at which stage, and never sends credentials over a
 * connection whose TLS is not there, nor gives one for mail where TLS is
 * required. When it is done the socket is taken over from nodemailer, which
 * has no further part in the session.
 */
import type { Socket } from 'node:net';
import type { ProviderConfig } from '../config/config.ts';
import { type Capabilities, noCapabilities, parseCapabilities } from './capabilities.ts';
import { explain } from './channel.ts';
import { tlsFailure, tlsOptions } from './dial.ts';
import { type Failure, type Reply, SessionError, type Stage } from './failure.ts';
import { redact } from './redact.ts';
import { parseReply, replyLine } from './reply.ts';
import { SmtpConnection } from './smtp-connection.ts';

/** nodemailer's own timers must never be the first: each stage is timed here. */
const NEVER_MS = 2_147_483_647;
const MAX_REPLY_BYTES = 65_536;

/** A connection in the state in which MAIL may be sent. */
export interface Greeted {
  readonly socket: Socket;
  readonly capabilities: Capabilities;
}

type SetupStage = Extract<Stage, 'greeting' | 'ehlo' | 'starttls' | 'auth'>;

/**
 * Sets up the session. Rejects with SessionError at stage greeting, ehlo,
 * starttls or auth; the socket is destroyed then. `name` is said in EHLO.
 */
export function setUp(
  socket: Socket,
  provider: ProviderConfig,
  name: string,
  signal: AbortSignal,
): Promise<Greeted> {
  return new Promise((resolve, reject) => {
    const handshake = new Handshake(socket, provider, name);
    const onAbort = () => handshake.fail({ fault: 'lost', message: 'abandoned by the relay' });
    const done = () => signal.removeEventListener('abort', onAbort);
    handshake.begin(
      greeted => {
        done();
        resolve(greeted);
      },
      error => {
        done();
        reject(error);
      },
    );
    signal.addEventListener('abort', onAbort);
    if (signal.aborted) onAbort();
  });
}

class Handshake extends SmtpConnection {
  readonly #provider: ProviderConfig;
  #stage: SetupStage = 'greeting';
  #timer: NodeJS.Timeout | undefined;
  #capabilities: Capabilities = noCapabilities;
  #settled = false;
  #resolve: (greeted: Greeted) => void = () => undefined;
  #reject: (error: SessionError) => void = () => undefined;

  constructor(socket: Socket, provider: ProviderConfig, name: string) {
    super({
      connection: socket,
      host: provider.host,
      port: provider.port,
      secure: provider.ssl,
      secured: provider.ssl,
      name,
      tls: tlsOptions(provider),
      connectionTimeout: NEVER_MS,
      greetingTimeout: NEVER_MS,
      socketTimeout: NEVER_MS,
      socketCloseTimeout: 0,
      maxResponseSize: MAX_REPLY_BYTES,
      logger: false,
    });
    this.#provider = provider;
  }

  begin(resolve: (greeted: Greeted) => void, reject: (error: SessionError) => void): void {
    this.#resolve = resolve;
    this.#reject = reject;
    this.#enter('greeting');
    this.on('error', error => this.#broken(error));
    this.on('end', () => this.#closed());
    this.connect(error => (error === undefined ? this.#afterHello() : this.#closed()));
  }

  /** Ends the attempt, once. */
  fail(failure: Omit<Failure, 'stage'>, cause?: unknown): void {
    if (this.#settled) return;
    this.#settled = true;
    clearTimeout(this.#timer);
    this.close();
    this.#reject(new SessionError({ stage: this.#stage, ...failure }, cause));
  }

  override _actionGreeting(text: string): void {
    if (this.#expected(text, code => code === 220) === undefined) return;
    this.#enter('ehlo');
    super._actionGreeting(text);
  }

  override _actionEHLO(text: string): void {
    const mayFallBack = !this.#lacksTls && this.#provider.credentials === undefined;
    // RFC 5321 section 3.2: HELO is for servers that do not know EHLO, not for those that are busy.
    const reply = this.#expected(text, code => code < 300 || (code >= 500 && mayFallBack));
    if (reply === undefined) return;
    this.#capabilities = reply.code < 300 ? parseCapabilities(text) : noCapabilities;
    if (!this.secure && this.#capabilities.startTls) this.#enter('starttls');
    super._actionEHLO(text);
  }

  override _actionHELO(text: string): void {
    if (this.#expected(text, code => code < 300) !== undefined) super._actionHELO(text);
  }

  override _actionSTARTTLS(text: string): void {
    if (this.#expected(text, code => code === 220) === undefined) return;
    // A new limit: the handshake is a wait of its own.
    this.#enter('starttls');
    super._actionSTARTTLS(text);
  }

  override _upgradeConnection(callback: (error: Error | null, secured?: boolean) => void): void {
    super._upgradeConnection((error, secured) => {
      if (error === null) this.#enter('ehlo');
      callback(error, secured);
    });
  }

  /** It is required and not there, or not yet. */
  get #lacksTls(): boolean {
    return this.#provider.tls.required && !this.secure;
  }

  #enter(stage: SetupStage): void {
    this.#stage = stage;
    const { greetingMs, commandMs } = this.#provider.timeouts;
    const ms = stage === 'auth' ? commandMs : greetingMs;
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => {
      this.fail({ fault: 'timeout', message: `no answer within ${ms / 1000} s` });
    }, ms);
  }

  /** The reply when it is one of those wanted and nothing follows it; else fails. */
  #expected(text: string, wanted: (code: number) => boolean): Reply | undefined {
    if (this.#settled) return undefined;
    const reply = parseReply(text);
    if (reply === undefined || !wanted(reply.code)) this.#refused(reply);
    // Behind the answer to STARTTLS nodemailer drops it (RFC 3207 section 6).
    else if (this.#stage === 'starttls' || this.#alone()) return reply;
    return undefined;
  }

  /**
   * Whether nothing follows the reply; else fails. What comes before its
   * command would pass for the answer to it, and every later answer for that
   * to the next command: one recipient's refusal for another's.
   */
  #alone(): boolean {
    if (!this.unasked) return true;
    this.fail({ fault: 'garbled', message: 'the provider sent more replies than commands' });
    return false;
  }

  #refused(reply: Reply | undefined): void {
    if (reply === undefined) {
      this.fail({ fault: 'garbled', message: 'the answer is not an SMTP reply' });
      return;
    }
    const fault = reply.code >= 400 ? 'reply' : 'garbled';
    const what = fault === 'reply' ? 'refused:' : 'answered out of place with';
    this.fail({ fault, reply, message: `${what} ${replyLine(reply)}` });
  }

  /** The gate before AUTH and MAIL. Here, since nodemailer and we do not read every odd reply to EHLO alike. */
  #afterHello(): void {
    const { credentials } = this.#provider;
    if (this.#lacksTls) {
      const why = credentials === undefined ? 'tls.required is true' : 'credentials need it';
      this.#stage = 'starttls';
      this.fail({ fault: 'not-offered', message: `the provider does not offer STARTTLS, and ${why}` });
      return;
    }
    if (credentials === undefined) {
      this.#finish();
      return;
    }
    this.#enter('auth');
    const method = ['PLAIN', 'LOGIN', 'CRAM-MD5'].find(name => this.#capabilities.mechanisms.includes(name));
    if (method === undefined) {
      const offered = this.#capabilities.mechanisms.join(' ') || 'nothing';
      const message = `the provider offers ${offered} for AUTH, the relay can do PLAIN, LOGIN and CRAM-MD5`;
      this.fail({ fault: 'not-offered', message });
      return;
    }
    this.login({ user: credentials.username, pass: credentials.password, method }, () => this.#afterLogin());
  }

  #afterLogin(): void {
    if (this.#settled) return;
    // Before the text is cut to length: half of a secret is a secret too.
    const reply = parseReply(redact(String(this.lastServerResponse), this.#provider.credentials));
    if (this.authenticated && reply !== undefined && reply.code < 300) this.#finish();
    else this.#refused(reply);
  }

  #finish(): void {
    if (this.#settled || !this.#alone()) return;
    this.#settled = true;
    clearTimeout(this.#timer);
    this.#resolve({ socket: this.takeSocket(), capabilities: this.#capabilities });
  }

  /** nodemailer's own errors: of the connection, of TLS, and replies that nobody asked for. */
  #broken(error: Error): void {
    if (this.upgrading === true) {
      const { fault, message } = tlsFailure(error);
      this.fail({ fault, message }, error);
      return;
    }
    const { code, originalCode } = error as NodeJS.ErrnoException & { originalCode?: string };
    if (code === 'EPROTOCOL') {
      this.fail({ fault: 'garbled', message: 'the provider sent what was not asked for' });
      return;
    }
    // nodemailer appends an unfinished reply to the message; only errors of the system are told.
    const message = originalCode === undefined ? 'the provider closed the connection' : explain(error);
    const fault = originalCode === 'ETIMEDOUT' ? 'timeout' : 'lost';
    this.fail({ fault, message });
  }

  #closed(): void {
    this.fail({ fault: 'lost', message: 'the provider closed the connection' });
  }
}
