/**
 * Opens sessions with providers and carries transactions over them. A session
 * is either in the state in which MAIL may be sent, or not usable any more:
 * whatever leaves doubt about where the two sides are closes it.
 */

import { isIPv6, type Socket } from 'node:net';
import { hostname } from 'node:os';
import type { ProviderConfig, ProviderTimeouts } from '../config/config.ts';
import type { Capabilities } from './capabilities.ts';
import { Channel } from './channel.ts';
import { dial } from './dial.ts';
import { type Greeted, setUp } from './handshake.ts';
import type { AtDot, Body, OpenSession, Session, TransactionEnvelope, TransactionReport } from './session.ts';
import { type Afterwards, runTransaction } from './transaction.ts';

/** A peer that is slow to say goodbye, or to RSET, is left. */
const QUIT_MS = 2_000;
const RESET_MS = 5_000;

export interface OpenerOptions {
  /** Name said in EHLO. Default: the machine's, or the address of the connection where that is not qualified. */
  readonly name?: string;
}

/** Makes the function that opens sessions under a name of choice. */
export function sessionOpener(options: OpenerOptions = {}): OpenSession {
  return async (provider: ProviderConfig, signal: AbortSignal) => {
    const socket = await dial(provider, signal);
    const greeted = await setUp(socket, provider, options.name ?? ehloName(socket), signal);
    return new SmtpSession(greeted, provider.timeouts);
  };
}

/** Opens a session under the machine's own name. */
export const openSession: OpenSession = sessionOpener();

/** A qualified host name, else an address literal (RFC 5321 section 4.1.3): a pod's bare name means nothing outside. */
export function ehloName({ localAddress }: Pick<Socket, 'localAddress'>, machine = hostname()): string {
  if (/^[a-z0-9-]+(\.[a-z0-9-]+)+$/i.test(machine)) return machine;
  if (localAddress === undefined) return '[127.0.0.1]';
  return isIPv6(localAddress) ? `[IPv6:${localAddress.replace(/%.*$/, '')}]` : `[${localAddress}]`;
}

class SmtpSession implements Session {
  readonly #channel: Channel;
  readonly #capabilities: Capabilities;
  readonly #timeouts: ProviderTimeouts;
  #transactions = 0;
  #busy = false;
  #usable = true;
  /** We closed it ourselves: nobody needs to be told. */
  #dismissed = false;
  #endedIdle = false;
  #listener: (() => void) | undefined;

  constructor({ socket, capabilities }: Greeted, timeouts: ProviderTimeouts) {
    this.#channel = new Channel(socket);
    this.#capabilities = capabilities;
    this.#timeouts = timeouts;
    this.#channel.onUnasked(() => this.#unasked());
  }

  get transactions(): number {
    return this.#transactions;
  }

  get quietMs(): number {
    return this.#channel.quietMs;
  }

  get usable(): boolean {
    // What came unasked would be taken for the answer to the next command.
    return this.#usable && this.#channel.ended === undefined && (this.#busy || !this.#channel.hasUnasked);
  }

  async transact(envelope: TransactionEnvelope, body: Body, atDot?: AtDot): Promise<TransactionReport> {
    if (!this.usable || this.#busy) return unsent(envelope);
    this.#transactions += 1;
    this.#busy = true;
    const wire = { channel: this.#channel, capabilities: this.#capabilities, timeouts: this.#timeouts };
    const { report, afterwards } = await runTransaction(wire, envelope, body, atDot);
    await this.#settle(afterwards);
    this.#busy = false;
    return report;
  }

  async noop(): Promise<boolean> {
    if (!this.usable || this.#busy) return false;
    this.#busy = true;
    const answered = await this.#command('NOOP', this.#timeouts.commandMs);
    await this.#settle(answered ? 'ready' : 'close');
    this.#busy = false;
    return answered;
  }

  async quit(): Promise<void> {
    const polite = this.usable && !this.#busy;
    this.#usable = false;
    this.#dismissed = true;
    if (polite) await this.#command('QUIT', QUIT_MS);
    this.#channel.destroy();
  }

  destroy(): void {
    this.#usable = false;
    this.#dismissed = true;
    this.#channel.destroy();
  }

  onClose(listener: () => void): void {
    this.#listener = listener;
    // It may have ended between opening and now.
    if (this.#endedIdle) queueMicrotask(listener);
  }

  async #settle(afterwards: Afterwards): Promise<void> {
    const resetMs = Math.min(RESET_MS, this.#timeouts.commandMs);
    const fine = afterwards === 'ready' || (afterwards === 'reset' && (await this.#command('RSET', resetMs)));
    if (fine && !this.#channel.hasUnasked) return;
    this.#usable = false;
    this.#channel.destroy();
  }

  async #command(line: string, ms: number): Promise<boolean> {
    this.#channel.write(`${line}\r\n`);
    const { reply } = await this.#channel.next(ms);
    return reply !== undefined && reply.code >= 200 && reply.code < 300;
  }

  /** Something came that nobody waited for: when idle it is a 421, an end or nonsense, and each ends the session. */
  #unasked(): void {
    if (this.#busy || this.#dismissed || this.#endedIdle) return;
    this.#usable = false;
    this.#endedIdle = true;
    this.#channel.destroy();
    this.#listener?.();
  }
}

function unsent(envelope: TransactionEnvelope): TransactionReport {
  return {
    recipients: envelope.recipients.map(() => undefined),
    failure: { stage: 'mail', fault: 'lost', message: 'the connection is not usable' },
    unanswered: true,
  };
}
