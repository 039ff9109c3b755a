/** The two Services of a relay: the one that applications send to, and a headless one for the single pods. */
import type { MailRelay } from '../api/mail-relay.ts';
import { labels } from '../api/names.ts';
import { healthPort, smtpPort } from './config-json.ts';
import type { Service } from './kinds.ts';
import { childMetadata, childNames, selectorLabels } from './names.ts';

/** SMTP, and nothing else: a load balancer in front of it must not publish metrics. */
export function service(relay: MailRelay): Service {
  const { type, externalTrafficPolicy, annotations, ports } = relay.spec.service;
  const metadata = childMetadata(relay, childNames(relay).service);
  return {
    apiVersion: 'v1',
    kind: 'Service',
    metadata: { ...metadata, ...(annotations !== undefined && { annotations }) },
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
