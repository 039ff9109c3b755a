/**
 * The compiled configuration: what the rest of the relay reads. A person or
 * the operator writes config.json (see schema.ts); compile.ts turns that into
 * this, with every default filled in, every unit a millisecond or a byte, and
 * every credential resolved. Values here are trusted and never change: a
 * reload makes a new RelayConfig.
 */

/** A user name and password for one provider or one client of the listener. */
export interface Credentials {
  readonly username: string;
  readonly password: string;
}

/** Whether TLS to a provider is demanded, and how it is verified. */
export interface ProviderTls {
  /** No AUTH and no MAIL without TLS. Always true with `ssl` or credentials. */
  readonly required: boolean;
  /** Name checked against the certificate and sent as SNI; default: the host. */
  readonly serverName?: string;
  /** PEM certificates to trust instead of the system's. */
  readonly ca?: string;
  readonly insecureSkipVerify: boolean;
  readonly minVersion: 'TLSv1.2' | 'TLSv1.3';
}

/** What one provider is asked to carry at most. */
export interface ProviderLimits {
  readonly maxConnections: number;
  /** Messages begun per second, as a token bucket; absent = unlimited. */
  readonly messagesPerSecond?: number;
  /** Recipients in one transaction; the rest goes in further transactions. */
  readonly maxRecipientsPerMessage: number;
  /** A larger message is not offered to this provider. Absent = what EHLO SIZE says. */
  readonly maxMessageBytes?: number;
  /** A connection is closed after this many messages or this long, whichever is first. */
  readonly messagesPerConnection: number;
  readonly connectionLifetimeMs: number;
  readonly idleTimeoutMs: number;
}

/** Longest waits by stage, milliseconds (RFC 5321 section 4.5.3.2 gives the long ones). */
export interface ProviderTimeouts {
  readonly connectMs: number;
  readonly greetingMs: number;
  readonly commandMs: number;
  readonly dataBlockMs: number;
  readonly finalDotMs: number;
}

/** One SMTP provider, ready to be used. */
export interface ProviderConfig {
  /** Unique; the label in metrics, logs and status. Default: host, made unique. */
  readonly name: string;
  readonly host: string;
  readonly port: number;
  /** true = TLS from the first byte; false = STARTTLS, used when offered unless `tls.required`. */
  readonly ssl: boolean;
  readonly priority: number;
  readonly credentials?: Credentials;
  readonly tls: ProviderTls;
  readonly limits: ProviderLimits;
  readonly timeouts: ProviderTimeouts;
  /** Why this provider cannot be used although the rest of the file can (a missing password file). */
  readonly misconfigured?: string;
}

/** Tries at one provider within one round. */
export interface RetryConfig {
  readonly attempts: number;
  readonly initialDelayMs: number;
  readonly multiplier: number;
  /** How long a message waits for its preferred provider to get ready when another could be used. */
  readonly patienceMs: number;
}

/** When mail that no provider took is sent again, and when it is given up. */
export interface ResendConfig {
  readonly initialDelayMs: number;
  readonly maxDelayMs: number;
  readonly multiplier: number;
  /** Fraction by which each delay varies, 0.2 = ±20 %. */
  readonly jitter: number;
  readonly expireAfterMs: number;
  readonly deadRetentionMs: number;
  readonly deadMaxMessages: number;
  readonly deadMaxBytes: number;
  /** Send RFC 3464 bounce messages for rejected and expired recipients. */
  readonly bounces: boolean;
}

/** Per-sender rates, the original program's `rateLimits`. */
export interface SenderRates {
  readonly maxPerHour: number;
  readonly maxPerDay: number;
}

export interface ListenerConfig {
  readonly host: string;
  readonly port: number;
  /** Name in the greeting and in Received; default: the machine's. */
  readonly hostname: string;
  readonly maxMessageBytes: number;
  readonly maxRecipients: number;
  readonly maxConnections: number;
  readonly maxConnectionsPerClient: number;
  /** Client networks (CIDR) that may send without authentication. */
  readonly allowedNetworks: readonly string[];
  /** Certificate for STARTTLS; absent = not offered. */
  readonly tls?: { readonly certificate: string; readonly key: string };
  /** When the configured certificate ends, ms since 1970; 0 = it cannot be used; absent = none is configured. */
  readonly certificateEndsAt?: number;
  /** Accounts that may authenticate; empty = AUTH is not offered. */
  readonly accounts: readonly Credentials[];
  /** Refuse MAIL from clients that have not authenticated, wherever they are. */
  readonly requireAuth: boolean;
  /** Offer AUTH without TLS. */
  readonly allowClearTextAuth: boolean;
  readonly bareNewlines: 'refuse' | 'normalize';
  readonly idleTimeoutMs: number;
  /** Longest time one message's DATA may take. */
  readonly dataTimeoutMs: number;
  readonly maxReceivedHeaders: number;
  readonly senderRates?: SenderRates;
}

/** A user's addition to the table of known replies (see delivery/known-replies.ts). */
export interface ReplyRule {
  /** Stages it applies to; absent = every stage. */
  readonly stage?: string;
  readonly code?: number;
  readonly enhanced?: string;
  /** Case-insensitive text the reply contains. */
  readonly contains?: string;
  readonly meaning: ReplyMeaning;
}

/** What a known reply means, whatever its code says. */
export type ReplyMeaning =
  | 'rate-limited'
  | 'quota-exceeded'
  | 'authentication-failed'
  | 'sender-refused'
  | 'no-such-mailbox'
  | 'recipient-deferred'
  | 'policy-refused'
  | 'content-refused'
  | 'too-large'
  | 'too-many-recipients'
  | 'service-unavailable';

/** Everything the relay runs by. */
export interface RelayConfig {
  /** The master switch, `forwardSMTP`. false: accept, keep, show as held. */
  readonly forwarding: boolean;
  /** Sorted by priority, then position. Includes misconfigured ones. */
  readonly providers: readonly ProviderConfig[];
  readonly retry: RetryConfig;
  readonly resend: ResendConfig;
  readonly replyRules: readonly ReplyRule[];
  readonly listener: ListenerConfig;
  /** The directory that holds `emails/`. */
  readonly dataDir: string;
  /** dataDir is shared with other relays: this one takes a slot below it. */
  readonly sharedDataDir: boolean;
  /** This relay is to go: no new mail, what it has is sent. */
  readonly draining: boolean;
  /** A new value asks for all failed mail to be sent again. */
  readonly resendRequestedAt?: string;
  /** Free bytes below which new mail is refused; absent = by the size of the disk and maxMessageBytes (spool/disk.ts). */
  readonly diskReserveBytes?: number;
  /** Address and port of probes, /status and /metrics. port absent = off (`enableHealthCheck: false`). */
  readonly health: { readonly host: string; readonly port?: number };
  /** Loopback port of the queue operations. */
  readonly adminPort: number;
  readonly logLevel: 'debug' | 'info' | 'warn' | 'error';
  /** How long SIGTERM waits: for endpoints to notice, then for running transactions. */
  readonly shutdown: { readonly graceMs: number; readonly deadlineMs: number };
  /**
   * SHA-256 (hex, 16 characters) over the text of config.json, without
   * comments, order of keys and passwords: what the operator computes from
   * what it wrote (fingerprint.ts says more).
   */
  readonly fingerprint: string;
  /**
   * Changes whenever a password, a file that the text names (passwords, CA,
   * certificate) or an environment variable does. Keyed by random bytes of
   * this process: comparable only within it.
   */
  readonly credentialsFingerprint: string;
  /** What is odd but not wrong, one sentence each. */
  readonly warnings: readonly string[];
}
