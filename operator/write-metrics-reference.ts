/**
 * Writes docs/operator-metrics.md from the metrics as they are defined. With --check it writes nothing and ends with 1
 * when the page is not what would be written.
 */
import { Registry } from 'prom-client';
import { writeOrCheck } from '../generated-files.ts';
import { describedIn, metricTable } from '../metric-table.ts';
import { systemClock } from './kube/clock.ts';
import { createKubeMetrics } from './kube/metrics.ts';
import { gaugeOutOfView } from './out-of-view.ts';
import { RelayGauges } from './reconcile/relay-gauges.ts';
import { relayStates } from './reconcile/relay-state.ts';

const registry = new Registry();
createKubeMetrics(registry);
new RelayGauges(registry, { clock: systemClock, leads: () => true });
gaugeOutOfView(registry, { outOfView: () => [] });

const states = Object.entries(relayStates).map(([state, meaning]) => `| \`${state}\` | ${meaning} |`);

const page = `# Metrics of the operator

<!-- Made by operator/write-metrics-reference.ts from the definitions in operator: change those, then run it. -->

Served at \`/metrics\` on port 8081 (\`--health-port\`) of the operator, beside those of its process (see [metrics](metrics.md)). What controllers have in common has the names of controller-runtime. \`mailrelay_operator_relay_…\` are told by the operator that leads alone, all others by each operator of itself.

${metricTable(describedIn(registry))}

## The state of a MailRelay

Of several that apply the last.

| State | Meaning |
|---|---|
${states.join('\n')}

## What is out of view

\`mailrelay_operator_scope_out_of_view\` has a series for each kind and watched namespace that the API server refuses to show to the operator (403, or a CRD that is not installed) or could not show it since its start while it showed other namespaces (500 for a Secret that cannot be decrypted), for as long as that is so; MailRelays there are left alone meanwhile. Without \`watchNamespaces\` its \`namespace\` is empty. The kinds of the Prometheus operator are never among them. Prometheus, which gives every target a label \`namespace\` of its own, calls that of the series \`exported_namespace\`.
`;

writeOrCheck([['docs/operator-metrics.md', page]]);
