/**
 * The claims of a MailRelay: bound or not, growing, and those with mail that no
 * pod serves any more. Shared claims grow by being applied (apply-children.ts);
 * those of replicas are made by the StatefulSet and grown here.
 */
import type { MailRelay } from '../api/mail-relay.ts';
import { fieldManager } from '../api/names.ts';
import type { HeldVolume } from '../api/schema-status.ts';
import { ApiError } from '../kube/api-error.ts';
import { formatTime } from '../kube/conditions.ts';
import { keyOf } from '../kube/object.ts';
import { parseQuantity } from '../kube/quantity.ts';
import type { KubeClient } from '../kube/resource.ts';
import { type PersistentVolumeClaim, persistentVolumeClaims } from '../resources/kinds.ts';
import { childNames, ordinalOf, replicaClaim } from '../resources/names.ts';
import type { Caches } from './caches.ts';
import type { VolumeState } from './observation.ts';
import type { ScalePlan } from './scale.ts';

export interface VolumesDeps {
  readonly caches: Caches;
  readonly client: KubeClient;
  readonly mayWrite: () => boolean;
}

/** Every claim of the relay that there is. A claim of another name is somebody else's, whatever labels it has. */
export function claimsOf(relay: MailRelay, caches: Caches): PersistentVolumeClaim[] {
  const labelled = caches.of(persistentVolumeClaims)?.byIndex('relay', keyOf(relay)) ?? [];
  return labelled.filter(({ metadata: { name } }) => isClaimName(relay, name));
}

function isClaimName(relay: MailRelay, name: string): boolean {
  if (relay.spec.spool.mode === 'Shared') return name === childNames(relay).claim;
  const ordinal = ordinalOf(relay, name);
  return ordinal !== undefined && name === replicaClaim(relay, ordinal);
}

/** What the claim of mode Shared asks for now; undefined = there is none. */
export function sharedClaimSize(relay: MailRelay, caches: Caches): string | undefined {
  const ref = { name: childNames(relay).claim, namespace: relay.namespace };
  return requested(caches.of(persistentVolumeClaims)?.get(ref));
}

/** Grows the claims of replicas where spec.spool.size asks for more. Resolves with the refusal, if any. */
export async function growReplicaClaims(relay: MailRelay, deps: VolumesDeps): Promise<string | undefined> {
  if (relay.spec.spool.mode !== 'PerReplica') return undefined;
  const storage = String(relay.spec.spool.size);
  for (const claim of claimsOf(relay, deps.caches)) {
    if (!isLarger(storage, requested(claim)) || !deps.mayWrite()) continue;
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
    caches.of(persistentVolumeClaims)?.observe(grown);
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
  return { pending, held, ...(resize !== undefined && { resize }) };
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

/**
 * Volumes with unsent mail that no pod serves: those known before whose claim
 * is still there and whose replica has not come back, and those of pods that go now.
 */
export function heldVolumes(
  relay: MailRelay,
  claims: readonly PersistentVolumeClaim[],
  plan: ScalePlan,
  wallTimeMs: number,
): HeldVolume[] {
  const names = new Set(claims.map(({ metadata }) => metadata.name));
  const known = (relay.status.heldVolumes ?? []).filter(
    ({ claim }) => names.has(claim) && !isServed(relay, claim, plan.replicas),
  );
  const since = formatTime(wallTimeMs);
  const now = plan.leaving.map(({ pod, messages }) => ({ claim: claimOfPod(relay, pod), messages, since }));
  const fresh = new Set(now.map(({ claim }) => claim));
  return [...known.filter(({ claim }) => !fresh.has(claim)), ...now];
}

function claimOfPod(relay: MailRelay, pod: string): string {
  const ordinal = relay.spec.spool.mode === 'PerReplica' ? ordinalOf(relay, pod) : undefined;
  return ordinal === undefined ? childNames(relay).claim : replicaClaim(relay, ordinal);
}

function isServed(relay: MailRelay, claim: string, replicas: number): boolean {
  if (relay.spec.spool.mode === 'Shared') return replicas > 0;
  const ordinal = ordinalOf(relay, claim);
  return ordinal !== undefined && ordinal < replicas;
}

function requested(claim: PersistentVolumeClaim | undefined): string | undefined {
  return claim?.spec?.resources?.requests?.['storage'];
}

function isLarger(a: string, b: string | undefined): boolean {
  const [left, right] = [parseQuantity(a), b === undefined ? undefined : parseQuantity(b)];
  return left !== undefined && right !== undefined && left > right;
}
