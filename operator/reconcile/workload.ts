/** The Deployment or StatefulSet of a MailRelay as the cache shows it, and what is read of it. */
import type { MailRelay } from '../api/mail-relay.ts';
import { annotations } from '../api/names.ts';
import { manifestHash } from '../kube/apply.ts';
import type { KubeObject } from '../kube/object.ts';
import type { KubeClient, Resource } from '../kube/resource.ts';
import type { BuildContext } from '../resources/context.ts';
import { deployment } from '../resources/deployment.ts';
import { type Deployment, deployments, type StatefulSet, statefulSets } from '../resources/kinds.ts';
import { childNames } from '../resources/names.ts';
import { statefulSet } from '../resources/stateful-set.ts';
import type { Caches } from './caches.ts';
import type { WorkloadState } from './observation.ts';
import { isOwnWorkload } from './ownership.ts';
import type { WorkloadVersion } from './volume-marks.ts';

/**
 * The one that the spool mode asks for, an orphan that is to be adopted included. One of the name that is somebody
 * else's, a copy of ours included, or an earlier MailRelay's, says nothing of our mail.
 */
export function liveWorkload(relay: MailRelay, caches: Caches): Deployment | StatefulSet | undefined {
  return ourOwn(relay, cachedWorkload(relay, caches));
}

/** The same, whoever it belongs to. */
export function cachedWorkload(relay: MailRelay, caches: Caches): Deployment | StatefulSet | undefined {
  return caches.of(workloadResource(relay), relay.namespace)?.get(workloadRef(relay));
}

export function liveStatefulSet(relay: MailRelay, caches: Caches): StatefulSet | undefined {
  return ourOwn(relay, caches.of<StatefulSet>(statefulSets, relay.namespace)?.get(workloadRef(relay)));
}

function ourOwn<T extends KubeObject>(relay: MailRelay, live: T | undefined): T | undefined {
  return live !== undefined && isOwnWorkload(relay, live) ? live : undefined;
}

/** Of one that is ours. */
export function workloadVersion(live: Deployment | StatefulSet | undefined): WorkloadVersion | undefined {
  if (live === undefined) return undefined;
  const { uid = '', generation = 0 } = live.metadata;
  return { uid, generation, replicas: live.spec?.replicas ?? 0 };
}

/** Whoever it belongs to, as the API server has it: for a last word that a cache which is behind must not have. */
export function workloadNow(
  relay: MailRelay,
  client: Pick<KubeClient, 'find'>,
): Promise<Deployment | StatefulSet | undefined> {
  return client.find(workloadResource(relay), workloadRef(relay));
}

/** The kind of it. */
export function workloadResource({ spec: { spool } }: MailRelay): Resource<Deployment | StatefulSet> {
  return spool.mode === 'PerReplica' ? statefulSets : deployments;
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

/**
 * The workload when somebody else has lowered its replicas; undefined = nobody has. What the operator itself changes
 * has another hash than what it applied last.
 */
export function loweredBehind(
  relay: MailRelay,
  context: BuildContext,
  caches: Caches,
): { readonly what: string; readonly to: number } | undefined {
  const live = liveWorkload(relay, caches);
  const to = live?.spec?.replicas ?? 0;
  if (live === undefined || to >= context.replicas) return undefined;
  const { mode } = relay.spec.spool;
  const wanted = mode === 'PerReplica' ? statefulSet(relay, context) : deployment(relay, context);
  if (live.metadata.annotations?.[annotations.appliedHash] !== manifestHash(wanted)) return undefined;
  return { what: `${wanted.kind} ${wanted.metadata.name}`, to };
}

function workloadRef(relay: MailRelay): { name: string; namespace: string } {
  return { name: childNames(relay).workload, namespace: relay.namespace };
}
