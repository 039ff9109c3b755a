/**
 * What metrics.ts asks the running relay when it is scraped. Structural: the
 * program hands in functions over its parts; telemetry imports none of them.
 * Every function must answer at once, from memory.
 */
import type { ProviderState } from './events.ts';

export type CountedState = 'active' | 'failed' | 'held' | 'dead';

export interface CountedQueue {
  readonly messages: number;
  readonly bytes: number;
  /** Milliseconds since the epoch; absent when there is none. */
  readonly oldestReceivedAt?: number | undefined;
}

export interface MetricsReaders {
  readonly counts: () => Readonly<Record<CountedState, CountedQueue>>;
  readonly disk: () => { readonly freeBytes: number; readonly reserveBytes: number };
  /** Every configured provider; a name that is no longer here loses its series. */
  readonly providers: () => readonly {
    readonly name: string;
    readonly state: ProviderState;
    /** Open connections, in use or idle. */
    readonly connections: number;
  }[];
  /** Client connections now open. */
  readonly listenerConnections: () => number;
  /** Of the configuration in force; undefined before the first one. */
  readonly fingerprint: () => string | undefined;
  /** The master switch, forwardSMTP. */
  readonly forwarding: () => boolean;
  /** Whether the configuration that was read last was refused, and the one before stays. */
  readonly configRefused: () => boolean;
  /** When the listener's certificate ends, ms since 1970; 0 when it cannot be used, undefined when none is configured. */
  readonly certificateEndsAt: () => number | undefined;
  /** Why the store is no longer trusted, or undefined. */
  readonly spoolFailure: () => string | undefined;
  readonly version: string;
  /** Default Date.now. */
  readonly now?: () => number;
}
