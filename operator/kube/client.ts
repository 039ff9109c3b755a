/**
 * Reads and writes objects of any kind by their description: paths, verbs, patch types and queries of the API.
 * Decides nothing; every method throws what the transport throws.
 */
import { isNotFound } from './api-error.ts';
import type { KubeObject, ObjectList, ObjectRef } from './object.ts';
import {
  type ApplyOptions,
  collectionPath,
  type DeleteOptions,
  type KubeClient,
  type ListOptions,
  metricName,
  objectPath,
  type ReadOptions,
  type Resource,
  type WriteOptions,
} from './resource.ts';
import type { ApiRequest, Transport, Verb } from './transport.ts';

/** The API server's name for a metadata-only answer; the plain type after it serves what cannot give one. */
export const partialList =
  'application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1,application/json';
export const partialObject = 'application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1,application/json';

export function createClient(transport: Transport): KubeClient {
  return new TransportClient(transport);
}

class TransportClient implements KubeClient {
  readonly transport: Transport;

  constructor(transport: Transport) {
    this.transport = transport;
  }

  get<T extends KubeObject>(resource: Resource<T>, ref: ObjectRef, options: ReadOptions = {}): Promise<T> {
    return this.transport.request<T>({
      ...common(resource, 'get', options),
      method: 'GET',
      path: objectPath(resource, ref),
    });
  }

  async find<T extends KubeObject>(
    resource: Resource<T>,
    ref: ObjectRef,
    options: ReadOptions = {},
  ): Promise<T | undefined> {
    try {
      return await this.get(resource, ref, options);
    } catch (error) {
      if (isNotFound(error)) return undefined;
      throw error;
    }
  }

  async list<T extends KubeObject>(resource: Resource<T>, options: ListOptions = {}): Promise<ObjectList<T>> {
    const page = await this.transport.request<Omit<ObjectList<T>, 'items'> & { items: T[] | null }>({
      ...common(resource, 'list', options),
      method: 'GET',
      path: collectionPath(resource, options.namespace),
      query: {
        labelSelector: options.labelSelector,
        fieldSelector: options.fieldSelector,
        limit: options.limit,
        continue: options.continue,
        resourceVersion: options.resourceVersion,
        resourceVersionMatch: options.resourceVersionMatch,
      },
      ...(options.metadataOnly && { accept: partialList }),
      ...(options.retries !== undefined && { retries: options.retries }),
    });
    // An empty list of metadata comes as null; anything else that is no list is for the caller to find.
    return page.items === null ? { ...page, items: [] } : { ...page, items: page.items };
  }

  create<T extends KubeObject>(resource: Resource<T>, object: T, options: WriteOptions = {}): Promise<T> {
    return this.transport.request<T>({
      ...common(resource, 'create', options),
      method: 'POST',
      path: collectionPath(resource, object.metadata.namespace),
      query: writeQuery(options),
      body: typed(resource, object),
    });
  }

  replace<T extends KubeObject>(resource: Resource<T>, object: T, options: WriteOptions = {}): Promise<T> {
    return this.transport.request<T>({
      ...common(resource, 'update', options),
      method: 'PUT',
      path: objectPath(resource, object.metadata, options.subresource),
      query: writeQuery(options),
      body: typed(resource, object),
    });
  }

  apply<T extends KubeObject>(resource: Resource<T>, object: T, options: ApplyOptions): Promise<T> {
    return this.transport.request<T>({
      ...common(resource, 'apply', options),
      method: 'PATCH',
      path: objectPath(resource, object.metadata, options.subresource),
      query: { ...writeQuery(options), force: options.force ?? true },
      // JSON is YAML; servers before 1.32 know no application/apply-patch+json.
      contentType: 'application/apply-patch+yaml',
      body: typed(resource, object),
    });
  }

  mergePatch<T extends KubeObject>(
    resource: Resource<T>,
    ref: ObjectRef,
    patch: object,
    options: WriteOptions = {},
  ): Promise<T> {
    return this.transport.request<T>({
      ...common(resource, 'patch', options),
      method: 'PATCH',
      path: objectPath(resource, ref, options.subresource),
      query: writeQuery(options),
      contentType: 'application/merge-patch+json',
      body: patch,
    });
  }

  async delete<T extends KubeObject>(
    resource: Resource<T>,
    ref: ObjectRef,
    options: DeleteOptions = {},
  ): Promise<boolean> {
    const { uid, resourceVersion, propagation, gracePeriodSeconds } = options;
    try {
      await this.transport.request({
        ...common(resource, 'delete', options),
        method: 'DELETE',
        path: objectPath(resource, ref),
        body: {
          apiVersion: 'v1',
          kind: 'DeleteOptions',
          propagationPolicy: propagation ?? 'Background',
          gracePeriodSeconds,
          ...((uid || resourceVersion) && { preconditions: { uid, resourceVersion } }),
        },
      });
      return true;
    } catch (error) {
      if (isNotFound(error)) return false;
      throw error;
    }
  }

  async serves(resource: Resource, options: ReadOptions = {}): Promise<boolean> {
    try {
      const { resources } = await this.transport.request<{ resources?: { name: string }[] }>({
        ...common(resource, 'get', options),
        method: 'GET',
        path: resource.apiVersion.includes('/')
          ? `/apis/${resource.apiVersion}`
          : `/api/${resource.apiVersion}`,
      });
      return (resources ?? []).some(entry => entry.name === resource.plural);
    } catch (error) {
      if (isNotFound(error)) return false;
      throw error;
    }
  }
}

function common(resource: Resource, verb: Verb, options: ReadOptions): Pick<ApiRequest, 'verb' | 'resource'> {
  const { signal, timeoutMs } = options;
  return {
    verb,
    resource: metricName(resource),
    ...(signal && { signal }),
    ...(timeoutMs !== undefined && { timeoutMs }),
  };
}

function writeQuery(options: WriteOptions): Record<string, string | undefined> {
  return { fieldManager: options.fieldManager, dryRun: options.dryRun ? 'All' : undefined };
}

/** An object is not always built or cached with its type; the API wants it in every body. */
function typed<T extends KubeObject>(resource: Resource<T>, object: T): T {
  return { ...object, apiVersion: resource.apiVersion, kind: resource.kind };
}
