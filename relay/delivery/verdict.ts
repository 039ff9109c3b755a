/**
 * What a failure means: whose fault it is, whether to try again, and where.
 * The stage decides the scope, the reply decides how long. Pure.
 */
import type { ReplyRule } from '../config/config.ts';
import type { FailureClass } from '../telemetry/events.ts';
import type { Failure, Reply } from './failure.ts';

export type ProviderEffect = 'none' | 'strike' | 'soft-strike' | 'suspend' | 'cool-down';

export interface Verdict {
  readonly class: FailureClass;
  /** May the same provider be tried again in this round? */
  readonly again: 'retry' | 'rest-now' | 'no';
  /** May the next provider be tried in this round? */
  readonly next: boolean;
  /** This provider has refused it for good; when every configured provider did, the recipient ends. */
  readonly refused: boolean;
  /** Ends the recipient at once, whatever other providers would say. */
  readonly ends: boolean;
  /** Nobody can know whether it was delivered. */
  readonly ambiguous: boolean;
  readonly effect: ProviderEffect;
  /** Wait named by the provider (ms), if any. */
  readonly waitMs?: number;
}

export interface JudgeContext {
  /** RCPTs accepted before in the same transaction. */
  readonly acceptedBefore: number;
}

export function judge(failure: Failure, context: JudgeContext, rules: readonly ReplyRule[]): Verdict {
  void context;
  void rules;
  return {
    class: failure.fault === 'local' ? 'local' : 'network',
    again: 'retry',
    next: true,
    refused: false,
    ends: false,
    ambiguous: false,
    effect: 'strike',
  };
}

/** 5xx: the sender must not repeat it unchanged (RFC 5321 section 4.2.1). */
export function isPermanent(reply: Reply): boolean {
  return reply.code >= 500 && reply.code <= 599;
}

/** For people: `550 5.1.1 No such user`, or `connect: connection refused`. */
export function describe(failure: Failure): string {
  const { reply, stage, message } = failure;
  if (reply === undefined) return `${stage}: ${message}`;
  return [reply.code, reply.enhanced, reply.text].filter(part => part !== undefined).join(' ');
}
