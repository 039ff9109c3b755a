/** Lets node drains take one pod at a time. Only for two replicas or more: with one it would block every drain. */
import type { MailRelay } from '../api/mail-relay.ts';
import type { PodDisruptionBudget } from './kinds.ts';
import { childMetadata, childNames, selectorLabels } from './names.ts';

export function podDisruptionBudget(relay: MailRelay): PodDisruptionBudget | undefined {
  if (relay.spec.replicas < 2) return undefined;
  return {
    apiVersion: 'policy/v1',
    kind: 'PodDisruptionBudget',
    metadata: childMetadata(relay, childNames(relay).disruptionBudget),
    spec: {
      maxUnavailable: 1,
      selector: { matchLabels: selectorLabels(relay) },
      // A pod that is not ready sends no less for being moved.
      unhealthyPodEvictionPolicy: 'AlwaysAllow',
    },
  };
}
