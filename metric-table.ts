/** Metrics as the table of a reference page, from the registry in which they are defined. */
import type { Registry } from 'prom-client';

export interface DescribedMetric {
  readonly name: string;
  readonly help: string;
  readonly type: string;
  readonly labelNames: readonly string[];
  readonly upperBounds?: readonly number[];
}

/** What a registry knows of its metrics; prom-client's types hide most of it. */
export function describedIn(registry: Registry): readonly DescribedMetric[] {
  return registry.getMetricsAsArray() as unknown as readonly DescribedMetric[];
}

/** Name, type, labels and meaning of each, in Markdown. */
export function metricTable(metrics: readonly DescribedMetric[]): string {
  const rows = metrics.map(({ name, type, labelNames, help, upperBounds }) => {
    const labels = labelNames.map(label => `\`${label}\``).join(', ') || '–';
    const bounds = upperBounds === undefined ? '' : ` Buckets up to: ${upperBounds.join(', ')}.`;
    return `| \`${name}\` | ${type} | ${labels} | ${help}${bounds} |`;
  });
  return ['| Name | Type | Labels | Meaning |', '|---|---|---|---|', ...rows].join('\n');
}
