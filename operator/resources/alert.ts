/** What an alert on relays is, and whom it is about: one relay, or all of them at once. */
import type { MailRelaySpec } from '../api/schema.ts';
import { countedWithinAnHour } from './counted.ts';

/** critical: mail is being lost or refused, or soon will be. warning: look today. info: somebody should know. */
export type Severity = 'critical' | 'warning' | 'info';

export interface Alert {
  readonly name: string;
  readonly expression: string;
  /** How long it must hold, as Prometheus writes it. */
  readonly hold: string;
  readonly severity: Severity;
  readonly summary: string;
  readonly description: string;
}

/** What alerts are about: one relay, or all. */
export interface AlertSubject {
  /** Names the relay to people: `namespace/name`. */
  readonly where: string;
  /** A metric of its pods, with further matchers. */
  readonly select: (metric: string, ...matchers: readonly string[]) => string;
  /** When the process of each of its pods began. */
  readonly started: string;
  /** Is true while no pod of it can be reached; absent when it is to have none, or none that Prometheus reads. */
  readonly unreachable?: string;
  /** Is true of a pod of it that cannot be reached; absent when Prometheus reads none. */
  readonly podUnreachable?: string;
  readonly resend: Pick<MailRelaySpec['resend'], 'expireAfterSeconds' | 'maxDelaySeconds'>;
}

/** What the pods have counted within the last hour, summed by these labels. */
export function counted(
  { select, started }: AlertSubject,
  [metric, ...matchers]: readonly [metric: string, ...matchers: string[]],
  by: string,
): string {
  return `sum by (${by}) (${countedWithinAnHour(select(metric, ...matchers), started)})`;
}
