import type { Clock } from './clock.ts';
import type { KubeClient } from './resource.ts';

export interface LeaderElectionOptions {
  client: KubeClient;
  namespace: string;
  name: string;
  /** Unique to this process: default host name and a random part. */
  identity?: string;
  leaseDurationMs?: number;
  renewDeadlineMs?: number;
  retryPeriodMs?: number;
  /** Called each time leadership begins; `signal` aborts when it ends. */
  onStarted: (signal: AbortSignal) => void;
  /** Called each time leadership ends. */
  onStopped: (why: 'lost' | 'released') => void;
  onError?: (error: Error) => void;
  clock?: Clock;
  random?: () => number;
}

export interface LeaderElection {
  readonly identity: string;
  start(): void;
  /** To be asked before each write: computed from the clock, so a stalled process gets `false` before any timer ran. */
  isLeader(): boolean;
  /** Who holds the lease, as last seen. */
  readonly holder: string | undefined;
  /** Time since the last successful renewal while leading; for the liveness probe. */
  sinceRenewalMs(): number | undefined;
  /** Gives the lease back (so that another takes it within a retry period) and ends. Drain writers first. */
  stop(): Promise<void>;
}

export declare function createLeaderElection(options: LeaderElectionOptions): LeaderElection;
