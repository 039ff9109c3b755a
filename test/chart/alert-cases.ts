/**
 * For each alert: series under which it fires and series under which it does not. One sample a minute, written as
 * promtool has it: `1x9` is ten ones, `0+5x9` counts up by five.
 */

export type AlertCase = {
  readonly alert: string;
  /** What is going on, as a sentence. */
  readonly when: string;
  readonly series: Readonly<Record<string, string>>;
  /** When to look, in minutes. */
  readonly at: number;
  /** Labels by which the firing alert tells what it is about; absent: it must not fire. */
  readonly fires?: Readonly<Record<string, string>>;
};

const labelled = (name: string, labels: Readonly<Record<string, string>>): string =>
  `${name}{${Object.entries(labels)
    .map(([key, value]) => `${key}="${value}"`)
    .join(',')}}`;

const relay = { namespace: 'apps', service: 'mail-pods' };
const pod = { ...relay, pod: 'mail-0' };
const scrape = { job: 'mail-pods', instance: '10.0.0.1:8025', container: 'relay', endpoint: 'http' };

/** A metric of the pod mail-0 as the ServiceMonitor's scrape labels it. */
const of = (metric: string, more: Readonly<Record<string, string>> = {}): string =>
  labelled(`mailrelay_${metric}`, { ...pod, ...scrape, ...more });
/** When its process began; time is counted from 0. */
const started = labelled('process_start_time_seconds', { ...pod, ...scrape });
const second = { pod: 'mail-1', instance: '10.0.0.2:8025' };
/** What the operator of another controller-runtime program must not set off. */
const operator = {
  job: 'mailrelay-operator',
  namespace: 'mailrelay-system',
  service: 'mailrelay-operator-metrics',
  pod: 'operator-1',
};
const stranger = { ...operator, job: 'other-operator' };
const primary = { provider: 'primary' };
const backup = { provider: 'backup' };

const accepting: readonly AlertCase[] = [
  {
    alert: 'MailRelayDown',
    when: 'all pods have been gone for six minutes',
    series: { [of('build_info', { version: '1' })]: '1x9 _x10' },
    at: 20,
    fires: relay,
  },
  {
    alert: 'MailRelayDown',
    when: 'one of two pods is gone',
    series: {
      [of('build_info', { version: '1' })]: '1x9 _x10',
      [of('build_info', { version: '1', ...second })]: '1x20',
    },
    at: 20,
  },
  {
    alert: 'MailRelayDown',
    when: 'a pod was replaced within three minutes',
    series: {
      [of('build_info', { version: '1' })]: '1x9 _x20',
      [of('build_info', { version: '1', ...second })]: '_x12 1x20',
    },
    at: 20,
  },
  {
    alert: 'MailRelayPodUnreachable',
    when: 'one of two pods has not answered for eleven minutes',
    series: {
      [of('build_info', { version: '1', ...second })]: '1x30',
      [labelled('up', { ...pod, ...scrape })]: '1x4 0x20',
      [labelled('up', { ...pod, ...scrape, ...second })]: '1x30',
    },
    at: 17,
    fires: { ...pod, ...scrape },
  },
  {
    alert: 'MailRelayPodUnreachable',
    when: 'a pod was away for five minutes, and a program that is no relay is down',
    series: {
      [of('build_info', { version: '1' })]: '1x30',
      [labelled('up', { ...pod, ...scrape })]: '1x4 0x5 1x20',
      [labelled('up', { job: 'web', namespace: 'apps', service: 'web' })]: '0x30',
    },
    at: 25,
  },
  {
    alert: 'MailRelayStoreFailed',
    when: 'a write failed just now',
    series: { [of('spool_failed')]: '0x4 1x5' },
    at: 5,
    fires: pod,
  },
  { alert: 'MailRelayStoreFailed', when: 'all is well', series: { [of('spool_failed')]: '0x9' }, at: 9 },
  {
    alert: 'MailRelayDiskFull',
    when: 'less is free than the reserve',
    series: { [of('disk_free_bytes')]: '99e6x9', [of('disk_reserve_bytes')]: '100e6x9' },
    at: 5,
    fires: { ...pod, ...scrape },
  },
  {
    alert: 'MailRelayDiskFull',
    when: 'more is free than the reserve',
    series: { [of('disk_free_bytes')]: '101e6x9', [of('disk_reserve_bytes')]: '100e6x9' },
    at: 5,
  },
  {
    alert: 'MailRelayDiskLow',
    when: 'less is free than twice the reserve',
    series: { [of('disk_free_bytes')]: '199e6x20', [of('disk_reserve_bytes')]: '100e6x20' },
    at: 15,
    fires: { ...pod, ...scrape },
  },
  {
    alert: 'MailRelayDiskLow',
    when: 'that was so for five minutes only',
    series: { [of('disk_free_bytes')]: '199e6x5 300e6x20', [of('disk_reserve_bytes')]: '100e6x26' },
    at: 15,
  },
  {
    alert: 'MailRelayRefusingClients',
    when: 'a connection a second is turned away since there are too many',
    series: { [of('rejected_total', { reason: 'too-many-connections' })]: '0+60x30' },
    at: 25,
    fires: { ...relay, reason: 'too-many-connections' },
  },
  {
    alert: 'MailRelayRefusingClients',
    when: 'clients make mistakes of their own',
    series: { [of('rejected_total', { reason: 'syntax' })]: '0+60x30' },
    at: 25,
  },
];

const providers: readonly AlertCase[] = [
  {
    alert: 'MailRelayAllProvidersFailing',
    when: 'no provider of a pod is usable',
    series: {
      [of('provider_up', primary)]: '0x9',
      [of('provider_up', backup)]: '1x2 0x9',
      [of('forwarding')]: '1x12',
    },
    at: 7,
    fires: pod,
  },
  {
    alert: 'MailRelayAllProvidersFailing',
    when: 'the backup is usable',
    series: {
      [of('provider_up', primary)]: '0x9',
      [of('provider_up', backup)]: '1x9',
      [of('forwarding')]: '1x9',
    },
    at: 7,
  },
  {
    alert: 'MailRelayAllProvidersFailing',
    when: 'forwarding is off, and a pod of that name elsewhere forwards',
    series: {
      [of('provider_up', primary)]: '0x9',
      [of('forwarding')]: '0x9',
      [of('forwarding', { namespace: 'shop' })]: '1x9',
    },
    at: 7,
  },
  {
    alert: 'MailRelayProviderAuthenticationRefused',
    when: 'the provider refuses the password',
    series: { [of('provider_state', { ...primary, state: 'suspended' })]: '0x2 1x9' },
    at: 6,
    fires: { ...relay, ...primary },
  },
  {
    alert: 'MailRelayProviderAuthenticationRefused',
    when: 'the provider fails for another reason',
    series: {
      [of('provider_state', { ...primary, state: 'suspended' })]: '0x9',
      [of('provider_state', { ...primary, state: 'failing' })]: '1x9',
    },
    at: 6,
  },
  {
    alert: 'MailRelayProviderMisconfigured',
    when: 'a Secret has been missing for six minutes',
    series: { [of('provider_state', { ...primary, state: 'misconfigured' })]: '1x9' },
    at: 7,
    fires: { ...relay, ...primary },
  },
  {
    alert: 'MailRelayProviderMisconfigured',
    when: 'the Secret came two minutes after the relay',
    series: { [of('provider_state', { ...primary, state: 'misconfigured' })]: '1x1 0x9' },
    at: 9,
  },
  {
    alert: 'MailRelayProviderDown',
    when: 'a provider has been unusable for eleven minutes in one of two pods',
    series: {
      [of('provider_up', primary)]: '1x4 0x20',
      [of('provider_up', { ...primary, ...second })]: '1x24',
      [of('provider_up', backup)]: '1x24',
    },
    at: 16,
    fires: { ...relay, ...primary },
  },
  {
    alert: 'MailRelayProviderDown',
    when: 'it was for five minutes',
    series: { [of('provider_up', primary)]: '1x4 0x5 1x20' },
    at: 16,
  },
  {
    alert: 'MailRelayAmbiguousDeliveries',
    when: 'one delivery in ten is not answered',
    series: {
      [of('ambiguous_total')]: '0+1x90',
      [of('provider_messages_delivered_total', primary)]: '0+10x90',
    },
    at: 80,
    fires: relay,
  },
  {
    alert: 'MailRelayAmbiguousDeliveries',
    when: 'a pod that was killed under load counted what was in doubt at its next start',
    series: {
      [of('ambiguous_total')]: '_x5 30x60',
      [of('provider_messages_delivered_total', primary)]: '_x5 100x60',
      [started]: '_x5 290x60',
    },
    at: 15,
    fires: relay,
  },
  {
    alert: 'MailRelayAmbiguousDeliveries',
    when: 'that pod had delivered thousands before it was read for the first time',
    series: {
      [of('ambiguous_total')]: '_x5 30x60',
      [of('provider_messages_delivered_total', primary)]: '_x5 9000x60',
      [started]: '_x5 290x60',
    },
    at: 15,
  },
  {
    alert: 'MailRelayAmbiguousDeliveries',
    when: 'one in a thousand is not',
    series: {
      [of('ambiguous_total')]: '0+1x90',
      [of('provider_messages_delivered_total', primary)]: '0+1000x90',
    },
    at: 80,
  },
  {
    alert: 'MailRelayAmbiguousDeliveries',
    when: 'three were not on a quiet day',
    series: {
      [of('ambiguous_total')]: '0x30 1 2 3x60',
      [of('provider_messages_delivered_total', primary)]: '0x90',
    },
    at: 80,
  },
];

const failed = of('queue_oldest_age_seconds', { state: 'failed' });

const queue: readonly AlertCase[] = [
  {
    alert: 'MailRelayMailAboutToExpire',
    when: 'mail is four and a half days old',
    series: { [failed]: '388800+60x20' },
    at: 15,
    fires: relay,
  },
  { alert: 'MailRelayMailAboutToExpire', when: 'it is a day old', series: { [failed]: '86400x20' }, at: 15 },
  {
    alert: 'MailRelayFailedMailOld',
    when: 'mail is five hours old',
    series: { [failed]: '18000+60x20' },
    at: 15,
    fires: relay,
  },
  {
    alert: 'MailRelayFailedMailOld',
    when: 'mail is an hour old, and what is dead is older',
    series: {
      [failed]: '3600+60x20',
      [of('queue_oldest_age_seconds', { state: 'dead' })]: '900000x20',
    },
    at: 15,
  },
  {
    alert: 'MailRelayMailExpired',
    when: 'a message was given up',
    series: { [of('expired_total')]: '0x5 1x9' },
    at: 8,
    fires: relay,
  },
  {
    alert: 'MailRelayMailExpired',
    when: 'one was, two hours ago',
    series: { [of('expired_total')]: '0x5 1x130' },
    at: 130,
  },
  {
    alert: 'MailRelayMailExpired',
    when: 'a pod that just started gave up what had grown old meanwhile',
    series: { [of('expired_total')]: '_x5 7x90', [started]: '_x5 290x90' },
    at: 60,
    fires: relay,
  },
  {
    alert: 'MailRelayMailExpired',
    when: 'it did so an hour ago and more',
    series: { [of('expired_total')]: '_x5 7x90', [started]: '_x5 290x90' },
    at: 67,
  },
  {
    alert: 'MailRelayMailHeld',
    when: 'forwarding has been off for an hour, and mail waits',
    series: { [of('queue_messages', { state: 'held' })]: '3x90', [of('forwarding')]: '0x90' },
    at: 70,
    fires: relay,
  },
  {
    alert: 'MailRelayMailHeld',
    when: 'somebody holds messages by hand while others are forwarded',
    series: { [of('queue_messages', { state: 'held' })]: '3x90', [of('forwarding')]: '1x90' },
    at: 70,
  },
];

const operation: readonly AlertCase[] = [
  {
    alert: 'MailRelayConfigurationRefused',
    when: 'a pod refused a configuration',
    series: { [of('config_reloads_total', { result: 'failure' })]: '0x3 1x9' },
    at: 5,
    fires: pod,
  },
  {
    alert: 'MailRelayConfigurationRefused',
    when: 'a pod did so before it was read for the first time',
    series: {
      [of('config_reloads_total', { result: 'failure' })]: '_x5 1x30',
      [started]: '_x5 290x30',
    },
    at: 12,
    fires: pod,
  },
  {
    alert: 'MailRelayConfigurationRefused',
    when: 'that was a quarter of an hour ago',
    series: {
      [of('config_reloads_total', { result: 'failure' })]: '_x5 1x30',
      [started]: '_x5 290x30',
    },
    at: 20,
  },
  {
    alert: 'MailRelayConfigurationRefused',
    when: 'configurations were taken over',
    series: {
      [of('config_reloads_total', { result: 'failure' })]: '0x9',
      [of('config_reloads_total', { result: 'success' })]: '0+1x9',
    },
    at: 5,
  },
  {
    alert: 'MailRelayQuarantine',
    when: 'a file was not understood',
    series: { [of('spool_quarantined_total')]: '0x3 1x9' },
    at: 5,
    fires: pod,
  },
  {
    alert: 'MailRelayQuarantine',
    when: 'all is well',
    series: { [of('spool_quarantined_total')]: '0x9' },
    at: 5,
  },
  {
    alert: 'MailRelayQuarantine',
    when: 'a new pod found two at its start, before it was read for the first time',
    series: { [of('spool_quarantined_total')]: '_x5 2x90', [started]: '_x5 290x90' },
    at: 6,
    fires: pod,
  },
  {
    alert: 'MailRelayQuarantine',
    when: 'that pod has been gone for half an hour',
    series: { [of('spool_quarantined_total')]: '_x5 2x9 stale', [started]: '_x5 290x9 stale' },
    at: 45,
    fires: pod,
  },
  {
    alert: 'MailRelayQuarantine',
    when: 'its container was started anew since and found none',
    series: { [of('spool_quarantined_total')]: '_x5 2x9 0x90', [started]: '_x5 290x9 890x90' },
    at: 60,
    fires: pod,
  },
  {
    alert: 'MailRelayQuarantine',
    when: 'the pod found them at its start more than an hour ago',
    series: { [of('spool_quarantined_total')]: '_x5 2x90', [started]: '_x5 290x90' },
    at: 67,
  },
  {
    alert: 'MailRelayQuarantine',
    when: 'an old pod that found some long ago could not be read for some minutes an hour ago',
    series: {
      [of('spool_quarantined_total')]: '5x20 stale _x5 5x100',
      [started]: '-9000x20 stale _x5 -9000x100',
    },
    at: 83,
  },
  {
    alert: 'MailRelayQuarantine',
    when: 'the container of such a pod has just been started anew',
    series: { [of('spool_quarantined_total')]: '5x90 0x20', [started]: '-9000x90 5440x20' },
    at: 95,
  },
  {
    alert: 'MailRelayQuarantine',
    when: 'Prometheus has lost what it knew and reads an old pod that found some long ago',
    series: { [of('spool_quarantined_total')]: '_x5 5x30', [started]: '_x5 -9000x30' },
    at: 10,
  },
];

const errors = 'controller_runtime_reconcile_errors_total';
const leader = 'leader_election_master_status';

const operators: readonly AlertCase[] = [
  {
    alert: 'MailRelayOperatorDown',
    when: 'another program is up and the operator is not there',
    series: { [labelled('up', stranger)]: '1x9' },
    at: 7,
    fires: {},
  },
  {
    alert: 'MailRelayOperatorDown',
    when: 'one of two pods is up',
    series: {
      [labelled('up', operator)]: '1x9',
      [labelled('up', { ...operator, pod: 'operator-2' })]: '0x9',
    },
    at: 7,
  },
  {
    alert: 'MailRelayOperatorNoLeader',
    when: 'pods run and none leads',
    series: {
      [labelled('up', operator)]: '1x9',
      [labelled(leader, { ...operator, name: 'x' })]: '0x9',
      [labelled(leader, { ...stranger, name: 'x' })]: '1x9',
    },
    at: 7,
    fires: { namespace: operator.namespace, service: operator.service },
  },
  {
    alert: 'MailRelayOperatorNoLeader',
    when: 'one leads and the other has never led',
    series: {
      [labelled('up', operator)]: '1x9',
      [labelled('up', { ...operator, pod: 'operator-2' })]: '1x9',
      [labelled(leader, { ...operator, name: 'x' })]: '1x9',
    },
    at: 7,
  },
  {
    alert: 'MailRelayOperatorReconcileErrors',
    when: 'a reconcile has failed every minute for half an hour',
    series: { [labelled(errors, { ...operator, controller: 'mailrelay' })]: '0+1x60' },
    at: 45,
    fires: { namespace: operator.namespace, service: operator.service, controller: 'mailrelay' },
  },
  {
    alert: 'MailRelayOperatorReconcileErrors',
    when: 'one failed, and another operator fails all the time',
    series: {
      [labelled(errors, { ...operator, controller: 'mailrelay' })]: '0x5 1x60',
      [labelled(errors, { ...stranger, controller: 'other' })]: '0+9x60',
    },
    at: 45,
  },
  {
    alert: 'MailRelayOperatorStuck',
    when: 'work waits and none is done',
    series: {
      [labelled('workqueue_depth', { ...operator, name: 'mailrelay' })]: '3x30',
      [labelled('controller_runtime_reconcile_total', {
        ...operator,
        controller: 'mailrelay',
        result: 'success',
      })]: '7x30',
    },
    at: 25,
    fires: { namespace: operator.namespace, service: operator.service, pod: operator.pod },
  },
  {
    alert: 'MailRelayOperatorStuck',
    when: 'work waits and is done, one after another',
    series: {
      [labelled('workqueue_depth', { ...operator, name: 'mailrelay' })]: '3x30',
      [labelled('controller_runtime_reconcile_total', {
        ...operator,
        controller: 'mailrelay',
        result: 'success',
      })]: '0+9x30',
    },
    at: 25,
  },
  {
    alert: 'MailRelayOperatorStuck',
    when: 'nothing is to be done',
    series: {
      [labelled('workqueue_depth', { ...operator, name: 'mailrelay' })]: '0x30',
      [labelled('controller_runtime_reconcile_total', {
        ...operator,
        controller: 'mailrelay',
        result: 'success',
      })]: '7x30',
    },
    at: 25,
  },
  {
    alert: 'MailRelayOperatorWatchFaults',
    when: 'Secrets cannot be listed, twice a minute',
    series: {
      [labelled('kube_watch_faults_total', { ...operator, kind: 'Secret', during: 'list' })]: '0+2x60',
    },
    at: 40,
    fires: { namespace: operator.namespace, service: operator.service, kind: 'Secret' },
  },
  {
    alert: 'MailRelayOperatorWatchFaults',
    when: 'the API server was away for some minutes',
    series: {
      [labelled('kube_watch_faults_total', { ...operator, kind: 'Secret', during: 'watch' })]:
        '0 3 6 9 12x60',
    },
    at: 40,
  },
];

/** In the order of the alerts. */
export const cases: readonly AlertCase[] = [...accepting, ...providers, ...queue, ...operation, ...operators];
