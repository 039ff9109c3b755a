/** What reconciling works with; the same for every MailRelay. */
import type { Applier } from '../kube/apply.ts';
import type { Clock } from '../kube/clock.ts';
import type { EventRecorder } from '../kube/events.ts';
import type { KubeClient } from '../kube/resource.ts';
import type { StatusWriter } from '../kube/status.ts';
import type { BuildContext } from '../resources/context.ts';
import type { Caches } from './caches.ts';
import type { PodReports } from './pod-reports.ts';
import type { RelayGauges } from './relay-gauges.ts';
import type { SecretFactsCache } from './secret-facts.ts';

/** What builders need to know that is the same for every MailRelay. */
export type FixedContext = Pick<
  BuildContext,
  'image' | 'operatorNamespace' | 'monitoringNamespaces' | 'runbooks'
>;

export interface ReconcilerDeps {
  readonly client: KubeClient;
  readonly caches: Caches;
  readonly applier: Applier;
  readonly statusWriter: StatusWriter;
  readonly events: EventRecorder;
  readonly reports: PodReports;
  readonly gauges: RelayGauges;
  readonly secretFacts: SecretFactsCache;
  readonly clock: Clock;
  readonly mayWrite: () => boolean;
  readonly context: FixedContext;
}
