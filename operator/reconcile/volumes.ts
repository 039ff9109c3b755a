/**
 * The claims of a MailRelay: bound or not, growing, or deleted under a running
 * pod. Shared claims grow by being applied (apply-children.ts); those of
 * replicas are made by the StatefulSet and grown here.
 */
import type { MailRelay } from '../api/mail-relay.ts';
import { fieldManager } from '../api/names.ts';
import type { HeldVolume } from '../api/schema-status.ts';
import { ApiError } from '../kube/api-error.ts';
import { NotLeaderError } from '../kube/apply.ts';
import { type KubeObject, keyOf } from '../kube/object.ts';
import { parseQuantity } from '../kube/quantity.ts';
import type { KubeClient } from '../kube/resource.ts';
import { type PersistentVolumeClaim, persistentVolumeClaims } from '../resources/kinds.ts';
import { childNames, isVolumeName, ordinalOf, replicaClaim } from '../resources/names.ts';
import type { Caches } from './caches.ts';
import type { VolumeState } from './observation.ts';
import { whose } from './ownership.ts';

export interface VolumesDeps {
  readonly caches: Caches;
  readonly client: KubeClient;
  readonly mayWrite: () => boolean;
}

/** Every claim of the relay that there is. */
export function claimsOf(relay: MailRelay, caches: Caches): PersistentVolumeClaim[] {
  return namedClaims(relay, caches).filter(claim => isClaimOf(relay, claim));
}

/**
 * Also those of the other spool mode, and those that go with an earlier MailRelay of the name. A claim of another name
 * is somebody else's, whatever labels it has.
 */
export function namedClaims(relay: MailRelay, caches: Caches): PersistentVolumeClaim[] {
  const labelled = caches.of(persistentVolumeClaims, relay.namespace)?.byIndex('relay', keyOf(relay)) ?? [];
  return labelled.filter(
    claim => isVolumeName(relay, claim.metadata.name) && whose(relay, claim) !== 'foreign',
  );
}

/** It is one that pods of this MailRelay mount. */
export function isClaimOf(relay: MailRelay, { metadata: { name } }: KubeObject): boolean {
  const isShared = name === childNames(relay).claim;
  return relay.spec.spool.mode === 'Shared' ? isShared : !isShared && isVolumeName(relay, name);
}

/** A workload with that many replicas has a pod on it. */
export function isServedBy(relay: MailRelay, replicas: number, claim: KubeObject): boolean {
  if (!isClaimOf(relay, claim)) return false;
  if (relay.spec.spool.mode === 'Shared') return replicas > 0;
  const ordinal = ordinalOf(relay, claim.metadata.name);
  return ordinal !== undefined && ordinal < replicas;
}

/** The claim that a pod mounts, or, with mode Shared, that any pod would. */
export function claimOfPod(relay: MailRelay, pod: string): string {
  const ordinal = relay.spec.spool.mode === 'PerReplica' ? ordinalOf(relay, pod) : undefined;
  return ordinal === undefined ? childNames(relay).claim : replicaClaim(relay, ordinal);
}

/** Whoever wrote to it mounted it first. */
export function isBound({ status }: PersistentVolumeClaim): boolean {
  return status?.phase === 'Bound' || status?.phase === 'Lost';
}

/** What the claim of mode Shared asks for now; undefined = there is none. */
export function sharedClaimSize(relay: MailRelay, caches: Caches): string | undefined {
  const ref = { name: childNames(relay).claim, namespace: relay.namespace };
  return requested(caches.of(persistentVolumeClaims, relay.namespace)?.get(ref));
}

/** Grows the claims of replicas where spec.spool.size asks for more. Resolves with the refusal, if any. */
export async function growReplicaClaims(relay: MailRelay, deps: VolumesDeps): Promise<string | undefined> {
  if (relay.spec.spool.mode !== 'PerReplica') return undefined;
  const storage = String(relay.spec.spool.size);
  for (const claim of claimsOf(relay, deps.caches)) {
    if (!isLarger(storage, requested(claim))) continue;
    if (!deps.mayWrite()) throw new NotLeaderError();
    const refused = await grow(claim, storage, deps);
    if (refused !== undefined) return refused;
  }
  return undefined;
}

async function grow(
  { metadata }: PersistentVolumeClaim,
  storage: string,
  { client, caches }: VolumesDeps,
): Promise<string | undefined> {
  const patch = { spec: { resources: { requests: { storage } } } };
  try {
    const grown = await client.mergePatch(persistentVolumeClaims, metadata, patch, { fieldManager });
    caches.of(persistentVolumeClaims, metadata.namespace)?.observe(grown);
    return undefined;
  } catch (error) {
    if (error instanceof ApiError && (error.code === 403 || error.code === 422)) return error.message;
    throw error;
  }
}

/** How the volumes are. `refused`: the storage class's words to a growth. */
export function volumeState(
  relay: MailRelay,
  claims: readonly PersistentVolumeClaim[],
  refused: string | undefined,
  held: readonly HeldVolume[],
): VolumeState {
  const pending = claims
    .filter(({ status }) => status?.phase !== 'Bound')
    .map(({ metadata }) => metadata.name);
  const resize = resizeState(relay, claims, refused);
  const going = claims.filter(({ metadata }) => metadata.deletionTimestamp !== undefined);
  return {
    pending,
    held,
    ...(resize !== undefined && { resize }),
    ...(going.length > 0 && { going: going.map(goingSentence).join('; ') }),
  };
}

/** Kubernetes takes no deletion back, but waits with it as long as a pod has the claim mounted. */
function goingSentence({ metadata: { name }, spec }: PersistentVolumeClaim): string {
  const volume =
    spec?.volumeName === undefined ? 'its PersistentVolume' : `PersistentVolume ${spec.volumeName}`;
  return `${name} has been deleted, and goes with the mail on it when its pod ends: keep the pod running, set persistentVolumeReclaimPolicy of ${volume} to Retain, and delete the pod when its queue is empty: a new claim is made then`;
}

function resizeState(
  relay: MailRelay,
  claims: readonly PersistentVolumeClaim[],
  refused: string | undefined,
): VolumeState['resize'] {
  if (refused !== undefined) return { reason: 'ResizeRefused', message: refused };
  const wanted = String(relay.spec.spool.size);
  for (const claim of claims) {
    const { name } = claim.metadata;
    const asks = requested(claim);
    if (asks !== undefined && isLarger(asks, wanted)) {
      const message = `${name} has ${asks} and stays so: spool.size ${wanted} is less, and a volume cannot shrink`;
      return { reason: 'ShrinkRefused', message };
    }
    const has = claim.status?.capacity?.['storage'];
    if (has !== undefined && asks !== undefined && isLarger(asks, has)) {
      return { reason: 'ResizePending', message: `${name} is being grown from ${has} to ${asks}` };
    }
  }
  return undefined;
}

function requested(claim: PersistentVolumeClaim | undefined): string | undefined {
  return claim?.spec?.resources?.requests?.['storage'];
}

/** As quantities; false where either is none. */
export function isLarger(a: string, b: string | undefined): boolean {
  const [left, right] = [parseQuantity(a), b === undefined ? undefined : parseQuantity(b)];
  return left !== undefined && right !== undefined && left > right;
}
