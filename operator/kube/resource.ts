/** What a kind is called and where its objects are found, and what can be done with them. */
import type { KubeObject, ObjectList, ObjectRef } from './object.ts';
import type { Transport } from './transport.ts';

/** A kind that the API serves; `T` is the type of its objects. */
export interface Resource<T extends KubeObject = KubeObject> {
  readonly apiVersion: string;
  readonly kind: string;
  readonly plural: string;
  readonly namespaced: boolean;
  /** Carries the type only; never set. */
  readonly _object?: T;
}

/** Describes a kind; the type of its objects goes with it. */
export function defineResource<T extends KubeObject>(description: Omit<Resource<T>, '_object'>): Resource<T> {
  return description;
}

/** The path of all objects of a kind, or of those in one namespace. Throws RangeError for an impossible name. */
export function collectionPath(resource: Resource, namespace?: string): string {
  const { apiVersion, plural, namespaced } = resource;
  const base = apiVersion.includes('/') ? `/apis/${apiVersion}` : `/api/${apiVersion}`;
  if (!namespaced || !namespace) return `${base}/${plural}`;
  return `${base}/namespaces/${segment('namespace', namespace)}/${plural}`;
}

/** The path of one object. Throws RangeError when a namespaced object comes without namespace or a name is impossible. */
export function objectPath(resource: Resource, ref: ObjectRef, subresource?: string): string {
  if (resource.namespaced && !ref.namespace) {
    throw new RangeError(`${resource.kind} ${ref.name}: namespace must be given, the kind is namespaced`);
  }
  const path = `${collectionPath(resource, ref.namespace)}/${segment('name', ref.name)}`;
  return subresource ? `${path}/${subresource}` : path;
}

/** `group/plural`, or `plural` for the core group. */
export function metricName(resource: Resource): string {
  const slash = resource.apiVersion.indexOf('/');
  return slash < 0 ? resource.plural : `${resource.apiVersion.slice(0, slash)}/${resource.plural}`;
}

/** A name must be one path segment: the API's own rule (path.IsValidPathSegmentName), checked before it is sent. */
function segment(what: string, value: string): string {
  if (!value || value === '.' || value === '..' || /[/%]/.test(value)) {
    throw new RangeError(
      `${what} ${JSON.stringify(value)} must be not empty, not "." or "..", without "/" and "%"`,
    );
  }
  return encodeURIComponent(value);
}

export interface ReadOptions {
  signal?: AbortSignal | undefined;
  timeoutMs?: number;
}

export interface ListOptions extends ReadOptions {
  namespace?: string | undefined;
  labelSelector?: string | undefined;
  fieldSelector?: string | undefined;
  limit?: number;
  continue?: string | undefined;
  resourceVersion?: string;
  resourceVersionMatch?: 'Exact' | 'NotOlderThan';
  /** Ask for metadata only: objects come without spec, status and data. */
  metadataOnly?: boolean;
  retries?: number;
}

export interface WriteOptions extends ReadOptions {
  fieldManager?: string;
  dryRun?: boolean;
  subresource?: 'status' | 'scale';
}

export interface ApplyOptions extends WriteOptions {
  fieldManager: string;
  /** Take fields over from other managers; what a controller wants. Default true. */
  force?: boolean;
}

export interface DeleteOptions extends ReadOptions {
  uid?: string | undefined;
  resourceVersion?: string | undefined;
  propagation?: 'Background' | 'Foreground' | 'Orphan';
  gracePeriodSeconds?: number;
}

/** Made by `createClient` (client.ts). Every method throws ApiError or ConnectionError (api-error.ts). */
export interface KubeClient {
  get<T extends KubeObject>(resource: Resource<T>, ref: ObjectRef, options?: ReadOptions): Promise<T>;
  /** As `get`, but undefined where there is no such object. */
  find<T extends KubeObject>(
    resource: Resource<T>,
    ref: ObjectRef,
    options?: ReadOptions,
  ): Promise<T | undefined>;
  /** One page. */
  list<T extends KubeObject>(resource: Resource<T>, options?: ListOptions): Promise<ObjectList<T>>;
  create<T extends KubeObject>(resource: Resource<T>, object: T, options?: WriteOptions): Promise<T>;
  /** PUT; with `metadata.resourceVersion` set the server refuses (409) when the object has changed since. */
  replace<T extends KubeObject>(resource: Resource<T>, object: T, options?: WriteOptions): Promise<T>;
  /** Server-side apply; creates the object where it is missing. */
  apply<T extends KubeObject>(resource: Resource<T>, object: T, options: ApplyOptions): Promise<T>;
  /** JSON merge patch (RFC 7396): null removes a field. */
  mergePatch<T extends KubeObject>(
    resource: Resource<T>,
    ref: ObjectRef,
    patch: object,
    options?: WriteOptions,
  ): Promise<T>;
  /** False where there was no such object. */
  delete<T extends KubeObject>(
    resource: Resource<T>,
    ref: ObjectRef,
    options?: DeleteOptions,
  ): Promise<boolean>;
  /** Whether the server serves this kind now (discovery, one small read; not remembered). */
  serves(resource: Resource, options?: ReadOptions): Promise<boolean>;
  readonly transport: Transport;
}
