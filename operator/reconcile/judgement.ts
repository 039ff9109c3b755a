/** A condition before it has a time and a generation. */
import type { ConditionReason, ConditionType } from '../api/conditions.ts';

export interface Judgement<T extends ConditionType = ConditionType> {
  readonly status: 'True' | 'False' | 'Unknown';
  readonly reason: ConditionReason<T>;
  readonly message: string;
}

/** What Ready sums up. */
export interface Judged {
  readonly ConfigurationValid: Judgement<'ConfigurationValid'>;
  readonly CredentialsAvailable: Judgement<'CredentialsAvailable'>;
  readonly ProvidersHealthy: Judgement<'ProvidersHealthy'>;
  readonly SpoolHealthy: Judgement<'SpoolHealthy'>;
  /** undefined = absent, as kstatus wants abnormal conditions. */
  readonly Reconciling: Judgement<'Reconciling'> | undefined;
  readonly Stalled: Judgement<'Stalled'> | undefined;
}
