/** The Grafana dashboard as data, and its queries with variables filled in. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { chart } from './helm.ts';

export type Target = { readonly refId: string; readonly expr: string; readonly instant?: boolean };
export type Panel = {
  readonly id: number;
  readonly type: string;
  readonly title: string;
  readonly description?: string;
  readonly datasource?: { readonly type: string; readonly uid: string };
  readonly gridPos: { readonly x: number; readonly y: number; readonly w: number; readonly h: number };
  readonly targets?: readonly (Target & { readonly datasource: { readonly uid: string } })[];
  readonly fieldConfig?: { readonly defaults: Readonly<Record<string, unknown>> };
  readonly transformations?: readonly { readonly id: string; readonly options: Record<string, unknown> }[];
};
export type Variable = {
  readonly name: string;
  readonly type: string;
  readonly definition?: string;
  readonly includeAll: boolean;
  readonly allValue?: string;
  readonly datasource?: { readonly uid: string };
};
export type Dashboard = {
  readonly uid: string;
  readonly title: string;
  readonly schemaVersion: number;
  readonly id: null;
  readonly panels: readonly Panel[];
  readonly templating: { readonly list: readonly Variable[] };
};

export const dashboardFile: string = join(chart, 'dashboards/mailrelay.json');
export const dashboard: Dashboard = JSON.parse(readFileSync(dashboardFile, 'utf8')) as Dashboard;

/** Panels that show something, rows left out. */
export const panels: readonly Panel[] = dashboard.panels.filter(({ type }) => type !== 'row');

export type Chosen = {
  readonly namespace?: string;
  readonly relay?: string;
  readonly provider?: string;
  /** `$__range`, as Prometheus writes it. */
  readonly range?: string;
  /** `$__rate_interval`. */
  readonly rateInterval?: string;
};

/** A query as Grafana sends it for these choices; by default everything. */
export function filled(expression: string, chosen: Chosen = {}): string {
  const { namespace = '.*', relay = '.*', provider = '.*', range = '1h', rateInterval = '1m' } = chosen;
  const values: Readonly<Record<string, string>> = {
    namespace,
    relay,
    provider,
    __range: range,
    __rate_interval: rateInterval,
  };
  return expression.replace(/\$(\w+)/g, (_, name: string) => {
    const value = values[name];
    if (value === undefined) throw new Error(`nothing is known of the variable $${name} in ${expression}`);
    return value;
  });
}
