/** Alerts on what keeps applications from handing mail over: when they fire and when not. */
import { type AlertCase, labelled, of, pod, relay, scrape, second, standby, told } from './alert-series.ts';

export const receptionCases: readonly AlertCase[] = [
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
    alert: 'MailRelayDown',
    when: 'they have been gone for hours, and the operator says that one is wanted',
    series: { [of('build_info', { version: '1' })]: '1x9 stale', [told('expected_pods')]: '1x300' },
    at: 300,
    fires: relay,
  },
  {
    alert: 'MailRelayDown',
    when: 'a pod is wanted and there has never been one',
    series: { [told('expected_pods')]: '1x9' },
    at: 7,
    fires: relay,
  },
  {
    alert: 'MailRelayDown',
    when: 'pods are gone, and so is the operator, on the same node',
    series: { [of('build_info', { version: '1' })]: '1x9 stale', [told('expected_pods')]: '1x9 stale' },
    at: 50,
    fires: relay,
  },
  {
    alert: 'MailRelayDown',
    when: 'no pod is wanted any more',
    series: { [of('build_info', { version: '1' })]: '1x9 stale', [told('expected_pods')]: '1x9 0x20' },
    at: 20,
    ofAllAlone: true,
  },
  {
    alert: 'MailRelayDown',
    when: 'it is gone as the operator says that leads now, and another one led before',
    series: {
      [of('build_info', { version: '1' })]: '1x9 stale',
      [told('expected_pods')]: '1x9 stale',
      [told('expected_pods', standby)]: '_x10 0x20',
    },
    at: 19,
    ofAllAlone: true,
  },
  {
    alert: 'MailRelayDown',
    when: 'it answers, and a relay of that name elsewhere does not',
    series: {
      [of('build_info', { version: '1' })]: '1x20',
      [told('expected_pods')]: '1x20',
      [told('expected_pods', { relay_namespace: 'shop' })]: '1x20',
    },
    at: 15,
    fires: { ...relay, namespace: 'shop' },
    ofAllAlone: true,
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
