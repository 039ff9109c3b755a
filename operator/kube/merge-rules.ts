/**
 * How server-side apply merges the fields of the kinds that this program writes: what has one owner for each part, and
 * what is one value with one owner. As the API's schema marks it (x-kubernetes-list-type, -list-map-keys and -map-type
 * in /openapi/v3); test/kube/merge-rules.test.ts compares every field of these kinds with a real API server's. Pure.
 */

/** A field: the kind of its object and the names from the top; list items are `[key]`. */
export interface FieldPlace {
  readonly kind: string;
  readonly path: readonly string[];
}

/** Lists that are merged item by item, with the fields that identify an item. All others are atomic. */
const podLists: Record<string, readonly string[]> = {
  containers: ['name'],
  initContainers: ['name'],
  ephemeralContainers: ['name'],
  volumes: ['name'],
  env: ['name'],
  volumeMounts: ['mountPath'],
  volumeDevices: ['devicePath'],
  ports: ['containerPort', 'protocol'],
  imagePullSecrets: ['name'],
  hostAliases: ['ip'],
  topologySpreadConstraints: ['topologyKey', 'whenUnsatisfiable'],
  resourceClaims: ['name'],
  claims: ['name'],
  schedulingGates: ['name'],
};
const metadataLists: Record<string, readonly string[]> = { ownerReferences: ['uid'], finalizers: [] };
const listsOfKind: Record<string, Record<string, readonly string[]>> = {
  Service: { ports: ['port', 'protocol'] },
  ServiceAccount: { secrets: ['name'] },
  // Of a CRD: its schema is not the API server's.
  PrometheusRule: { groups: ['name'] },
};

/** Maps and structs that are one value: selectors, and references to other objects. All others are merged by key. */
const atomicMaps = new Set([
  'selector',
  'podSelector',
  'labelSelector',
  'nodeSelector',
  'requiredDuringSchedulingIgnoredDuringExecution',
  'configMapKeyRef',
  'secretKeyRef',
  'fileKeyRef',
  'fieldRef',
  'resourceFieldRef',
  'secretRef',
  'nodePublishSecretRef',
  'dataSource',
]);
/** Lists that are merged item by item, and whose items are one value each. */
const listsOfAtomicItems = new Set(['ownerReferences', 'imagePullSecrets', 'secrets']);

/** The fields that identify an item of this list, none for a set of scalars; undefined: the list is atomic. */
export function listKeys({ kind, path }: FieldPlace): readonly string[] | undefined {
  const name = path.at(-1) ?? '';
  if (path.at(-2) === 'metadata') return metadataLists[name];
  const inPod = kind === 'Pod' || path.includes('template');
  return inPod ? podLists[name] : listsOfKind[kind]?.[name];
}

/** Whether this map, or struct, is one value: all of it is its one owner's. */
export function isAtomicMap({ path }: FieldPlace): boolean {
  const name = path.at(-1) ?? '';
  return atomicMaps.has(name) || (name.startsWith('[') && listsOfAtomicItems.has(path.at(-2) ?? ''));
}
