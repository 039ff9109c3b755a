/**
 * One transaction on a ready connection: MAIL, RCPT, DATA, body, dot. Reports
 * each recipient's own reply whatever happens later, tells what was surely not
 * delivered from what nobody can know, and judges nothing.
 *
 * With PIPELINING the whole envelope leaves in one write (RFC 2920 section
 * 3.1); otherwise command by command.
 */
import type { ProviderTimeouts } from '../config/config.ts';
import { type BodyResult, sendBody, unreadable } from './body.ts';
import type { Capabilities } from './capabilities.ts';
import type { Answer, Channel } from './channel.ts';
import type { Failure, Reply, Stage } from './failure.ts';
import { mailCommand, obstacle, rcptCommand, unspeakable } from './mail-commands.ts';
import { replyLine } from './reply.ts';
import type { AtDot, Body, TransactionEnvelope, TransactionReport } from './session.ts';

/** What a transaction runs on. */
export interface Wire {
  readonly channel: Channel;
  readonly capabilities: Capabilities;
  readonly timeouts: ProviderTimeouts;
}

/** What the connection is good for afterwards: the next MAIL, the next after RSET, nothing. */
export type Afterwards = 'ready' | 'reset' | 'close';

export interface Concluded {
  readonly report: TransactionReport;
  readonly afterwards: Afterwards;
}

/** Runs it. Never rejects. */
export async function runTransaction(
  wire: Wire,
  envelope: TransactionEnvelope,
  body: Body,
  atDot?: AtDot,
): Promise<Concluded> {
  const transaction = new Transaction(wire, envelope);
  const ended = await transaction.envelopePhase();
  return ended ?? transaction.bodyPhase(body, atDot);
}

const positive = ({ code }: Reply): boolean => code >= 200 && code < 300;
const negative = ({ code }: Reply): boolean => code >= 400;
const closing = ({ code }: Reply): boolean => code === 421;

class Transaction {
  readonly #wire: Wire;
  readonly #envelope: TransactionEnvelope;
  readonly #recipients: (Reply | undefined)[];
  /** The provider has answered something. */
  #answered = false;

  constructor(wire: Wire, envelope: TransactionEnvelope) {
    this.#wire = wire;
    this.#envelope = envelope;
    this.#recipients = envelope.recipients.map(address => unspeakable(address, 'recipient'));
  }

  /** Up to the go-ahead for the body: undefined = 354, and somebody to send it to. */
  async envelopePhase(): Promise<Concluded | undefined> {
    const { capabilities } = this.#wire;
    const local = obstacle(this.#envelope, capabilities);
    if (local !== undefined) return this.#end(local, 'ready');
    const asked = this.#asked();
    if (asked.length === 0) return this.#end(undefined, 'ready');
    if (capabilities.pipelining) this.#sendAll(asked);
    return (await this.#mail(asked)) ?? (await this.#rcpts(asked)) ?? this.#data();
  }

  /** The body and what is said to its dot. */
  async bodyPhase(body: Body, atDot: AtDot = () => undefined): Promise<Concluded> {
    const { channel, timeouts } = this.#wire;
    const result = await sendBody(channel, body, timeouts.dataBlockMs, () => atDot(this.#accepted()));
    if (result.kind !== 'sent') return this.#unsent(result);
    const answer = await channel.next(timeouts.finalDotMs);
    if (answer.silence !== undefined) return this.#silent('dot', answer);
    const { reply } = answer;
    if (positive(reply)) return this.#end(undefined, 'ready', reply);
    return this.#refused('dot', reply, 'ready');
  }

  /** Positions of the recipients that can be asked about. */
  #asked(): number[] {
    return [...this.#recipients.keys()].filter(index => this.#recipients[index] === undefined);
  }

  #accepted(): number[] {
    return [...this.#recipients.keys()].filter(index => {
      const reply = this.#recipients[index];
      return reply !== undefined && positive(reply);
    });
  }

  #rcptLine(index: number): string {
    return rcptCommand(this.#envelope.recipients[index] ?? '');
  }

  #mailLine(): string {
    return mailCommand(this.#envelope, this.#wire.capabilities);
  }

  #sendAll(asked: readonly number[]): void {
    const lines = [this.#mailLine(), ...asked.map(index => this.#rcptLine(index)), 'DATA\r\n'];
    this.#wire.channel.write(lines.join(''));
  }

  /** The answer to a command, which is sent now unless all were sent at once. */
  async #ask(line: () => string): Promise<Answer> {
    const { channel, capabilities, timeouts } = this.#wire;
    if (!capabilities.pipelining) channel.write(line());
    const answer = await channel.next(timeouts.commandMs);
    if (answer.reply !== undefined) this.#answered = true;
    return answer;
  }

  async #mail(asked: readonly number[]): Promise<Concluded | undefined> {
    const answer = await this.#ask(() => this.#mailLine());
    if (answer.silence !== undefined) return this.#silent('mail', answer);
    const { reply } = answer;
    if (positive(reply)) return undefined;
    if (!negative(reply) || closing(reply)) return this.#refused('mail', reply, 'close');
    const afterwards = this.#wire.capabilities.pipelining ? await this.#discard(asked.length) : 'ready';
    return this.#refused('mail', reply, afterwards);
  }

  /**
   * After a refused MAIL: the answers to the RCPTs and the DATA sent along say
   * nothing. A server that takes DATA all the same cannot be trusted to take
   * our next MAIL for a command.
   */
  async #discard(rcpts: number): Promise<Afterwards> {
    const { channel, timeouts } = this.#wire;
    for (let left = rcpts; left >= 0; left--) {
      const { reply } = await channel.next(timeouts.commandMs);
      if (reply === undefined || closing(reply)) return 'close';
      if (left === 0) return negative(reply) ? 'ready' : 'close';
    }
    return 'close';
  }

  async #rcpts(asked: readonly number[]): Promise<Concluded | undefined> {
    for (const index of asked) {
      const answer = await this.#ask(() => this.#rcptLine(index));
      if (answer.silence !== undefined) return this.#silent('rcpt', answer);
      const { reply } = answer;
      if (!positive(reply) && !negative(reply)) return this.#refused('rcpt', reply, 'close');
      this.#recipients[index] = reply;
      if (closing(reply)) return this.#refused('rcpt', reply, 'close');
    }
    return undefined;
  }

  async #data(): Promise<Concluded | undefined> {
    if (this.#accepted().length === 0) return this.#end(undefined, await this.#dataForNobody());
    const answer = await this.#ask(() => 'DATA\r\n');
    if (answer.silence !== undefined) return this.#silent('data', answer);
    const { reply } = answer;
    if (reply.code >= 300 && reply.code < 400) return undefined;
    return this.#refused('data', reply, 'reset');
  }

  /** Every recipient was refused. A pipelined DATA is answered nevertheless, and with 354 wants its dot. */
  async #dataForNobody(): Promise<Afterwards> {
    const { channel, capabilities, timeouts } = this.#wire;
    if (!capabilities.pipelining) return 'reset';
    const { reply } = await channel.next(timeouts.commandMs);
    if (reply === undefined || closing(reply) || positive(reply)) return 'close';
    if (negative(reply)) return 'reset';
    channel.write('.\r\n');
    const last = await channel.next(timeouts.finalDotMs);
    return last.reply === undefined || closing(last.reply) ? 'close' : 'ready';
  }

  #unsent(result: Exclude<BodyResult, { kind: 'sent' }>): Concluded {
    if (result.kind === 'unreadable') return this.#end(unreadable(result.error), 'close');
    const { by } = result;
    return by.silence === undefined ? this.#refused('body', by.reply, 'close') : this.#silent('body', by);
  }

  #silent(stage: Stage, { silence }: Extract<Answer, { reply?: undefined }>): Concluded {
    const { fault, message } = silence;
    return this.#end({ stage, fault, message }, 'close');
  }

  /** Ended by a reply: a refusal, or one that has no place here. */
  #refused(stage: Stage, reply: Reply, afterwards: Afterwards): Concluded {
    if (!negative(reply)) {
      const message = `answered out of place with ${replyLine(reply)}`;
      return this.#end({ stage, fault: 'garbled', reply, message }, 'close');
    }
    const message = `refused: ${replyLine(reply)}`;
    return this.#end({ stage, fault: 'reply', reply, message }, closing(reply) ? 'close' : afterwards);
  }

  #end(failure: Failure | undefined, afterwards: Afterwards, accepted?: Reply): Concluded {
    const broken = failure?.fault === 'lost' || failure?.fault === 'timeout';
    return {
      afterwards,
      report: {
        recipients: this.#recipients,
        unanswered: broken && !this.#answered,
        ...(failure === undefined ? {} : { failure }),
        ...(accepted === undefined ? {} : { accepted }),
      },
    };
  }
}
