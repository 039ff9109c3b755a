/**
 * One ready connection to a provider, as the rest of delivery sees it:
 * greeted, encrypted as configured, authenticated. connection.ts makes them.
 */
import type { ProviderConfig } from '../config/config.ts';
import type { Failure, Reply } from './failure.ts';

/** What one transaction carries. */
export interface TransactionEnvelope {
  readonly sender: string;
  readonly recipients: readonly string[];
  readonly eightBit: boolean;
  readonly smtpUtf8: boolean;
  readonly size: number;
}

/** A message body in canonical form (CRLF lines), whole or in order. */
export type Body = Buffer | AsyncIterable<Buffer>;

/** Everything a provider said in one transaction, nothing judged. */
export interface TransactionReport {
  /** The answer to each RCPT, in the order of the envelope; undefined = never answered. */
  readonly recipients: readonly (Reply | undefined)[];
  /** The 2xx answer to the final dot: the accepted recipients are delivered. */
  readonly accepted?: Reply;
  /**
   * What ended the transaction early. Absent when `accepted` is there, and when
   * every recipient was refused. stage 'dot' with fault timeout, lost or garbled
   * means: the body and the final dot were handed to the network and no answer
   * came. Nobody can know.
   */
  readonly failure?: Failure;
  /** The connection failed before the provider answered anything in this transaction. */
  readonly unanswered: boolean;
}

/** Called with positions in the envelope; must not throw. */
export type AtDot = (accepted: readonly number[]) => void;

/** A connection in the state in which MAIL may be sent. */
export interface Session {
  /** How many transactions it has carried. */
  readonly transactions: number;
  /** false once it failed, was closed by the peer, or was told 421. */
  readonly usable: boolean;
  /** For how long nothing has come on it, and nothing can have been on its way out, ms. */
  readonly quietMs: number;
  /**
   * Runs one transaction. Never rejects: whatever happens is in the report. Not
   * re-entrant. `atDot` hears, right before the final dot leaves, the positions
   * of the recipients that the provider accepted: from then on it may take the
   * mail for them.
   */
  transact(envelope: TransactionEnvelope, body: Body, atDot?: AtDot): Promise<TransactionReport>;
  /** NOOP; false when the provider did not answer 2xx in time. */
  noop(): Promise<boolean>;
  /** QUIT politely, at most 2 s, then close. */
  quit(): Promise<void>;
  /** Closes at once. */
  destroy(): void;
  /** Called once when the connection ends while idle. */
  onClose(listener: () => void): void;
}

/** Opens sessions. Rejects with SessionError. `signal` abandons the attempt. */
export type OpenSession = (provider: ProviderConfig, signal: AbortSignal) => Promise<Session>;
