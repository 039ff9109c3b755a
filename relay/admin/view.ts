/**
 * What the HTTP endpoints and the command line are told by the program. All
 * structural: main.ts hands in functions over the other parts, which admin
 * never imports. Functions without a promise must answer at once, from memory.
 */
import type { DiskState } from '../spool/disk.ts';
import type { QueueCounts } from '../spool/message.ts';
import type { Spool } from '../spool/spool.ts';

/** One provider as people see it. Optional fields may also be undefined. */
export interface ProviderView {
  readonly name: string;
  readonly host: string;
  readonly port: number;
  readonly priority: number;
  /** active, standby, cooling, failing, suspended, misconfigured. */
  readonly state: string;
  /** Milliseconds since the epoch at which it entered that state. */
  readonly since: number;
  /** One word from a fixed list; '' when all is well. */
  readonly reason: string;
  /** A sentence; '' when all is well. Never contains credentials or a mail address. */
  readonly message: string;
  readonly lastSuccessAt?: number | undefined;
  readonly connections: number;
}

/** Where mail comes in. */
export interface ListenerView {
  readonly host: string;
  readonly port: number;
  /** Clients connected now. */
  readonly connections: number;
  /** Whether new clients may hand in mail: no more at the end of the grace time of one that is to go. */
  readonly accepts: boolean;
}

/** The running relay, for probes, /status and /metrics. */
export interface RelayView {
  readonly version: string;
  /** The machine's name, by which `draining` in the configuration calls this relay. */
  readonly host: string;
  /** Milliseconds since the epoch. */
  readonly startedAt: number;
  readonly phase: () => 'starting' | 'running' | 'stopping';
  /** The configuration in force; undefined before the first one. */
  readonly config: () =>
    | {
        readonly fingerprint: string;
        readonly credentialsFingerprint: string;
        readonly forwarding: boolean;
        /** It is to go: it takes no new mail and sends what it has. */
        readonly draining: boolean;
        readonly warnings: readonly string[];
      }
    | undefined;
  /** The last configuration that was refused, unless a later one was accepted. `at`: milliseconds since the epoch. */
  readonly lastConfigError: () => { readonly at: number; readonly errors: readonly string[] } | undefined;
  /** In the order in which they are tried. */
  readonly providers: () => readonly ProviderView[];
  readonly counts: () => QueueCounts;
  /** Things in emails/quarantine; undefined: nobody knows. */
  readonly quarantined: () => number | undefined;
  readonly disk: () => DiskState;
  /** Why the store is no longer trusted, or undefined. */
  readonly spoolFailure: () => string | undefined;
  readonly listener: () => ListenerView;
}

export interface MetricsSource {
  readonly contentType: string;
  render(): Promise<string>;
}

/** The queue as the admin API works on it: the spool's own methods. */
export type QueueStore = Pick<Spool, 'list' | 'resend' | 'hold' | 'unhold' | 'remove' | 'read' | 'adopt'>;

export type ReloadResult =
  | { readonly ok: true; readonly fingerprint: string; readonly warnings: readonly string[] }
  | { readonly ok: false; readonly errors: readonly string[] };

/** What logging in to one provider without sending gave. */
export interface VerifyResult {
  readonly provider: string;
  readonly host: string;
  readonly port: number;
  readonly ok: boolean;
  /** `logged in as …` or what went wrong. Never contains a password. */
  readonly message: string;
  readonly durationMs: number;
}

/** What the loopback API can do. */
export interface AdminOperations {
  readonly queue: QueueStore;
  /** Called after an operation changed the queue, to wake delivery and to log it. */
  readonly changed: (operation: QueueOperation, count: number) => void;
  readonly reload: () => Promise<ReloadResult>;
  readonly verify: () => Promise<readonly VerifyResult[]>;
}

export type QueueOperation = 'resend' | 'hold' | 'release' | 'delete' | 'import';
