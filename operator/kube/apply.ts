import type { KubeObject } from './object.ts';
import type { KubeClient, Resource } from './resource.ts';

/** Why an apply is needed; `path` is the first difference found, for the log. */
export type Difference = { kind: 'missing' } | { kind: 'wanted-changed' } | { kind: 'drifted'; path: string };

/**
 * Whether `wanted` must be applied over `live`. Pure. Undefined = nothing to do.
 * `wanted` is the manifest without the hash annotation.
 */
export declare function needsApply(
  wanted: KubeObject,
  live: KubeObject | undefined,
  hashAnnotation: string,
): Difference | undefined;

export interface ApplierOptions {
  client: KubeClient;
  fieldManager: string;
  /** Annotation that keeps the hash of the manifest last applied: `example.com/applied-hash`. */
  hashAnnotation: string;
  /** Asked right before each write; false → NotLeaderError. */
  mayWrite?: () => boolean;
}

export type ApplyOutcome<T> =
  | { outcome: 'unchanged'; object: T }
  | { outcome: 'created' | 'updated'; object: T; difference: Difference };

export interface Applier {
  /** Makes `live` (from a cache, undefined = absent) what `wanted` says; writes only when it must. */
  apply<T extends KubeObject>(
    resource: Resource<T>,
    wanted: T,
    live: T | undefined,
    signal?: AbortSignal,
  ): Promise<ApplyOutcome<T>>;
  /** Deletes exactly this object (uid precondition); false when it was gone. */
  remove<T extends KubeObject>(resource: Resource<T>, live: T, signal?: AbortSignal): Promise<boolean>;
}

export declare function createApplier(options: ApplierOptions): Applier;
