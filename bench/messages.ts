/** What the benchmark's processes tell each other. Values only. */
import type { ProviderCounters } from '../test/smtp/provider.ts';

/** What a load process is to send. */
export interface LoadOrder {
  readonly host: string;
  readonly port: number;
  readonly connections: number;
  /** One connection for many messages, or one each. */
  readonly kept: boolean;
  /** Size of a message. */
  readonly bytes: number;
  /** Whichever comes first ends it. */
  readonly seconds?: number;
  readonly messages?: number;
}

export interface LoadResult {
  readonly accepted: number;
  readonly refused: number;
  readonly firstRefusal?: string;
  /** Date.now() before the first byte. */
  readonly startedAt: number;
  readonly endedAt: number;
  /** From the last byte of a message handed to the kernel to its 250. */
  readonly p50Ms: number;
  readonly p99Ms: number;
}

/** What a sink process is. */
export interface SinkOrder {
  readonly tls: boolean;
  readonly users?: Readonly<Record<string, string>>;
  /** Accepts connections and never says a word. */
  readonly silent?: boolean;
  /** Begins without listening. */
  readonly down?: boolean;
}

export type SinkRequest = 'counters' | 'down' | 'up';

export interface SinkState {
  readonly port: number;
  /** PEM of the authority to trust. */
  readonly ca: string;
  readonly counters: ProviderCounters;
}

/** What the baseline program is started with, as JSON in its first argument. */
export interface BaselineOrder {
  readonly port: number;
  readonly directory: string;
  readonly provider: { readonly host: string; readonly port: number };
  readonly login?: { readonly user: string; readonly pass: string; readonly ca: string };
}
