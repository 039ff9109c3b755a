/** Tells the Prometheus operator to read the metrics of every pod of a relay. */
import type { MailRelay } from '../api/mail-relay.ts';
import { labels } from '../api/names.ts';
import type { ServiceMonitor } from './kinds.ts';
import { childMetadata, childNames, selectorLabels } from './names.ts';

export function serviceMonitor(relay: MailRelay): ServiceMonitor | undefined {
  const { enabled, labels: further, intervalSeconds } = relay.spec.monitoring.serviceMonitor;
  if (!enabled) return undefined;
  const metadata = childMetadata(relay, childNames(relay).serviceMonitor);
  return {
    apiVersion: 'monitoring.coreos.com/v1',
    kind: 'ServiceMonitor',
    metadata: { ...metadata, labels: { ...further, ...metadata.labels } },
    spec: {
      selector: { matchLabels: { ...selectorLabels(relay), [labels.service]: 'pods' } },
      endpoints: [
        {
          port: 'http',
          path: '/metrics',
          interval: `${intervalSeconds}s`,
          scrapeTimeout: `${Math.min(intervalSeconds, 10)}s`,
        },
      ],
    },
  };
}
