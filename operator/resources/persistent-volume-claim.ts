/**
 * The volume of spool mode Shared. It grows and never shrinks, and has no owner: whoever deletes its MailRelay, and
 * however, it stays until the operator knows it to be empty.
 */
import type { V1PersistentVolumeClaimSpec } from '@kubernetes/client-node';
import type { MailRelay } from '../api/mail-relay.ts';
import type { SpoolSpec } from '../api/schema-spool.ts';
import type { Wire } from '../kube/object.ts';
import { parseQuantity } from '../kube/quantity.ts';
import type { BuildContext } from './context.ts';
import type { PersistentVolumeClaim } from './kinds.ts';
import { childLabels, childNames } from './names.ts';

export function persistentVolumeClaim(
  relay: MailRelay,
  { liveClaimSize }: Pick<BuildContext, 'liveClaimSize'>,
): PersistentVolumeClaim {
  const { spool } = relay.spec;
  const metadata = {
    name: childNames(relay).claim,
    namespace: relay.namespace,
    // They tell the next relay of the name that it is its own.
    labels: childLabels(relay),
    annotations: { [syncOptions]: withoutPruning(undefined) },
  };
  return {
    apiVersion: 'v1',
    kind: 'PersistentVolumeClaim',
    metadata,
    spec: claimSpec(spool, largerSize(String(spool.size), liveClaimSize)),
  };
}

/**
 * Annotation with which Argo CD is asked to leave a claim: where it tracks by label, it takes an object without an owner
 * for one that its source no longer has.
 */
export const syncOptions = 'argocd.argoproj.io/sync-options';

/** Its text, with whatever else somebody asks for there. */
export function withoutPruning(text: string | undefined): string {
  const options = (text ?? '').split(',').map(option => option.trim());
  if (text !== undefined && options.includes('Prune=false')) return text;
  const others = options.filter(option => option !== '' && !option.startsWith('Prune='));
  return [...others, 'Prune=false'].join(',');
}

/** What is asked of the storage class. */
export function claimSpec(spool: SpoolSpec, size: string): Wire<V1PersistentVolumeClaimSpec> {
  return {
    accessModes: [spool.accessMode],
    ...(spool.storageClassName !== undefined && { storageClassName: spool.storageClassName }),
    resources: { requests: { storage: size } },
  };
}

/** The larger of two quantities; `wanted` when they are the same or `live` is none. */
export function largerSize(wanted: string, live: string | undefined): string {
  const [a, b] = [parseQuantity(wanted), live === undefined ? undefined : parseQuantity(live)];
  return live !== undefined && a !== undefined && b !== undefined && b > a ? live : wanted;
}
