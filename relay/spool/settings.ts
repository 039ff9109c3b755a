/** What a spool is opened with, and what of it may change while it is open. */
import type { Emit } from '../telemetry/events.ts';
import { MAX_BODY_BYTES, type Retention } from './protocol.ts';
import { type Spool, SpoolError } from './spool.ts';

/** What may be changed while the spool is open. */
export interface SpoolSettings {
  /** Largest message the listener takes, bytes; at most 1 GiB. */
  readonly maxMessageBytes: number;
  /** Free bytes below which new mail is refused; absent: see reserveBytes() in disk.ts. */
  readonly reserveBytes?: number;
  /** Dead messages beyond any of these are removed by sweep(). */
  readonly retention: Retention;
}

export interface SpoolOptions extends SpoolSettings {
  /** <dataDir>/emails; made when missing. */
  readonly directory: string;
  /** Milliseconds since the epoch; may step. */
  readonly now: () => number;
  readonly emit: Emit;
  /** Entry of the store's thread; tests put one with faults in its place. */
  readonly worker?: URL;
}

/** A spool whose settings follow the live configuration. */
export interface OpenSpool extends Spool {
  configure(settings: SpoolSettings): void;
}

/** Throws when a value is beyond what the store can hold. */
export function checkSettings(settings: SpoolSettings): void {
  if (settings.maxMessageBytes <= MAX_BODY_BYTES) return;
  throw new SpoolError(
    'io',
    `maxMessageBytes is ${settings.maxMessageBytes}; the spool holds messages of at most ${MAX_BODY_BYTES} bytes`,
  );
}
