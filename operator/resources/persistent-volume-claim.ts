/** The volume of spool mode Shared. It grows and never shrinks; with retention Retain it outlives its relay. */
import type { V1PersistentVolumeClaimSpec } from '@kubernetes/client-node';
import type { MailRelay } from '../api/mail-relay.ts';
import type { SpoolSpec } from '../api/schema-spool.ts';
import type { Wire } from '../kube/object.ts';
import { parseQuantity } from '../kube/quantity.ts';
import type { BuildContext } from './context.ts';
import type { PersistentVolumeClaim } from './kinds.ts';
import { childMetadata, childNames } from './names.ts';

export function persistentVolumeClaim(
  relay: MailRelay,
  { liveClaimSize }: Pick<BuildContext, 'liveClaimSize'>,
): PersistentVolumeClaim {
  const { ownerReferences, ...kept } = childMetadata(relay, childNames(relay).claim);
  const { spool } = relay.spec;
  return {
    apiVersion: 'v1',
    kind: 'PersistentVolumeClaim',
    metadata: {
      ...kept,
      // Without an owner the claim stays when the relay goes; the labels tell the next one that it is its own.
      ...(spool.retention === 'Delete' && ownerReferences !== undefined && { ownerReferences }),
    },
    spec: claimSpec(spool, largerSize(String(spool.size), liveClaimSize)),
  };
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
