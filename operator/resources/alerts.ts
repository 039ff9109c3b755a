/**
 * The alerts on relays, as values: of one relay with thresholds that follow from its spec, or of all relays at once
 * with those of the defaults. Each rests on what relay pods tell, but MailRelayDown of all relays, which has to know
 * who should be there. Each says what it means for mail, and has a runbook of its own name. The chart's rule files are
 * made from these.
 */
import type { MailRelay } from '../api/mail-relay.ts';
import { type Alert, type AlertSubject, counted } from './alert.ts';
import { providers, queue } from './alerts-on-delivery.ts';
import { accepting, reachable } from './alerts-on-reception.ts';
import { childNames } from './names.ts';

/** The alerts of one relay, in the order in which a person should look at them. */
export function alerts(relay: MailRelay): readonly Alert[] {
  const select = ownMetrics(relay);
  // What nothing reads cannot be told from what cannot be reached.
  const isRead = relay.spec.monitoring.serviceMonitor.enabled;
  return alertsAbout({
    where: `${relay.namespace}/${relay.name}`,
    select,
    started: `process_start_time_seconds{${ownLabels(relay).join(',')}}`,
    ...(isRead && relay.spec.replicas > 0 && { unreachable: `absent(${select('build_info')})` }),
    ...(isRead && { podUnreachable: `up{${ownLabels(relay).join(',')}} == 0` }),
    resend: relay.spec.resend,
  });
}

/** What the name of the Service that is scraped has after that of its relay. */
const podsSuffix = childNames({ name: '' }).podService;

/**
 * How many pods of each relay should answer, by namespace and service: as the operator says, now or within the last 10
 * minutes, in which another one may come to lead. It is believed when it says less than one that led before.
 */
const expectedPods = labelledAsPods(
  'min by (relay_namespace, relay) (last_over_time(mailrelay_operator_relay_expected_pods[10m]))',
);

/** Of a relay that no operator speaks of nobody knows whether it should be there: it is missed for an hour. */
const seenLately = 'max by (namespace, service) (present_over_time(mailrelay_build_info[1h]))';

const unreachable = `max by (namespace, service) (${expectedPods} > 0 or ${seenLately} unless on (namespace, service) ${expectedPods}) unless on (namespace, service) mailrelay_build_info`;

/** What the operator tells of MailRelays, with the labels that the metrics of their pods have. */
function labelledAsPods(told: string): string {
  const inNamespace = `label_replace(${told}, "namespace", "$1", "relay_namespace", "(.+)")`;
  return `label_replace(${inNamespace}, "service", "$1${podsSuffix}", "relay", "(.+)")`;
}

/** The same for every relay that Prometheus reads, told apart by the labels namespace, service and pod. */
export function alertsOfAll(resend: AlertSubject['resend']): readonly Alert[] {
  return alertsAbout({
    where: `{{ $labels.namespace }}/{{ reReplaceAll "^(.+)${podsSuffix}$" "$1" $labels.service }}`,
    select: (metric, ...matchers) =>
      `mailrelay_${metric}${matchers.length > 0 ? `{${matchers.join(',')}}` : ''}`,
    started: 'process_start_time_seconds',
    unreachable,
    podUnreachable: 'up == 0 and on (job, namespace, service) present_over_time(mailrelay_build_info[1h])',
    resend,
  });
}

function alertsAbout(subject: AlertSubject): readonly Alert[] {
  return [
    ...reachable(subject),
    ...accepting(subject),
    ...providers(subject),
    ...queue(subject),
    ...operation(subject),
  ];
}

/** The headless Service is what the ServiceMonitor scrapes, and so the label that all series of this relay have. */
function ownLabels(relay: MailRelay): readonly string[] {
  return [`namespace="${relay.namespace}"`, `service="${childNames(relay).podService}"`];
}

function ownMetrics(relay: MailRelay): AlertSubject['select'] {
  const own = ownLabels(relay);
  return (metric, ...matchers) => `mailrelay_${metric}{${[...own, ...matchers].join(',')}}`;
}

/** Whether the relay does as it is told. */
function operation(subject: AlertSubject): Alert[] {
  const { where, select } = subject;
  const byPod = 'namespace, service, pod';
  return [
    {
      name: 'MailRelayConfigurationRefused',
      expression: `max by (${byPod}) (${select('config_refused')}) == 1`,
      hold: '1m',
      severity: 'warning',
      summary: `Pod {{ $labels.pod }} of mail relay ${where} refuses its configuration.`,
      description: `{{ $labels.pod }} (${where}) refuses the configuration that it has now and goes on with the one before, so that changes are not in force. Condition ConfigurationValid has its words.`,
    },
    {
      name: 'MailRelayQuarantine',
      expression: `${counted(subject, ['spool_quarantined_total'], byPod)} > 0`,
      hold: '0m',
      severity: 'warning',
      summary: `Pod {{ $labels.pod }} of mail relay ${where} found files that it does not know.`,
      description: `{{ $value | humanize }} things in the store of {{ $labels.pod }} (${where}) were not understood and are in emails/quarantine. Nothing was deleted; look at them.`,
    },
  ];
}
