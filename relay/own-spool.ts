/**
 * Which spool a relay gets as its own: the one in dataDir, or the first free
 * slot below it where several relays share it. A directory that another
 * process still owns is waited for as long as an orderly end of that process
 * takes; it is never taken from a process that lives.
 */
import { join } from 'node:path';
import type { RelayConfig } from './config/config.ts';
import { pause } from './delivery/pause.ts';
import type { OpenSpool, SpoolSettings } from './spool/settings.ts';
import { type OpenIn, type Slot, takeSlot } from './spool/slots.ts';
import { SpoolError } from './spool/spool.ts';
import type { Emit } from './telemetry/events.ts';

/** Between two looks at a directory that is owned; each starts a thread. */
const LOOK_MS = 500;
/** What an owner needs beyond its own deadlines: closing the database, the end of the process. */
const END_MS = 5000;
/** Below the 300 s that the startup probe of a pod allows for everything. */
const MOST_MS = 120_000;

export interface OwnSpoolDeps {
  readonly open: OpenIn;
  readonly emit: Emit;
  /** The relay was told to stop before it has started. */
  readonly stopping: AbortSignal;
}

export interface OwnSpool {
  readonly spool: OpenSpool;
  /** Its slot in a shared dataDir. */
  readonly slot?: string;
}

/** Thrown when the relay was told to stop while it waited for its directory. */
export class StoppedWaiting extends Error {
  constructor(cause: unknown) {
    super('told to stop while waiting for the spool directory', { cause });
    this.name = 'StoppedWaiting';
  }
}

/** Rejects with SpoolError, or StoppedWaiting. */
export async function openOwnSpool(config: RelayConfig, deps: OwnSpoolDeps): Promise<OwnSpool> {
  if (config.sharedDataDir) {
    const { name, spool }: Slot = await takeSlot(config.dataDir, deps.open);
    return { spool, slot: name };
  }
  const directory = join(config.dataDir, 'emails');
  return { spool: await openWhenFree(() => deps.open(directory), endingMs(config), deps) };
}

/** How long an owner with this configuration may take to end once it is told to, ms. */
function endingMs({ shutdown }: RelayConfig): number {
  return Math.min(MOST_MS, shutdown.graceMs + shutdown.deadlineMs + END_MS);
}

async function openWhenFree(
  open: () => Promise<OpenSpool>,
  waitMs: number,
  { emit, stopping }: OwnSpoolDeps,
): Promise<OpenSpool> {
  const giveUpAt = performance.now() + waitMs;
  let opened = await openedOrOwned(open);
  if (!(opened instanceof SpoolError)) return opened;
  const seconds = Math.round(waitMs / 1000);
  const message = `${opened.message}: waiting up to ${seconds} s for that process to end`;
  emit({ event: 'spool-waiting', message });
  while (performance.now() < giveUpAt) {
    if (!(await pause(LOOK_MS, stopping))) throw new StoppedWaiting(opened);
    opened = await openedOrOwned(open);
    if (!(opened instanceof SpoolError)) return opened;
  }
  throw opened;
}

/** The refusal when another process owns the directory; other errors are thrown. */
async function openedOrOwned(open: () => Promise<OpenSpool>): Promise<OpenSpool | SpoolError> {
  try {
    return await open();
  } catch (error) {
    if (error instanceof SpoolError && error.kind === 'owned') return error;
    throw error;
  }
}

/** The configuration's part of what a spool is opened with, and follows live. */
export function spoolSettings(config: RelayConfig): SpoolSettings {
  const { deadRetentionMs, deadMaxMessages, deadMaxBytes } = config.resend;
  return {
    maxMessageBytes: config.listener.maxMessageBytes,
    ...(config.diskReserveBytes === undefined ? {} : { reserveBytes: config.diskReserveBytes }),
    retention: { ageMs: deadRetentionMs, maxMessages: deadMaxMessages, maxBytes: deadMaxBytes },
  };
}
