/** What the programs expose: metrics with their labels, read from the registries that serve them. */
import { Registry } from 'prom-client';
import { systemClock } from '../../operator/kube/clock.ts';
import { createKubeMetrics } from '../../operator/kube/metrics.ts';
import { gaugeOutOfView } from '../../operator/out-of-view.ts';
import { RelayGauges } from '../../operator/reconcile/relay-gauges.ts';
import type { ProviderState } from '../../relay/telemetry/events.ts';
import { createMetrics, type MetricsEndpoint } from '../../relay/telemetry/metrics.ts';

/** Metrics of a relay whose first provider fails: 12 messages wait in emails/failed. */
export function relayMetrics(states: Readonly<Record<string, ProviderState>>): MetricsEndpoint {
  const nothing = { messages: 0, bytes: 0 };
  return createMetrics({
    counts: () => ({
      active: { messages: 1, bytes: 4096, oldestReceivedAt: Date.now() - 1000 },
      failed: { messages: 12, bytes: 49_152, oldestReceivedAt: Date.now() - 600_000 },
      held: nothing,
      dead: nothing,
    }),
    disk: () => ({ freeBytes: 5e9, reserveBytes: 1e8 }),
    providers: () => Object.entries(states).map(([name, state]) => ({ name, state, connections: 2 })),
    listenerConnections: () => 3,
    fingerprint: () => 'abcdef0123456789',
    forwarding: () => true,
    configRefused: () => false,
    certificateEndsAt: () => undefined,
    spoolFailure: () => undefined,
    version: '0.1.0',
  });
}

type Described = { readonly name: string; readonly type: string; readonly labelNames: readonly string[] };

/** Labels that Prometheus adds to what it scrapes from a pod behind a Service. */
export const targetLabels: readonly string[] = [
  'namespace',
  'service',
  'pod',
  'container',
  'endpoint',
  'job',
  'instance',
];

/** Every series name with the labels that its series can have, those of the target included. */
export function exposed(): ReadonlyMap<string, ReadonlySet<string>> {
  const operator = new Registry();
  createKubeMetrics(operator);
  new RelayGauges(operator, { clock: systemClock, leads: () => true });
  gaugeOutOfView(operator, { outOfView: () => [] });
  const described = [relayMetrics({}).registry, operator].flatMap(
    registry => registry.getMetricsAsArray() as unknown as readonly Described[],
  );
  const all = described.flatMap(({ name, type, labelNames }) =>
    type === 'histogram'
      ? [
          series(`${name}_bucket`, [...labelNames, 'le']),
          series(`${name}_sum`, labelNames),
          series(`${name}_count`, labelNames),
        ]
      : [series(name, labelNames)],
  );
  return new Map([
    ...all,
    series('up', []),
    series('ALERTS', ['alertname', 'alertstate', 'severity', 'provider', 'mailrelay', 'state']),
  ]);
}

/** A label that the target has as well is called `exported_…` by Prometheus. */
function series(name: string, labels: readonly string[]): [string, ReadonlySet<string>] {
  const told = labels.map(label => (targetLabels.includes(label) ? `exported_${label}` : label));
  return [name, new Set([...told, ...targetLabels])];
}
