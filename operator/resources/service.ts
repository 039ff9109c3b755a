/** The two Services of a relay: the one that applications send to, and a headless one for the single pods. */
import type { MailRelay } from '../api/mail-relay.ts';
import { group, labels } from '../api/names.ts';
import { healthPort, smtpPort } from './config-json.ts';
import type { Service } from './kinds.ts';
import { childMetadata, childNames, selectorLabels } from './names.ts';

/** SMTP, and nothing else: a load balancer in front of it must not publish metrics. */
export function service(relay: MailRelay): Service {
  const { type, externalTrafficPolicy, annotations = {}, ports } = relay.spec.service;
  // One of ours, stored before the CRD refused it, would be written over at each start.
  const theirs = Object.entries(annotations).filter(([key]) => !key.startsWith(`${group}/`));
  const metadata = childMetadata(relay, childNames(relay).service);
  return {
    apiVersion: 'v1',
    kind: 'Service',
    metadata: { ...metadata, ...(theirs.length > 0 && { annotations: Object.fromEntries(theirs) }) },
    spec: {
      type,
      selector: selectorLabels(relay),
      ...(externalTrafficPolicy !== undefined && { externalTrafficPolicy }),
      ports: ports.map(({ name, port, nodePort }) => ({
        name,
        port,
        protocol: 'TCP',
        targetPort: 'smtp',
        ...(nodePort !== undefined && { nodePort }),
      })),
    },
  };
}

/** What Prometheus finds the pods by; pods that are not ready count too, since those matter most. */
export function podService(relay: MailRelay): Service {
  const metadata = childMetadata(relay, childNames(relay).podService);
  return {
    apiVersion: 'v1',
    kind: 'Service',
    metadata: { ...metadata, labels: { ...metadata.labels, [labels.service]: 'pods' } },
    spec: {
      type: 'ClusterIP',
      clusterIP: 'None',
      publishNotReadyAddresses: true,
      selector: selectorLabels(relay),
      ports: [
        { name: 'smtp', port: smtpPort, protocol: 'TCP', targetPort: 'smtp' },
        { name: 'http', port: healthPort, protocol: 'TCP', targetPort: 'http' },
      ],
    },
  };
}
