/** Alerts on providers: when they fire and when not. */
import { type AlertCase, of, pod, relay, second, started } from './alert-series.ts';

const primary = { provider: 'primary' };
const backup = { provider: 'backup' };

export const providerCases: readonly AlertCase[] = [
  {
    alert: 'MailRelayAllProvidersFailing',
    when: 'no provider of a pod is usable',
    series: {
      [of('provider_up', primary)]: '0x12',
      [of('provider_up', backup)]: '1x2 0x9',
      [of('forwarding')]: '1x12',
    },
    at: 9,
    fires: pod,
  },
  {
    alert: 'MailRelayAllProvidersFailing',
    when: 'it was so for three minutes, until the network was back',
    series: {
      [of('provider_up', primary)]: '1x2 0x3 1x9',
      [of('provider_up', backup)]: '1x2 0x3 1x9',
      [of('forwarding')]: '1x15',
    },
    at: 6,
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
    alert: 'MailRelayProviderDown',
    when: 'it is out of use for a reason that another alert tells',
    series: {
      [of('provider_up', primary)]: '0x30',
      [of('provider_state', { ...primary, state: 'failing' })]: '0x30',
      [of('provider_state', { ...primary, state: 'suspended' })]: '1x30',
      [of('provider_up', backup)]: '0x30',
      [of('provider_state', { ...backup, state: 'suspended' })]: '0x30',
      [of('provider_state', { ...backup, state: 'misconfigured' })]: '1x30',
    },
    at: 20,
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
