/**
 * Kubernetes objects as they travel: plain JSON, dates as strings, reserved words unprefixed. Types only, plus
 * the two facts that every other part of the kit needs: an object's key and which of two versions is newer.
 */

export interface OwnerReference {
  apiVersion: string;
  kind: string;
  name: string;
  uid: string;
  controller?: boolean;
  blockOwnerDeletion?: boolean;
}

export interface ObjectMeta {
  name: string;
  namespace?: string;
  uid?: string;
  resourceVersion?: string;
  generation?: number;
  creationTimestamp?: string;
  deletionTimestamp?: string;
  deletionGracePeriodSeconds?: number;
  labels?: Record<string, string>;
  annotations?: Record<string, string>;
  ownerReferences?: OwnerReference[];
  finalizers?: string[];
  managedFields?: unknown[];
}

export interface KubeObject {
  apiVersion?: string;
  kind?: string;
  metadata: ObjectMeta;
}

type Unprefixed<K> = K extends `_${infer Rest}` ? Rest : K;

/**
 * A type of @kubernetes/client-node as its JSON really looks: `Date` is a string, and `_from`, `_continue`,
 * `_default` … (renamed there because of reserved words) have their own names back.
 */
export type Wire<T> = T extends Date
  ? string
  : T extends readonly (infer Item)[]
    ? Wire<Item>[]
    : T extends object
      ? { [K in keyof T as Unprefixed<K>]: Wire<T[K]> }
      : T;

/** A client-node type (`V1Deployment`) as an object of this kit: JSON shape, metadata with a name always there. */
export type Manifest<T> = Omit<Wire<T>, 'metadata' | 'apiVersion' | 'kind'> & KubeObject;

export interface ObjectList<T extends KubeObject> {
  metadata: { resourceVersion: string; continue?: string; remainingItemCount?: number };
  items: T[];
}

/** What is needed to find one object of a known kind. */
export interface ObjectRef {
  namespace?: string;
  name: string;
}

/** `namespace/name`, or `name` for an object of the whole cluster. */
export function keyOf(ref: ObjectRef): string {
  return ref.namespace ? `${ref.namespace}/${ref.name}` : ref.name;
}

/**
 * Whether resourceVersion `a` is older than `b`. Versions are etcd revisions: decimal numbers of any length that
 * only grow (declared comparable by KEP-5504). Anything else is never called older.
 */
export function isOlder(a: string | undefined, b: string | undefined): boolean {
  if (!a || !b || !/^\d+$/.test(a) || !/^\d+$/.test(b)) return false;
  return a.length === b.length ? a < b : a.length < b.length;
}
