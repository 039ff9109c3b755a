/** Takes from an object what nobody reads and what is half of it, before it is kept. */
import type { KubeObject } from './object.ts';
import type { Resource } from './resource.ts';

/** An entry of managedFields as far as it is read here (metav1.ManagedFieldsEntry). */
interface ManagerEntry {
  readonly manager?: string;
  readonly operation?: string;
}

/** kubectl's copy of the whole object inside the object. */
const lastApplied = 'kubectl.kubernetes.io/last-applied-configuration';

/**
 * Changes `object`. In a LIST it comes without apiVersion and kind, of metadata alone with the wrong kind: both are set.
 * `applier`: of managedFields it is kept that this manager has applied the object, without saying which fields.
 */
export function trim<T extends KubeObject>(object: T, { apiVersion, kind }: Resource, applier?: string): T {
  object.apiVersion = apiVersion;
  object.kind = kind;
  const kept = applier !== undefined && isAppliedBy(applier, object);
  if (kept) object.metadata.managedFields = [{ manager: applier, operation: 'Apply' }];
  else delete object.metadata.managedFields;
  const annotations = object.metadata.annotations;
  if (annotations?.[lastApplied] !== undefined) {
    const { [lastApplied]: _dropped, ...rest } = annotations;
    object.metadata.annotations = rest;
  }
  return object;
}

/** The manager has applied the object (server-side apply), whatever became of it since. */
export function isAppliedBy(applier: string, { metadata }: KubeObject): boolean {
  const entries = (metadata.managedFields ?? []) as readonly ManagerEntry[];
  return entries.some(({ manager, operation }) => manager === applier && operation === 'Apply');
}
