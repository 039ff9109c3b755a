/** What every connection of one listener shares. */
import type { Spool } from '../spool/spool.ts';
import type { Emit } from '../telemetry/events.ts';
import type { ConnectionCount } from './connection-count.ts';
import type { Policy } from './policy.ts';
import type { SenderRateLimit } from './sender-rates.ts';

export interface ListenerContext {
  readonly spool: Spool;
  readonly emit: Emit;
  /** Milliseconds since the epoch. */
  readonly now: () => number;
  readonly rates: SenderRateLimit;
  readonly admitted: ConnectionCount;
  /** The configuration in force; changes on reload. */
  policy: Policy;
  /** STARTTLS can be offered. */
  offersTls: boolean;
  /** No new messages. */
  stopping: boolean;
}
