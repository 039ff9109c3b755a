/** Alerts on what relay pods tell: series under which they fire and series under which they do not. */
import {
  type AlertCase,
  labelled,
  of,
  pod,
  relay,
  scrape,
  second,
  standby,
  started,
  told,
} from './alert-series.ts';

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
    when: 'a pod has gone on with the configuration before for hours',
    series: { [of('config_refused')]: '0x3 1x300', [of('config_refused', second)]: '0x300' },
    at: 300,
    fires: pod,
  },
  {
    alert: 'MailRelayConfigurationRefused',
    when: 'what it refused was corrected at once',
    series: { [of('config_refused')]: '0x3 1 0x9' },
    at: 6,
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

/** In the order of the alerts. */
export const relayCases: readonly AlertCase[] = [...accepting, ...providers, ...queue, ...operation];
