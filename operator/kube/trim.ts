/** Takes from an object what nobody reads and what is half of it, before it is kept. */
import type { KubeObject } from './object.ts';
import type { Resource } from './resource.ts';

/** kubectl's copy of the whole object inside the object. */
const lastApplied = 'kubectl.kubernetes.io/last-applied-configuration';

/** Changes `object`. In a LIST it comes without apiVersion and kind, of metadata alone with the wrong kind: both are set. */
export function trim<T extends KubeObject>(object: T, { apiVersion, kind }: Resource): T {
  object.apiVersion = apiVersion;
  object.kind = kind;
  delete object.metadata.managedFields;
  const annotations = object.metadata.annotations;
  if (annotations?.[lastApplied] !== undefined) {
    const { [lastApplied]: _dropped, ...rest } = annotations;
    object.metadata.annotations = rest;
  }
  return object;
}
