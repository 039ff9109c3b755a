/** The alerts of a relay for the Prometheus operator. */
import type { MailRelay } from '../api/mail-relay.ts';
import { alerts } from './alerts.ts';
import type { BuildContext } from './context.ts';
import type { AlertRule, PrometheusRule } from './kinds.ts';
import { childMetadata, childNames } from './names.ts';

export function prometheusRule(
  relay: MailRelay,
  { runbooks }: Pick<BuildContext, 'runbooks'>,
): PrometheusRule | undefined {
  const { enabled, labels } = relay.spec.monitoring.prometheusRule;
  if (!enabled) return undefined;
  const metadata = childMetadata(relay, childNames(relay).prometheusRule);
  const rules = alerts(relay).map(
    ({ name, expression, hold, severity, summary, description }): AlertRule => ({
      alert: name,
      expr: expression,
      ...(hold !== '0m' && { for: hold }),
      labels: { severity, namespace: relay.namespace, mailrelay: relay.name },
      annotations: { summary, description, runbook_url: `${runbooks}/${name}.md` },
    }),
  );
  return {
    apiVersion: 'monitoring.coreos.com/v1',
    kind: 'PrometheusRule',
    metadata: { ...metadata, labels: { ...labels, ...metadata.labels } },
    spec: { groups: [{ name: `mailrelay-${relay.namespace}-${relay.name}`, rules }] },
  };
}
