/**
 * What an API server keeps, as far as a writer can tell: objects by their paths, each with a uid and a version that
 * only grows. Refuses what the real one refuses: what is not there, a name that is taken, an older version, another
 * uid. A write that changes nothing makes no version. Less than the real one: apply merges and knows no owners.
 */
import { isDeepStrictEqual } from 'node:util';
import type { KubeObject } from '../../operator/kube/object.ts';

export interface StoreRequest {
  method: string;
  path: string;
  contentType: string | undefined;
  body: unknown;
}

export interface StoreAnswer {
  code: number;
  body: object;
}

type Fields = Record<string, unknown>;

/** Group and version, namespace, plural, name, subresource. */
const form =
  /^(\/api\/[^/]+|\/apis\/[^/]+\/[^/]+)(?:\/namespaces\/([^/]+))?\/([^/]+)(?:\/([^/]+))?(?:\/(status))?$/;

export class ObjectStore {
  /** Writes that changed something, in order: `PATCH /api/v1/namespaces/default/configmaps/x`. */
  readonly changes: string[] = [];
  readonly #objects = new Map<string, KubeObject>();
  #version = 1_000;

  get(path: string): KubeObject | undefined {
    return this.#objects.get(path);
  }

  /** Makes or changes an object as somebody else would. */
  put(path: string, object: KubeObject): KubeObject {
    const before = this.#objects.get(path);
    const version = String(++this.#version);
    const uid = before?.metadata.uid ?? object.metadata.uid ?? `uid-${version}`;
    const stored = { ...object, metadata: { ...object.metadata, uid, resourceVersion: version } };
    this.#objects.set(path, stored);
    return stored;
  }

  delete(path: string): void {
    this.#objects.delete(path);
  }

  answer(request: StoreRequest): StoreAnswer {
    const [, version, namespace, plural, name, subresource] = form.exec(request.path) ?? [];
    if (plural === undefined) return refusal(404, 'NotFound');
    const collection = `${version}${namespace === undefined ? '' : `/namespaces/${namespace}`}/${plural}`;
    if (name === undefined) {
      return request.method === 'POST' ? this.#create(collection, request) : this.#list(collection);
    }
    const path = `${collection}/${name}`;
    const before = this.#objects.get(path);
    const refused = refusalOf(request, before);
    if (refused) return refused;
    if (request.method === 'GET') return { code: 200, body: before! };
    if (request.method === 'DELETE') return this.#remove(path, request);
    return this.#write(path, request, subresource === 'status');
  }

  #create(collection: string, request: StoreRequest): StoreAnswer {
    const object = request.body as KubeObject;
    const path = `${collection}/${object.metadata.name}`;
    if (this.#objects.has(path)) return refusal(409, 'AlreadyExists');
    this.changes.push(`${request.method} ${request.path}`);
    return { code: 201, body: this.put(path, object) };
  }

  /** Also of all namespaces. */
  #list(collection: string): StoreAnswer {
    const isIn = (path: string): boolean => {
      const own = path.slice(0, path.lastIndexOf('/'));
      return own === collection || own.replace(/\/namespaces\/[^/]+/, '') === collection;
    };
    const items = [...this.#objects].filter(([path]) => isIn(path)).map(([, object]) => object);
    return { code: 200, body: { kind: 'List', metadata: { resourceVersion: String(this.#version) }, items } };
  }

  #remove(path: string, request: StoreRequest): StoreAnswer {
    this.changes.push(`${request.method} ${request.path}`);
    this.#objects.delete(path);
    return { code: 200, body: { kind: 'Status', status: 'Success' } };
  }

  #write(path: string, request: StoreRequest, status: boolean): StoreAnswer {
    const before = this.#objects.get(path);
    const wish = request.body as KubeObject & { status?: object };
    const patch: object = status ? { status: wish.status } : wish;
    const after = request.method === 'PUT' ? patch : merged(before ?? {}, patch);
    const metadata = { ...(after as KubeObject).metadata, ...(before && versionOf(before)) };
    const object = { ...after, metadata } as KubeObject;
    if (before && isDeepStrictEqual(object, before)) return { code: 200, body: before };
    this.changes.push(`${request.method} ${request.path}`);
    return { code: before ? 200 : 201, body: this.put(path, object) };
  }
}

function versionOf({ metadata: { uid, resourceVersion } }: KubeObject): object {
  return { uid, resourceVersion };
}

/** Why the object cannot be read or written so, if it cannot. */
function refusalOf(request: StoreRequest, before: KubeObject | undefined): StoreAnswer | undefined {
  const { metadata, preconditions } = (request.body ?? {}) as { metadata?: Fields; preconditions?: Fields };
  const conditions = (request.method === 'DELETE' ? preconditions : metadata) ?? {};
  if (before) return holds(conditions, before) ? undefined : refusal(409, 'Conflict');
  if (request.contentType !== 'application/apply-patch+yaml') return refusal(404, 'NotFound');
  return conditions['uid'] ? refusal(409, 'Conflict') : undefined;
}

/** What is empty demands nothing. */
function holds(conditions: Fields, { metadata }: KubeObject): boolean {
  return (['uid', 'resourceVersion'] as const).every(
    name => !conditions[name] || conditions[name] === metadata[name],
  );
}

function refusal(code: number, reason: string): StoreAnswer {
  return { code, body: { kind: 'Status', status: 'Failure', code, reason, message: `refused: ${reason}` } };
}

/** RFC 7396. */
function merged(into: unknown, patch: object): object {
  const before: Fields = isMap(into) ? into : {};
  const changed = Object.entries(patch).map(([name, value]) => [
    name,
    isMap(value) ? merged(before[name], value) : value,
  ]);
  const all: Fields = { ...before, ...Object.fromEntries(changed) };
  return Object.fromEntries(Object.entries(all).filter(([, value]) => value !== null));
}

function isMap(value: unknown): value is Fields {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
