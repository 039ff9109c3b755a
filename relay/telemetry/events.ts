/**
 * The catalogue of events: everything the relay tells about itself, one type
 * each. A part calls `emit`; log.ts makes a line of it, metrics.ts counts it.
 * Names are stable: dashboards, alerts and people's searches rest on them.
 * No event holds message content or credentials. Addresses of
 * senders and recipients appear only in the events about one mail; what is told
 * of a provider names none.
 */

/** Usable states of a provider; the order is that of seriousness. */
export type ProviderState = 'active' | 'standby' | 'cooling' | 'failing' | 'suspended' | 'misconfigured';

export type AttemptOutcome = 'delivered' | 'partial' | 'failed' | 'refused' | 'ambiguous';

/** Whose fault a failure is taken to be, and so how far it reaches. */
export type FailureClass =
  | 'network'
  | 'tls'
  | 'protocol'
  | 'service'
  | 'authentication'
  | 'rate'
  | 'sender'
  | 'mailbox'
  | 'policy'
  | 'content'
  | 'size'
  | 'unknown'
  | 'local'
  | 'none';

/** Why the listener turned something away. */
export type RefusalReason =
  | 'network-not-allowed'
  | 'authentication-required'
  | 'authentication-failed'
  | 'too-many-connections'
  | 'too-many-recipients'
  | 'too-large'
  | 'rate-limited'
  | 'bare-newline'
  | 'loop'
  | 'syntax'
  | 'timeout'
  | 'disk-full'
  | 'store-failed'
  | 'shutting-down';

export interface Accepted {
  readonly event: 'message-accepted';
  readonly id: string;
  readonly client: string;
  /** The client had logged in; as whom is not told. */
  readonly authenticated: boolean;
  readonly sender: string;
  readonly recipients: number;
  readonly size: number;
  /** From the last byte of the message to its commit. */
  readonly commitMs: number;
}

export interface Refused {
  readonly event: 'message-refused';
  readonly reason: RefusalReason;
  readonly client: string;
  /** The reply given: `552 5.3.4 …`. */
  readonly reply: string;
}

/** One try at one provider: of a message (id given) or of its connection. */
export interface Attempt {
  readonly event: 'attempt';
  readonly id?: string;
  readonly provider: string;
  readonly host: string;
  readonly try: number;
  /** How many tries the provider gets in a round; absent = not said. */
  readonly tries?: number;
  readonly recipients: number;
  readonly stage: string;
  readonly outcome: AttemptOutcome;
  readonly class: FailureClass;
  readonly code?: number;
  readonly enhanced?: string;
  readonly reply?: string;
  readonly durationMs: number;
  /** When the same provider is tried again; absent = not in this round. */
  readonly retryInMs?: number;
}

export interface RecipientSettled {
  readonly event: 'recipient-delivered' | 'recipient-rejected' | 'recipient-expired';
  readonly id: string;
  readonly recipient: string;
  readonly provider?: string;
  readonly reply?: string;
  /** From acceptance to now. */
  readonly delayMs: number;
}

export interface Ambiguous {
  readonly event: 'delivery-ambiguous';
  readonly id: string;
  readonly provider: string;
  readonly recipients: number;
  readonly message: string;
}

export interface Failover {
  readonly event: 'failover';
  readonly id: string;
  readonly from: string;
  readonly to: string;
  readonly reason: string;
}

export interface ProviderChanged {
  readonly event: 'provider-state';
  readonly provider: string;
  readonly state: ProviderState;
  readonly previous: ProviderState;
  readonly reason: string;
  readonly message: string;
}

/** A provider refuses messages with as many recipients as it is configured to take. */
export interface RecipientLimitFound {
  readonly event: 'recipient-limit-found';
  readonly provider: string;
  /** What it is given from now on. */
  readonly recipients: number;
  readonly configured: number;
  /** How it refused more. */
  readonly reply: string;
}

/** A background probe of a provider that is out of use. */
export interface Probed {
  readonly event: 'provider-probe';
  readonly provider: string;
  readonly ok: boolean;
  readonly message: string;
  readonly nextInMs?: number;
}

export interface RoundFailed {
  readonly event: 'round-failed';
  readonly id: string;
  readonly rounds: number;
  readonly pending: number;
  readonly dueInMs: number;
  readonly reason: string;
}

export interface MessageDead {
  readonly event: 'message-dead';
  readonly id: string;
  readonly reason: string;
}

export interface DrainStarted {
  readonly event: 'drain-started';
  readonly reason: string;
  readonly messages: number;
}

export interface ConfigLoaded {
  readonly event: 'config-loaded';
  readonly fingerprint: string;
  readonly providers: readonly string[];
  readonly warnings: readonly string[];
}

export interface ConfigRejected {
  readonly event: 'config-rejected';
  readonly errors: readonly string[];
}

export interface SpoolEvent {
  readonly event:
    | 'spool-recovered'
    | 'spool-adopted'
    | 'spool-waiting'
    | 'spool-failed'
    | 'spool-trouble'
    | 'spool-quarantined'
    | 'disk-low'
    | 'disk-recovered'
    | 'dead-removed'
    | 'queue-operation';
  readonly message: string;
  readonly count?: number;
}

export interface ProgramEvent {
  readonly event: 'started' | 'stopping' | 'stopped';
  readonly message: string;
}

export interface ClientError {
  readonly event: 'client-error';
  readonly client: string;
  readonly message: string;
}

/** An exception that nobody foresaw while a request over HTTP was answered. */
export interface OperationFailed {
  readonly event: 'operation-failed';
  readonly reference: string;
  readonly message: string;
}

export type RelayEvent =
  | Accepted
  | Refused
  | Attempt
  | RecipientSettled
  | Ambiguous
  | Failover
  | ProviderChanged
  | RecipientLimitFound
  | Probed
  | RoundFailed
  | MessageDead
  | DrainStarted
  | ConfigLoaded
  | ConfigRejected
  | SpoolEvent
  | ProgramEvent
  | ClientError
  | OperationFailed;

/** How every part tells. Must not throw and must not block. */
export type Emit = (event: RelayEvent) => void;
