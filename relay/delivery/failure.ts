/**
 * The vocabulary of what can go wrong between the relay and a provider: where
 * (stage), how (fault), and what the provider said (reply). Facts only; what
 * follows from them is decided in judge.ts.
 */

import { replyLine } from './reply.ts';

/** In the order of a session. `dot` is everything from the final dot on. */
export type Stage =
  | 'dns'
  | 'connect'
  | 'tls'
  | 'greeting'
  | 'ehlo'
  | 'starttls'
  | 'auth'
  | 'mail'
  | 'rcpt'
  | 'data'
  | 'body'
  | 'dot';

/**
 * reply       the provider answered, and not 2xx/3xx
 * timeout     it did not answer in the stage's time
 * lost        the connection ended or was refused
 * garbled     what it sent is not an SMTP reply
 * certificate TLS could not be verified or set up
 * not-offered the provider lacks what this needs (STARTTLS, AUTH, SMTPUTF8, SIZE)
 * local       our own body could not be read: not the provider's doing
 */
export type Fault = 'reply' | 'timeout' | 'lost' | 'garbled' | 'certificate' | 'not-offered' | 'local';

/** A reply as RFC 5321 section 4.2 and RFC 3463 structure it. */
export interface Reply {
  readonly code: number;
  /** `5.1.1`, when the text began with one. */
  readonly enhanced?: string;
  /** Without code and enhanced code; lines joined by a space; control characters escaped; at most 512 characters. */
  readonly text: string;
}

/** One thing that went wrong. */
export interface Failure {
  readonly stage: Stage;
  readonly fault: Fault;
  readonly reply?: Reply;
  /** For people and logs, without the stage; never contains credentials or message content. */
  readonly message: string;
  /** What the log says besides, and no sender is told: it may name a file of ours. */
  readonly detail?: string;
}

/** Rejection of opening a session. Thrown when connecting, TLS, greeting, EHLO or AUTH fails. */
export class SessionError extends Error {
  readonly failure: Failure;
  constructor(failure: Failure, cause?: unknown) {
    super(describe(failure), { cause });
    this.name = 'SessionError';
    this.failure = failure;
  }
}

/** For people: `550 5.1.1 No such user`, or `connect: connection refused`. What is our own doing has no stage of a provider's. */
export function describe({ fault, reply, stage, message }: Failure): string {
  if (fault === 'local') return message;
  // A reply that came out of place may be a 250: what was wrong with it says the message.
  return fault === 'reply' && reply !== undefined ? replyLine(reply) : `${stage}: ${message}`;
}

/** For the log: all that is known beside a reply. */
export function account({ message, detail }: Failure): string {
  return detail === undefined ? message : `${message}: ${detail}`;
}
