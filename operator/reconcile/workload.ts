/** The Deployment or StatefulSet of a MailRelay as the cache shows it, and what is read of it. */
import type { MailRelay } from '../api/mail-relay.ts';
import { type Deployment, deployments, type StatefulSet, statefulSets } from '../resources/kinds.ts';
import { childNames } from '../resources/names.ts';
import type { Caches } from './caches.ts';
import type { WorkloadState } from './observation.ts';

/** The one that the spool mode asks for. */
export function liveWorkload(relay: MailRelay, caches: Caches): Deployment | StatefulSet | undefined {
  if (relay.spec.spool.mode === 'PerReplica') return liveStatefulSet(relay, caches);
  return caches.of<Deployment>(deployments)?.get(workloadRef(relay));
}

export function liveStatefulSet(relay: MailRelay, caches: Caches): StatefulSet | undefined {
  return caches.of<StatefulSet>(statefulSets)?.get(workloadRef(relay));
}

export function workloadState({ status, spec, metadata }: Deployment | StatefulSet): WorkloadState {
  return {
    desired: spec?.replicas ?? 0,
    replicas: status?.replicas ?? 0,
    ready: status?.readyReplicas ?? 0,
    updated: status?.updatedReplicas ?? 0,
    observed: (status?.observedGeneration ?? 0) >= (metadata.generation ?? 0),
  };
}

function workloadRef(relay: MailRelay): { name: string; namespace: string } {
  return { name: childNames(relay).workload, namespace: relay.namespace };
}
