/**
 * Server-side apply that writes only when it must. Two questions, both answered from the cache: is what we want
 * another thing than what we last applied (a hash of the manifest in an annotation: this finds fields that we
 * stopped wanting, which a comparison cannot see), and is anything of it missing or changed in the live object (a
 * comparison of our fields only: this finds foreign edits and leaves what others own alone)? The hash was chosen
 * over managedFields because those are as large as the objects and would have to be kept in memory for each.
 */
import { createHash } from 'node:crypto';
import { differences, type FieldDifference } from './compare.ts';
import { withoutExcluded } from './excluded-fields.ts';
import { type KubeObject, keyOf, type ObjectMeta } from './object.ts';
import type { KubeClient, Resource } from './resource.ts';

/** Why an apply is needed; `path` is the first difference found, for the log. */
export type Difference = { kind: 'missing' } | { kind: 'wanted-changed' } | { kind: 'drifted'; path: string };

/**
 * Whether `wanted` must be applied over `live`. Pure. Undefined = nothing to do.
 * `wanted` is the manifest without the hash annotation; differences for which `accept` says yes do not count.
 */
export function needsApply(
  wanted: KubeObject,
  live: KubeObject | undefined,
  hashAnnotation: string,
  accept: (difference: FieldDifference) => boolean = () => false,
): Difference | undefined {
  if (!live) return { kind: 'missing' };
  if (live.metadata.annotations?.[hashAnnotation] !== manifestHash(wanted)) return { kind: 'wanted-changed' };
  const drift = differences(wanted, live).find(difference => !accept(difference));
  return drift && { kind: 'drifted', path: drift.path };
}

/** 16 hex digits that stay the same whatever the order of keys; undefined values count as absent. */
export function manifestHash(manifest: KubeObject): string {
  return createHash('sha256').update(canonicalJson(manifest)).digest('hex').slice(0, 16);
}

function canonicalJson(value: unknown): string {
  return JSON.stringify(value, (_key, inner: unknown) =>
    inner && typeof inner === 'object' && !Array.isArray(inner)
      ? Object.fromEntries(Object.entries(inner).sort(([a], [b]) => (a < b ? -1 : 1)))
      : inner,
  );
}

/** Thrown instead of a write when `mayWrite` says no. */
export class NotLeaderError extends Error {
  override readonly name = 'NotLeaderError';

  constructor() {
    super('not written: this process does not lead (any more)');
  }
}

export interface ApplierOptions {
  client: KubeClient;
  fieldManager: string;
  /** Annotation that keeps the hash of the manifest last applied: `example.com/applied-hash`. */
  hashAnnotation: string;
  /** Asked right before each write; false → NotLeaderError. */
  mayWrite?: () => boolean;
  /** Told of a difference that stays after an apply: the server writes this field in another way than we do. */
  onStubborn?: (resource: Resource, key: string, path: string) => void;
}

export type ApplyOutcome<T> =
  | { outcome: 'unchanged'; object: T }
  | { outcome: 'created' | 'updated'; object: T; difference: Difference };

export interface ApplierCall {
  signal?: AbortSignal | undefined;
  /** Only over this very version of `live`: whatever was written since is a conflict. For what is not ours yet. */
  exactly?: boolean;
}

export interface Applier {
  /**
   * Makes `live` (from a cache, undefined = absent) what `wanted` says; writes only when it must. Throws ApiError,
   * ConnectionError, NotLeaderError; a conflict when there is an object although `live` is undefined, or another
   * one than `live`: neither is touched. Give the answer to the informer's `observe`, so that the next look sees it.
   */
  apply<T extends KubeObject>(
    resource: Resource<T>,
    wanted: T,
    live: T | undefined,
    call?: ApplierCall,
  ): Promise<ApplyOutcome<T>>;
  /** Deletes this object and no other of its name (uid precondition); false when it was gone. */
  remove<T extends KubeObject>(resource: Resource<T>, live: T, call?: ApplierCall): Promise<boolean>;
}

export function createApplier(options: ApplierOptions): Applier {
  return new ServerSideApplier(options);
}

/** etcd's first revision, written before there was an API server. */
const neverAVersion = '1';
/** Stubborn fields remembered; more than a program with a few kinds can have. */
const stubbornKept = 1_000;

class ServerSideApplier implements Applier {
  readonly #options: ApplierOptions;
  /**
   * What the server was seen to write in its own way right after an apply: kind, path, wanted and live value.
   * Without this a normalisation that compare.ts does not know would be applied again at every look, for ever.
   */
  readonly #stubborn = new Set<string>();

  constructor(options: ApplierOptions) {
    this.#options = options;
  }

  async apply<T extends KubeObject>(
    resource: Resource<T>,
    wanted: T,
    live: T | undefined,
    call: ApplierCall = {},
  ): Promise<ApplyOutcome<T>> {
    const { client, fieldManager, hashAnnotation } = this.#options;
    const difference = needsApply(wanted, live, hashAnnotation, found =>
      this.#stubborn.has(stubbornKey(resource, found)),
    );
    if (live && !difference) return { outcome: 'unchanged', object: live };
    this.#guard();
    const hashed = withAnnotation(wanted, hashAnnotation, manifestHash(wanted));
    const object = await client
      .apply(resource, onlyTo(hashed, live, call), { fieldManager, signal: call.signal })
      .catch(error => this.#applyWithoutExcluded(resource, hashed, { ...call, error, live }));
    this.#noteStubborn(resource, wanted, object);
    return { outcome: live ? 'updated' : 'created', object, difference: difference ?? { kind: 'missing' } };
  }

  async remove<T extends KubeObject>(
    resource: Resource<T>,
    live: T,
    call: ApplierCall = {},
  ): Promise<boolean> {
    this.#guard();
    const options = { ...versionOf(live, call), signal: call.signal };
    return this.#options.client.delete(resource, live.metadata, options);
  }

  /** The second try of an apply that a foreign field beside ours made impossible; throws `error` when none did. */
  async #applyWithoutExcluded<T extends KubeObject>(
    resource: Resource<T>,
    hashed: T,
    refused: ApplierCall & { error: unknown; live: T | undefined },
  ): Promise<T> {
    const { error, live, signal } = refused;
    const patch = live && withoutExcluded(hashed, error);
    if (!patch) throw error;
    const { client, fieldManager } = this.#options;
    this.#guard();
    const guarded = { ...patch, metadata: versionOf(live, refused) };
    const patched = await client.mergePatch(resource, live.metadata, guarded, { fieldManager, signal });
    this.#guard();
    return client.apply(resource, onlyTo(hashed, patched, refused), { fieldManager, signal });
  }

  #guard(): void {
    if (this.#options.mayWrite?.() === false) throw new NotLeaderError();
  }

  #noteStubborn(resource: Resource, wanted: KubeObject, applied: KubeObject): void {
    for (const found of differences(wanted, applied)) {
      if (this.#stubborn.size >= stubbornKept) this.#stubborn.clear();
      this.#stubborn.add(stubbornKey(resource, found));
      this.#options.onStubborn?.(resource, keyOf(applied.metadata), found.path);
    }
  }
}

function stubbornKey(resource: Resource, { path, wanted, live }: FieldDifference): string {
  return JSON.stringify([resource.kind, path, wanted, live]);
}

/**
 * The server applies it to that object alone, or to none: an object with another uid is a conflict, and with a
 * resourceVersion that no object has any object is one, while a missing object is created. Saves a read before.
 */
function onlyTo<T extends KubeObject>(manifest: T, live: T | undefined, call: ApplierCall): T {
  const condition = live ? versionOf(live, call) : { resourceVersion: neverAVersion };
  return { ...manifest, metadata: { ...manifest.metadata, ...condition } };
}

/** What a write names so that it is for that object alone, or for that version of it alone. */
function versionOf(
  { metadata: { uid = '', resourceVersion = '' } }: KubeObject,
  { exactly = false }: ApplierCall,
): Pick<ObjectMeta, 'uid' | 'resourceVersion'> {
  return exactly ? { uid, resourceVersion } : { uid };
}

function withAnnotation<T extends KubeObject>(object: T, name: string, value: string): T {
  const annotations = { ...object.metadata.annotations, [name]: value };
  return { ...object, metadata: { ...object.metadata, annotations } };
}
