/**
 * Connecting and logging in, with what goes wrong as a value: for connections
 * that are to carry mail, and for probes, which never do.
 */
import type { ReplyRule } from '../config/config.ts';
import { describe, type Failure, SessionError } from './failure.ts';
import type { ProbeResult } from './health-watch.ts';
import { judge } from './judge.ts';
import type { Session } from './session.ts';

export type Opened =
  | { readonly session: Session }
  | { readonly session?: undefined; readonly failure: Failure };

/** Never rejects: an unforeseen error counts as a lost connection. */
export async function tryToOpen(open: () => Promise<Session>): Promise<Opened> {
  try {
    return { session: await open() };
  } catch (error) {
    if (error instanceof SessionError) return { failure: error.failure };
    const message = error instanceof Error ? error.message : String(error);
    return { failure: { stage: 'connect', fault: 'lost', message } };
  }
}

/** Logs in, says NOOP and QUIT. Resolves with why that failed, judged, or undefined. */
export async function probeLogin(
  open: () => Promise<Session>,
  rules: readonly ReplyRule[],
): Promise<ProbeResult> {
  const failure = await failureOf(await tryToOpen(open));
  if (failure === undefined) return undefined;
  return { verdict: judge(failure, { acceptedBefore: 0 }, rules), message: describe(failure) };
}

async function failureOf(opened: Opened): Promise<Failure | undefined> {
  const { session } = opened;
  if (session === undefined) return opened.failure;
  const answered = await session.noop();
  void session.quit();
  return answered ? undefined : { stage: 'ehlo', fault: 'timeout', message: 'NOOP was not answered' };
}
