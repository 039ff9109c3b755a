/**
 * Writes what the chart has from elsewhere: the CRD as a template, and one rule file an alert on relays. With --check
 * it writes nothing and ends with 1 when a file is not what would be written, or should not be there.
 */
import { globSync, rmSync } from 'node:fs';
import { stringify } from 'yaml';
import { complain, isCheck, writeOrCheck } from '../generated-files.ts';
import { resendSchema } from '../relay/config/schema-delivery.ts';
import { customResourceDefinition } from './api/crd.ts';
import type { Alert } from './resources/alert.ts';
import { alertsOfAll } from './resources/alerts.ts';

const directory = 'charts/mailrelay';
const chart = new URL(`../${directory}/`, import.meta.url);

/** Where runbooks are unless a value of the chart says otherwise. */
export const runbooks = 'https://mailrelay.dev/docs/runbooks';

/** Alerts that rest on metrics of the operator are in a folder beside it, written by hand. */
const folder = 'alerts/relays';

/** Written out as text: YAML of a template must not be read and written again by helm, which loses large integers. */
export function crdTemplate(): string {
  const { metadata, apiVersion, kind, ...rest } = customResourceDefinition();
  const text = stringify(rest, { lineWidth: 0, aliasDuplicateObjects: false });
  if (text.includes('{{')) throw new Error('the CRD holds "{{", which helm would take for its own');
  return `{{- if .Values.crds.install }}
# Made by operator/generate-chart.ts from operator/api.
${stringify({ apiVersion, kind, metadata })}  labels: {{- include "mailrelay.labels" . | nindent 4 }}
  {{- if .Values.crds.keep }}
  annotations:
    helm.sh/resource-policy: keep
  {{- end }}
${text}{{- end }}
`;
}

/** A rule file for Prometheus with this alert alone. */
export function ruleFile({
  name,
  expression,
  hold,
  severity,
  summary,
  description,
}: Pick<Alert, 'name' | 'expression' | 'hold' | 'severity' | 'summary' | 'description'>): string {
  const rule = {
    alert: name,
    expr: expression,
    ...(hold !== '0m' && { for: hold }),
    labels: { severity },
    annotations: { summary, description, runbook_url: `${runbooks}/${name}.md` },
  };
  const head = '# Made by operator/generate-chart.ts from operator/resources/alerts.ts.\n';
  return head + stringify({ groups: [{ name, rules: [rule] }] }, { lineWidth: 0 });
}

/** Every file by its path in the chart. */
export function chartFiles(): ReadonlyMap<string, string> {
  const alerts = alertsOfAll(resendSchema.parse({}));
  return new Map([
    ['templates/crd.yaml', crdTemplate()],
    ...alerts.map(alert => [`${folder}/${alert.name}.yaml`, ruleFile(alert)] as const),
  ]);
}

/** Rule files of alerts that are no more. */
function leftOver(files: ReadonlyMap<string, string>): readonly string[] {
  const cwd = chart.pathname;
  return globSync(`${folder}/*.yaml`, { cwd }).filter(path => !files.has(path));
}

function main(): void {
  const files = chartFiles();
  for (const path of leftOver(files)) {
    if (isCheck()) complain(`${directory}/${path}`, 'should not be there');
    else rmSync(new URL(path, chart));
  }
  writeOrCheck([...files].map(([path, text]) => [`${directory}/${path}`, text] as const));
}

if (import.meta.main) main();
