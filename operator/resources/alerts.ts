/**
 * The alerts on relays, as values: of one relay with thresholds that follow from its spec, or of all relays at once
 * with those of the defaults. Each rests on metrics of the relay alone, says what it means for mail, and has a runbook
 * of its own name. The chart's rule files are made from these.
 */
import type { MailRelay } from '../api/mail-relay.ts';
import type { MailRelaySpec } from '../api/schema.ts';
import { countedWithin, type periods } from './counted.ts';
import { childNames } from './names.ts';

/** critical: mail is being lost or refused, or soon will be. warning: look today. info: somebody should know. */
export type Severity = 'critical' | 'warning' | 'info';

export interface Alert {
  readonly name: string;
  readonly expression: string;
  /** How long it must hold, as Prometheus writes it. */
  readonly hold: string;
  readonly severity: Severity;
  readonly summary: string;
  readonly description: string;
}

/** What alerts are about: one relay, or all. */
export interface AlertSubject {
  /** Names the relay to people: `namespace/name`. */
  readonly where: string;
  /** A metric of its pods, with further matchers. */
  readonly select: (metric: string, ...matchers: readonly string[]) => string;
  /** When the process of each of its pods began. */
  readonly started: string;
  /** Is true while no pod of it can be reached; absent when it is to have none, or none that Prometheus reads. */
  readonly unreachable?: string;
  /** Is true of a pod of it that cannot be reached; absent when Prometheus reads none. */
  readonly podUnreachable?: string;
  readonly resend: Pick<MailRelaySpec['resend'], 'expireAfterSeconds' | 'maxDelaySeconds'>;
}

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

/** Nobody can list relays that never had metrics: one that had some within the last hour and has none now is missed. */
const relayVanished =
  'max by (namespace, service) (present_over_time(mailrelay_build_info[1h])) unless max by (namespace, service) (mailrelay_build_info)';

/** The same for every relay that Prometheus reads, told apart by the labels namespace, service and pod. */
export function alertsOfAll(resend: AlertSubject['resend']): readonly Alert[] {
  return alertsAbout({
    where: '{{ $labels.namespace }}/{{ $labels.service }}',
    select: (metric, ...matchers) =>
      `mailrelay_${metric}${matchers.length > 0 ? `{${matchers.join(',')}}` : ''}`,
    started: 'process_start_time_seconds',
    unreachable: relayVanished,
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

/** What the pods have counted within the time, summed by these labels. */
function counted(
  { select, started }: AlertSubject,
  [metric, ...matchers]: readonly [metric: string, ...matchers: string[]],
  period: keyof typeof periods,
  by: string,
): string {
  return `sum by (${by}) (${countedWithin(select(metric, ...matchers), period, started)})`;
}

/** Whether its pods can be reached at all. */
function reachable({ where, unreachable, podUnreachable }: AlertSubject): Alert[] {
  const down = (expression: string): Alert => ({
    name: 'MailRelayDown',
    expression,
    hold: '5m',
    severity: 'critical',
    summary: `No pod of mail relay ${where} can be reached.`,
    description: `Prometheus has had no metrics of ${where} for 5 minutes: no pod runs, or none can be reached. Applications cannot hand over mail; what was accepted is safe on the volume.`,
  });
  const podDown = (expression: string): Alert => ({
    name: 'MailRelayPodUnreachable',
    expression,
    hold: '10m',
    severity: 'warning',
    summary: `{{ $labels.pod }} of mail relay ${where} cannot be reached.`,
    description: `Prometheus has not been able to read the metrics of {{ $labels.pod }} for 10 minutes. Mail in its volume waits until it runs again; new mail goes to other replicas, if there are any.`,
  });
  return [
    ...(unreachable === undefined ? [] : [down(unreachable)]),
    ...(podUnreachable === undefined ? [] : [podDown(podUnreachable)]),
  ];
}

/** Whether applications can hand mail over. */
function accepting({ where, select }: AlertSubject): Alert[] {
  return [
    {
      name: 'MailRelayStoreFailed',
      expression: `max by (namespace, service, pod) (${select('spool_failed')}) == 1`,
      hold: '0m',
      severity: 'critical',
      summary: `The store of {{ $labels.pod }} failed.`,
      description: `A write or sync of {{ $labels.pod }} (${where}) failed, so that it accepts and sends nothing until it has been restarted, which its liveness probe brings about. If it comes back: look at the volume and its node.`,
    },
    {
      name: 'MailRelayDiskFull',
      expression: `${select('disk_free_bytes')} < ${select('disk_reserve_bytes')}`,
      hold: '1m',
      severity: 'critical',
      summary: `{{ $labels.pod }} refuses new mail: its volume is full.`,
      description: `The volume of {{ $labels.pod }} (${where}) has {{ $value | humanize1024 }}B free, less than the reserve: new mail is refused with 452 while sending goes on. Raise spec.spool.size, or find out why mail is not sent.`,
    },
    {
      name: 'MailRelayDiskLow',
      expression: `${select('disk_free_bytes')} < 2 * ${select('disk_reserve_bytes')}`,
      hold: '10m',
      severity: 'warning',
      summary: `The volume of {{ $labels.pod }} is nearly full.`,
      description: `The volume of {{ $labels.pod }} (${where}) has {{ $value | humanize1024 }}B free, less than twice the reserve below which new mail is refused. Raise spec.spool.size, or find out why mail is not sent.`,
    },
    {
      name: 'MailRelayRefusingClients',
      expression: `sum by (namespace, service, reason) (rate(${select('rejected_total', 'reason=~"too-many-connections|disk-full|store-failed"')}[5m])) > 0.1`,
      hold: '10m',
      severity: 'warning',
      summary: `Mail relay ${where} turns clients away: {{ $labels.reason }}.`,
      description: `${where} has turned away {{ $value | humanize }} connections or messages a second for 10 minutes, reason {{ $labels.reason }}. Programs that do not try again lose mail.`,
    },
  ];
}

/** Whether mail can get out. */
function providers(subject: AlertSubject): Alert[] {
  const { where, select } = subject;
  const perHour = (metric: string): string => counted(subject, [metric], '1h', 'namespace, service');
  return [
    {
      name: 'MailRelayAllProvidersFailing',
      expression: `max by (namespace, service, pod) (${select('provider_up')}) == 0 and on (namespace, service, pod) ${select('forwarding')} == 1`,
      hold: '2m',
      severity: 'critical',
      summary: `{{ $labels.pod }} can use no provider: mail waits.`,
      description: `No provider of ${where} has been usable from {{ $labels.pod }} for 2 minutes. Mail is accepted, kept and sent again until it expires. See status.providers for the reason of each.`,
    },
    {
      name: 'MailRelayProviderAuthenticationRefused',
      expression: `max by (namespace, service, provider) (${select('provider_state', 'state="suspended"')}) == 1`,
      hold: '1m',
      severity: 'warning',
      summary: `Provider {{ $labels.provider }} of ${where} refuses the credentials.`,
      description: `Provider {{ $labels.provider }} refused the user name or password and gets no mail until they change. Correct the Secret; it is taken over live.`,
    },
    {
      name: 'MailRelayProviderMisconfigured',
      expression: `max by (namespace, service, provider) (${select('provider_state', 'state="misconfigured"')}) == 1`,
      hold: '5m',
      severity: 'warning',
      summary: `Provider {{ $labels.provider }} of ${where} lacks its credentials or certificate.`,
      description: `A Secret or a key that provider {{ $labels.provider }} needs is missing or empty, so that it is left out. Condition CredentialsAvailable names it.`,
    },
    {
      name: 'MailRelayProviderDown',
      expression: `min by (namespace, service, provider) (${select('provider_up')}) == 0`,
      hold: '10m',
      severity: 'warning',
      summary: `Provider {{ $labels.provider }} of ${where} is out of use.`,
      description: `Provider {{ $labels.provider }} has been out of use for 10 minutes; mail goes through the others. status.providers has the reason.`,
    },
    {
      name: 'MailRelayAmbiguousDeliveries',
      expression: `${perHour('ambiguous_total')} > 5 and ${perHour('ambiguous_total')} > 0.01 * ${perHour('provider_messages_delivered_total')}`,
      hold: '5m',
      severity: 'warning',
      summary: `Deliveries of ${where} often end without an answer.`,
      description: `{{ $value | humanize }} transactions within an hour, more than one in a hundred, were not answered after the message was sent. They are sent again, and recipients may get them twice. The log event delivery-ambiguous names the provider.`,
    },
  ];
}

/** Whether mail waits too long. */
function queue(subject: AlertSubject): Alert[] {
  const { where, select, resend } = subject;
  const { expireAfterSeconds, maxDelaySeconds } = resend;
  const expiring = Math.round(expireAfterSeconds * 0.8);
  // Old means: it has missed several resends although they happen as often as they should.
  const old = Math.min(Math.max(4 * maxDelaySeconds, 1_800), Math.round(expireAfterSeconds * 0.5));
  const age = select('queue_oldest_age_seconds', 'state="failed"');
  return [
    {
      name: 'MailRelayMailAboutToExpire',
      expression: `max by (namespace, service) (${age}) > ${expiring}`,
      hold: '5m',
      severity: 'critical',
      summary: `Mail in ${where} is about to be given up.`,
      description: `The oldest unsent message is {{ $value | humanizeDuration }} old; messages are given up after ${expireAfterSeconds} seconds (spec.resend.expireAfterSeconds). Make a provider usable, or raise that value.`,
    },
    {
      name: 'MailRelayFailedMailOld',
      expression: `max by (namespace, service) (${age}) > ${old}`,
      hold: '10m',
      severity: 'warning',
      summary: `Mail in ${where} has not got out for long.`,
      description: `The oldest unsent message is {{ $value | humanizeDuration }} old. "mailrelay queue list" in a pod says why each was not taken.`,
    },
    {
      name: 'MailRelayMailExpired',
      expression: `${counted(subject, ['expired_total'], '1h', 'namespace, service')} > 0`,
      hold: '0m',
      severity: 'warning',
      summary: `Mail in ${where} was given up.`,
      description: `{{ $value | humanize }} recipients within an hour did not get their message before it expired. The messages are in emails/dead and can be sent again from there.`,
    },
    {
      name: 'MailRelayMailHeld',
      expression: `sum by (namespace, service) (${select('queue_messages', 'state="held"')}) > 0 and on (namespace, service) min by (namespace, service) (${select('forwarding')}) == 0`,
      hold: '1h',
      severity: 'info',
      summary: `${where} holds mail, since forwarding is off.`,
      description: `spec.forwardSMTP has been false for an hour and {{ $value | humanize }} messages wait. They are sent when it is true.`,
    },
  ];
}

/** Whether the relay does as it is told. */
function operation(subject: AlertSubject): Alert[] {
  const { where } = subject;
  const refused = ['config_reloads_total', 'result="failure"'] as const;
  const byPod = 'namespace, service, pod';
  return [
    {
      name: 'MailRelayConfigurationRefused',
      expression: `${counted(subject, refused, '10m', byPod)} > 0`,
      hold: '0m',
      severity: 'warning',
      summary: `{{ $labels.pod }} refused its configuration.`,
      description: `{{ $labels.pod }} (${where}) refused a configuration and goes on with the one before. Condition ConfigurationValid has its words.`,
    },
    {
      name: 'MailRelayQuarantine',
      expression: `${counted(subject, ['spool_quarantined_total'], '1h', byPod)} > 0`,
      hold: '0m',
      severity: 'warning',
      summary: `{{ $labels.pod }} found files that it does not know.`,
      description: `{{ $value | humanize }} things in the store of {{ $labels.pod }} (${where}) were not understood and are in emails/quarantine. Nothing was deleted; look at them.`,
    },
  ];
}
