/** What a MailRelay leaves for the Prometheus operator, where that is installed. */
import * as z from 'zod';
import { flag, whole } from '../../relay/config/schema-fields.ts';
import { labelMap } from './fields.ts';

/** A sample is good for 5 minutes, and two are needed within them to tell a rate: with less, every alert is wrong. */
const rarestSeconds = 120;

const ruleLabels = 'Labels that your Prometheus selects by, such as `release: kube-prometheus-stack`.';

/** spec.monitoring. */
export const monitoringSchema = z
  .strictObject({
    serviceMonitor: z
      .strictObject({
        enabled: flag(
          'Create a ServiceMonitor where that kind exists. False says that nothing reads the metrics: no alert tells of pods that cannot be reached.',
        ).default(true),
        labels: labelMap(ruleLabels).optional(),
        intervalSeconds: whole(5, rarestSeconds, 'How often Prometheus reads the metrics.').default(30),
      })
      .describe('The ServiceMonitor: Prometheus reads the metrics of every pod.')
      .prefault({}),
    prometheusRule: z
      .strictObject({
        enabled: flag('Create a PrometheusRule where that kind exists.').default(true),
        labels: labelMap(ruleLabels).optional(),
      })
      .describe('The PrometheusRule: alerts for this MailRelay.')
      .prefault({}),
  })
  .describe('What is left for the Prometheus operator, where its kinds exist.');

/** Monitoring with its defaults filled in. */
export type MonitoringSpec = z.output<typeof monitoringSchema>;
