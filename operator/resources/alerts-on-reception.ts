/** Alerts on what keeps applications from handing mail over. */
import type { Alert, AlertSubject } from './alert.ts';

/** Whether its pods can be reached at all. */
export function reachable({ where, unreachable, podUnreachable }: AlertSubject): Alert[] {
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
    summary: `Pod {{ $labels.pod }} of mail relay ${where} cannot be reached.`,
    description: `Prometheus has not been able to read the metrics of {{ $labels.pod }} (${where}) for 10 minutes. Mail in its volume waits until it runs again; new mail goes to other replicas, if there are any.`,
  });
  return [
    ...(unreachable === undefined ? [] : [down(unreachable)]),
    ...(podUnreachable === undefined ? [] : [podDown(podUnreachable)]),
  ];
}

/** Whether applications can hand mail over. */
export function accepting({ where, select }: AlertSubject): Alert[] {
  return [
    {
      name: 'MailRelayStoreFailed',
      expression: `max by (namespace, service, pod) (${select('spool_failed')}) == 1`,
      hold: '0m',
      severity: 'critical',
      summary: `The store of pod {{ $labels.pod }} of mail relay ${where} failed.`,
      description: `A write or sync of {{ $labels.pod }} (${where}) failed, so that it accepts and sends nothing until it has been restarted, which its liveness probe brings about. If it comes back: look at the volume and its node.`,
    },
    {
      name: 'MailRelayDiskFull',
      expression: `${select('disk_free_bytes')} < ${select('disk_reserve_bytes')}`,
      hold: '1m',
      severity: 'critical',
      summary: `Pod {{ $labels.pod }} of mail relay ${where} refuses new mail: its volume is full.`,
      description: `The volume of {{ $labels.pod }} (${where}) has {{ $value | humanize1024 }}B free, less than the reserve: new mail is refused with 452 while sending goes on. Raise spec.spool.size, or find out why mail is not sent.`,
    },
    {
      name: 'MailRelayDiskLow',
      expression: `${select('disk_free_bytes')} < 2 * ${select('disk_reserve_bytes')}`,
      hold: '10m',
      severity: 'warning',
      summary: `The volume of pod {{ $labels.pod }} of mail relay ${where} is nearly full.`,
      description: `The volume of {{ $labels.pod }} (${where}) has {{ $value | humanize1024 }}B free, less than twice the reserve below which new mail is refused. Raise spec.spool.size, or find out why mail is not sent.`,
    },
    {
      name: 'MailRelayListenerCertificate',
      expression: `min by (namespace, service) (${select('listener_certificate_expiry_timestamp_seconds')}) - time() < 172800`,
      hold: '15m',
      severity: 'warning',
      summary: `The certificate of mail relay ${where} ends within two days, or cannot be used.`,
      description: `The certificate that ${where} shows to its clients (listener.tls) ends within two days or has ended, so that clients which verify it hand over no mail; or it is missing or broken, and STARTTLS is not offered at all. Renew the Secret; it is taken over live.`,
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
