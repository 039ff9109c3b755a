/** The workload of spool mode Shared: a Deployment whose pods share one volume. */
import type { MailRelay } from '../api/mail-relay.ts';
import { sharesVolume } from './config-json.ts';
import type { BuildContext } from './context.ts';
import type { Deployment } from './kinds.ts';
import { childMetadata, childNames, selectorLabels } from './names.ts';
import { podTemplate } from './pod-template.ts';

export function deployment(relay: MailRelay, context: BuildContext): Deployment {
  return {
    apiVersion: 'apps/v1',
    kind: 'Deployment',
    metadata: childMetadata(relay, childNames(relay).workload),
    spec: {
      replicas: context.replicas,
      revisionHistoryLimit: 3,
      selector: { matchLabels: selectorLabels(relay) },
      // A volume that one node alone may mount must be let go before the next pod can have it.
      strategy: sharesVolume(relay.spec)
        ? { type: 'RollingUpdate', rollingUpdate: { maxSurge: 1, maxUnavailable: 0 } }
        : { type: 'Recreate' },
      template: podTemplate(relay, context),
    },
  };
}
