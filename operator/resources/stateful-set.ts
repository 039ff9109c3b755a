/** The workload of spool mode PerReplica: a StatefulSet in which each pod keeps its own volume. */
import type { MailRelay } from '../api/mail-relay.ts';
import type { BuildContext } from './context.ts';
import type { StatefulSet } from './kinds.ts';
import { childLabels, childMetadata, childNames, selectorLabels, spoolVolume } from './names.ts';
import { claimSpec } from './persistent-volume-claim.ts';
import { podTemplate } from './pod-template.ts';

export function statefulSet(relay: MailRelay, context: BuildContext): StatefulSet {
  const names = childNames(relay);
  const size = context.liveTemplateSize ?? String(relay.spec.spool.size);
  return {
    apiVersion: 'apps/v1',
    kind: 'StatefulSet',
    metadata: childMetadata(relay, names.workload),
    spec: {
      replicas: context.replicas,
      revisionHistoryLimit: 3,
      serviceName: names.podService,
      // Replicas know nothing of each other: no reason to start one after the other.
      podManagementPolicy: 'Parallel',
      selector: { matchLabels: selectorLabels(relay) },
      updateStrategy: { type: 'RollingUpdate' },
      // A volume may hold mail: when one may go is for the operator to say, whatever becomes of the StatefulSet.
      persistentVolumeClaimRetentionPolicy: { whenDeleted: 'Retain', whenScaled: 'Retain' },
      template: podTemplate(relay, context),
      volumeClaimTemplates: [
        {
          apiVersion: 'v1',
          kind: 'PersistentVolumeClaim',
          metadata: { name: spoolVolume, labels: childLabels(relay) },
          spec: claimSpec(relay.spec.spool, size),
        },
      ],
    },
  };
}
