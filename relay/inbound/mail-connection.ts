/**
 * The mail transactions of one client (RFC 5321 section 3.3): who may send,
 * within which limits, and one message after the other. Says 250 to a message
 * only when the spool has it on disk.
 *
 * Who may send is decided at MAIL, not at connect: probes and clients that
 * will authenticate connect from anywhere, and a person who is refused sees
 * the reason as the answer to a command.
 */
import type { MessageId } from '../spool/message.ts';
import { mailDeclaration, recipientFault } from './mail-parameters.ts';
import { type MailPath, type PathFault, parsePath } from './mail-path.ts';
import type { Policy } from './policy.ts';
import { Reception, type ReceptionStep, storeRefusal } from './reception.ts';
import { type Refusal, refusals } from './refusals.ts';
import type { RateTicket } from './sender-rates.ts';
import { SessionConnection } from './session-connection.ts';
import type { SmtpInput } from './smtp-input.ts';

/** A mail transaction from MAIL on. */
interface Transaction {
  readonly sender: string;
  readonly eightBit: boolean;
  readonly smtpUtf8: boolean;
  readonly ticket: RateTicket | undefined;
  readonly recipients: Set<string>;
  /** Told once, not per RCPT. */
  toldTooMany: boolean;
  refusedRecipients: number;
  reception?: Reception;
}

type Done = () => void;

export class MailConnection extends SessionConnection {
  #transaction: Transaction | undefined;
  #network: { readonly policy: Policy; readonly isAllowed: boolean } | undefined;
  #dataTimer: NodeJS.Timeout | undefined;

  override get inTransaction(): boolean {
    return this.#transaction !== undefined;
  }

  protected override get owesReply(): boolean {
    return this.committing || super.owesReply;
  }

  /** The spool is at work on a message of this client. */
  get committing(): boolean {
    return this.#transaction?.reception?.committing === true;
  }

  /** No new message from this client: 421 at once when it is idle, otherwise after its transaction. */
  shutDown(): void {
    if (this.#transaction === undefined && !this._upgrading) this.sayShuttingDown();
  }

  /** The deadline is over: 421 unless the commit runs. */
  cutOff(): void {
    if (!this.committing) this.sayShuttingDown();
  }

  protected override abandon(): void {
    if (this.committing) return;
    this.#endTransaction(false);
  }

  #endTransaction(isStored: boolean): void {
    clearTimeout(this.#dataTimer);
    const transaction = this.#transaction;
    if (transaction === undefined) return;
    this.#transaction = undefined;
    transaction.reception?.abort();
    if (!isStored && transaction.ticket !== undefined) this.context.rates.giveBack(transaction.ticket);
    this.changed();
  }

  /** The library calls it where a session starts over: EHLO, RSET, STARTTLS. */
  override _resetSession(): void {
    this.#endTransaction(false);
  }

  override handler_RSET(_command: Buffer, done: Done): void {
    this._resetSession();
    this.reply(250, '2.0.0', 'Flushed');
    if (this.context.stopping) this.sayShuttingDown();
    done();
  }

  override handler_MAIL(command: Buffer, done: Done): void {
    const refusal = this.#begin(command);
    if (refusal === undefined) this.reply(250, '2.1.0', 'Sender ok');
    else this.refuse(refusal);
    done();
  }

  /** MAIL: begins a transaction, or says why not. */
  #begin(command: Buffer): Refusal | undefined {
    if (this.#transaction !== undefined)
      return refusals.syntax(503, '5.5.1', 'A mail transaction is already open');
    const notAllowed = this.#senderRefusal();
    if (notAllowed !== undefined) return notAllowed;
    const path = parsePath(command, 'FROM');
    if ('fault' in path) return pathRefusal(path, '5.1.7');
    const declared = mailDeclaration(path);
    if ('code' in declared) return declared;
    if (path.international && !declared.smtpUtf8) return refusals.needsSmtpUtf8();
    const noRoom = this.#roomRefusal(declared.size);
    if (noRoom !== undefined) return noRoom;
    const rates = this.context.policy.config.senderRates;
    const ticket = rates && this.context.rates.take(path.address, rates, this.context.now());
    if (ticket !== undefined && 'limit' in ticket) return refusals.rateLimited(path.address, ticket);
    const { eightBit, smtpUtf8 } = declared;
    const recipients = new Set<string>();
    this.#transaction = {
      sender: path.address,
      eightBit,
      smtpUtf8,
      ticket,
      recipients,
      toldTooMany: false,
      refusedRecipients: 0,
    };
    return undefined;
  }

  #senderRefusal(): Refusal | undefined {
    const { config, accounts } = this.context.policy;
    if (this.user !== undefined) return undefined;
    if (config.requireAuth) return refusals.authenticationRequired();
    if (this.#isInAllowedNetwork()) return undefined;
    return refusals.networkNotAllowed(this.client, accounts.size > 0);
  }

  /** Looked up once per configuration: an address does not move. */
  #isInAllowedNetwork(): boolean {
    const { policy } = this.context;
    if (this.#network?.policy !== policy) {
      this.#network = { policy, isAllowed: policy.networks.includes(this.client) };
    }
    return this.#network.isAllowed;
  }

  #roomRefusal(declared: number): Refusal | undefined {
    const { policy, spool } = this.context;
    if (declared > policy.config.maxMessageBytes) return refusals.tooLarge(policy.config.maxMessageBytes);
    if (spool.failure() !== undefined) return refusals.storeFailed();
    const { low, freeBytes, reserveBytes } = spool.disk();
    return low || declared > freeBytes - reserveBytes ? refusals.diskFull() : undefined;
  }

  override handler_RCPT(command: Buffer, done: Done): void {
    const transaction = this.#transaction;
    const path = parsePath(command, 'TO');
    if (transaction === undefined) this.reply(503, '5.5.1', 'MAIL first');
    else this.#recipient(transaction, path);
    done();
  }

  #recipient(transaction: Transaction, path: MailPath | PathFault): void {
    const limit = this.context.policy.config.maxRecipients;
    const refusal = recipientRefusal(path, transaction.smtpUtf8);
    if ('fault' in path || refusal !== undefined) {
      this.refuse(refusal as Refusal);
      // A long list may hold many bad addresses: that is no reason to hang up on the good ones.
      transaction.refusedRecipients++;
      if (transaction.refusedRecipients <= limit) this.forgiveErrors(1);
    } else if (transaction.recipients.size >= limit && !transaction.recipients.has(path.address)) {
      this.#tooManyRecipients(transaction, refusals.tooManyRecipients(limit));
    } else {
      transaction.recipients.add(path.address);
      this.reply(250, '2.1.5', 'Recipient ok');
    }
  }

  #tooManyRecipients(transaction: Transaction, refusal: Refusal): void {
    if (transaction.toldTooMany) this.reply(refusal.code, refusal.enhanced, refusal.text);
    else this.refuse(refusal);
    transaction.toldTooMany = true;
  }

  override handler_DATA(command: Buffer, done: Done): void {
    const transaction = this.#transaction;
    if (command.toString('latin1').trim().length > 4) {
      this.reply(501, '5.5.4', 'DATA takes no argument');
    } else if (transaction === undefined) {
      this.reply(503, '5.5.1', 'MAIL first');
    } else if (transaction.recipients.size === 0) {
      this.reply(554, '5.5.1', 'No valid recipients');
    } else {
      this.#receive(transaction);
    }
    done();
  }

  #receive(transaction: Transaction): void {
    const reception = this.#openReception(transaction);
    if (reception === undefined) return;
    transaction.reception = reception;
    const input = this._parser as SmtpInput;
    const { dataTimeoutMs } = this.context.policy.config;
    this.#dataTimer = setTimeout(() => this.#dataTimeout(dataTimeoutMs), dataTimeoutMs).unref();
    input.receive(async chunk => {
      this.progress();
      return this.#afterStep(await reception.receive(chunk), transaction);
    });
    this.reply(354, '', 'End data with <CR><LF>.<CR><LF>');
  }

  #openReception(transaction: Transaction): Reception | undefined {
    const { policy, spool, now } = this.context;
    const { config } = policy;
    const { sender, eightBit, smtpUtf8, recipients } = transaction;
    try {
      return new Reception(spool.begin(), {
        envelope: { sender, recipients: [...recipients], eightBit, smtpUtf8 },
        trace: {
          helo: this.hostNameAppearsAs || '',
          clientAddress: this.client,
          hostname: config.hostname,
          extended: this.openingCommand === 'EHLO',
          secure: this.secure,
          authenticated: this.user !== undefined,
        },
        bareNewlines: config.bareNewlines,
        maxMessageBytes: config.maxMessageBytes,
        maxReceivedHeaders: config.maxReceivedHeaders,
        now,
      });
    } catch (error) {
      this.refuse(storeRefusal(error));
      return undefined;
    }
  }

  #dataTimeout(timeoutMs: number): void {
    if (!this.committing) this.refuse(refusals.dataTimeout(timeoutMs));
  }

  /** Answers when the message is over. Returns what lies behind it. */
  #afterStep(step: ReceptionStep, transaction: Transaction): Buffer | undefined {
    if (step.kind === 'more' || step.kind === 'abandoned') return undefined;
    if (step.kind === 'stored') this.#stored(step, transaction);
    else this.refuse(step.refusal);
    this.#endTransaction(step.kind === 'stored');
    if (step.kind === 'refused' && step.mustClose) this.close();
    if (this.context.stopping) this.sayShuttingDown();
    return step.rest;
  }

  #stored(
    step: { readonly id: MessageId; readonly size: number; readonly commitMs: number },
    transaction: Transaction,
  ): void {
    const { id, size, commitMs } = step;
    this.context.emit({
      event: 'message-accepted',
      id,
      client: this.client,
      authenticated: this.user !== undefined,
      sender: transaction.sender,
      recipients: transaction.recipients.size,
      size,
      commitMs,
    });
    this.startOver();
    this.reply(250, '2.0.0', `queued as ${id}`);
  }
}

function recipientRefusal(path: MailPath | PathFault, smtpUtf8: boolean): Refusal | undefined {
  if ('fault' in path) return pathRefusal(path, '5.1.3');
  if (path.address === '') return refusals.syntax(501, '5.1.3', 'A recipient cannot be empty');
  const fault = recipientFault(path);
  if (fault !== undefined) return fault;
  return path.international && !smtpUtf8 ? refusals.needsSmtpUtf8() : undefined;
}

function pathRefusal({ fault, part }: PathFault, addressCode: string): Refusal {
  return refusals.syntax(501, part === 'address' ? addressCode : '5.5.4', fault);
}
