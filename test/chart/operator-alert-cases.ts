/** Alerts on what the operator tells, of itself and of MailRelays: when they fire and when not. */
import { type AlertCase, labelled, operator, standby, stranger, told } from './alert-series.ts';

/** The labels by which the rules that the operator makes tell the same MailRelay. */
const mailRelay = { namespace: 'apps', mailrelay: 'mail' };
const leader = 'leader_election_master_status';

const outOfView = (kind: string, by: Readonly<Record<string, string>> = operator): string =>
  labelled('mailrelay_operator_scope_out_of_view', { ...by, exported_namespace: 'apps', kind });

export const operatorCases: readonly AlertCase[] = [
  {
    alert: 'MailRelayOperatorDown',
    when: 'no pod of it can be reached, and one of another release can',
    series: {
      [labelled('up', operator)]: '1x4 0x9',
      [labelled('up', standby)]: '1x2 0x9',
      [labelled('up', { ...operator, namespace: 'mail-b' })]: '1x20',
    },
    at: 11,
    fires: { namespace: operator.namespace, service: operator.service },
  },
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
      [labelled('up', standby)]: '0x9',
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
      [labelled('up', standby)]: '1x9',
      [labelled(leader, { ...operator, name: 'x' })]: '1x9',
    },
    at: 7,
  },
  {
    alert: 'MailRelayNotReconciled',
    when: 'a MailRelay has been failing for sixteen minutes, however rarely it is tried',
    series: { [told('state', { state: 'failing' })]: '1x30' },
    at: 16,
    fires: { ...mailRelay, state: 'failing' },
  },
  {
    alert: 'MailRelayNotReconciled',
    when: 'one is stalled, and another operator has come to lead meanwhile',
    series: {
      [told('state', { state: 'stalled' })]: '1x8 stale',
      [told('state', { ...standby, state: 'stalled' })]: '_x10 1x20',
    },
    at: 17,
    fires: { ...mailRelay, state: 'stalled' },
  },
  {
    alert: 'MailRelayNotReconciled',
    when: 'it failed for ten minutes, and a reconcile now and then since',
    series: {
      [told('state', { state: 'failing' })]: '1x9 stale _x3 1 stale _x3 1 stale _x3 1 stale _x3 1 stale _x9',
      [told('state', { state: 'ready' })]: '_x9 1x3 stale 1x3 stale 1x3 stale 1x3 stale 1x9',
    },
    at: 26,
  },
  {
    alert: 'MailRelayNotReconciled',
    when: 'it is suspended, or not ready',
    series: {
      [told('state', { state: 'suspended' })]: '1x30',
      [told('state', { relay: 'other', state: 'not-ready' })]: '1x30',
    },
    at: 25,
  },
  {
    alert: 'MailRelayNotReady',
    when: 'the second pod of a MailRelay has been pending for sixteen minutes, so that Prometheus knows none',
    series: {
      [told('state', { state: 'not-ready' })]: '1x30',
      [told('expected_pods')]: '2x30',
    },
    at: 16,
    fires: mailRelay,
  },
  {
    alert: 'MailRelayNotReady',
    when: 'another operator has come to lead meanwhile',
    series: {
      [told('state', { state: 'not-ready' })]: '1x8 stale',
      [told('state', { ...standby, state: 'not-ready' })]: '_x10 1x20',
      [told('expected_pods')]: '1x8 stale',
      [told('expected_pods', standby)]: '_x10 1x20',
    },
    at: 17,
    fires: mailRelay,
  },
  {
    alert: 'MailRelayNotReady',
    when: 'no pods are wanted',
    series: { [told('state', { state: 'not-ready' })]: '1x30', [told('expected_pods')]: '0x30' },
    at: 25,
  },
  {
    alert: 'MailRelayNotReady',
    when: 'a rollout took ten minutes',
    series: {
      [told('state', { state: 'not-ready' })]: '1x9 stale',
      [told('state', { state: 'ready' })]: '_x9 1x30',
      [told('expected_pods')]: '1x40',
    },
    at: 18,
  },
  {
    alert: 'MailRelayOperatorUnstable',
    when: 'it has lost its lease three times within an hour',
    series: { [labelled(leader, { ...operator, name: 'x' })]: '1x9 0x1 1x9 0 1x9 0 1x30' },
    at: 50,
    fires: { namespace: operator.namespace, service: operator.service, pod: operator.pod },
  },
  {
    alert: 'MailRelayOperatorUnstable',
    when: 'its container ends every three minutes and begins anew',
    series: {
      [labelled('process_start_time_seconds', operator)]:
        '1x2 stale 240x2 stale 480x2 stale 720x2 stale 960x2 stale 1200x2 stale 1440x9',
    },
    at: 33,
    fires: { namespace: operator.namespace, service: operator.service, pod: operator.pod },
  },
  {
    alert: 'MailRelayOperatorUnstable',
    when: 'it has been restarted once, and the lease has changed hands twice',
    series: {
      [labelled('process_start_time_seconds', operator)]: '1x9 stale 600x60',
      [labelled(leader, { ...operator, name: 'x' })]: '1x9 stale 0x5 1x50',
      [labelled(leader, { ...standby, name: 'x' })]: '0x10 1x4 0x50',
    },
    at: 40,
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
    alert: 'MailRelayOperatorScopeOutOfView',
    when: 'it has not been allowed to read two kinds in a namespace for twenty minutes, as both of its pods say',
    series: {
      [outOfView('Secret')]: '1x30',
      [outOfView('Pod')]: '1x30',
      [outOfView('Pod', standby)]: '1x30',
    },
    at: 20,
    fires: { namespace: operator.namespace, service: operator.service, exported_namespace: 'apps' },
  },
  {
    alert: 'MailRelayOperatorScopeOutOfView',
    when: 'a namespace was made some minutes after the release',
    series: { [outOfView('Secret')]: '1x8 stale', [labelled('up', operator)]: '1x30' },
    at: 20,
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
