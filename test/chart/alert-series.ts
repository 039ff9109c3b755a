/** What a case of an alert is, and the series that cases are made of, labelled as Prometheus has them. */

export type AlertCase = {
  readonly alert: string;
  /** What is going on, as a sentence. */
  readonly when: string;
  /** One sample a minute, as promtool writes it: `1x9` is ten ones, `0+5x9` counts up by five. */
  readonly series: Readonly<Record<string, string>>;
  /** When to look, in minutes. */
  readonly at: number;
  /** Labels by which the firing alert tells what it is about; absent: it must not fire. */
  readonly fires?: Readonly<Record<string, string>>;
  /** Of the rule for all relays at once, not of that which the operator makes for one. */
  readonly ofAllAlone?: true;
};

export const labelled = (name: string, labels: Readonly<Record<string, string>>): string =>
  `${name}{${Object.entries(labels)
    .map(([key, value]) => `${key}="${value}"`)
    .join(',')}}`;

export const relay = { namespace: 'apps', service: 'mail-pods' };
export const pod = { ...relay, pod: 'mail-0' };
export const scrape = { job: 'mail-pods', instance: '10.0.0.1:8025', container: 'relay', endpoint: 'http' };

/** A metric of the pod mail-0 as the ServiceMonitor's scrape labels it. */
export const of = (metric: string, more: Readonly<Record<string, string>> = {}): string =>
  labelled(`mailrelay_${metric}`, { ...pod, ...scrape, ...more });
/** When its process began; time is counted from 0. */
export const started: string = labelled('process_start_time_seconds', { ...pod, ...scrape });
export const second = { pod: 'mail-1', instance: '10.0.0.2:8025' };

/** Labels of what a pod of the operator tells. */
export const operator = {
  job: 'mailrelay-operator',
  namespace: 'mailrelay-system',
  service: 'mailrelay-operator-metrics',
  pod: 'operator-1',
};
/** The operator's other pod. */
export const standby = { ...operator, pod: 'operator-2' };
/** What the operator of another controller-runtime program must not set off. */
export const stranger = { ...operator, job: 'other-operator' };

/** What the operator tells of the MailRelay `mail` in the namespace `apps`. */
export const told = (metric: string, more: Readonly<Record<string, string>> = {}): string =>
  labelled(`mailrelay_operator_relay_${metric}`, {
    ...operator,
    relay_namespace: 'apps',
    relay: 'mail',
    ...more,
  });
