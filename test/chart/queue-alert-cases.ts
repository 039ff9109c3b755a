/** Alerts on mail that waits or is given up: when they fire and when not. */
import { type AlertCase, of, relay, started } from './alert-series.ts';

const failed = of('queue_oldest_age_seconds', { state: 'failed' });

export const queueCases: readonly AlertCase[] = [
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
    alert: 'MailRelayFailedMailGrowing',
    when: 'of a hundred messages an hour half fail',
    series: {
      [of('queue_messages', { state: 'failed' })]: '0+1x90',
      [of('accepted_total')]: '0+2x90',
    },
    at: 80,
    fires: relay,
  },
  {
    alert: 'MailRelayFailedMailGrowing',
    when: 'of thousands an hour some wait for slow mailboxes',
    series: {
      [of('queue_messages', { state: 'failed' })]: '0+1x90',
      [of('accepted_total')]: '0+50x90',
    },
    at: 80,
  },
  {
    alert: 'MailRelayFailedMailGrowing',
    when: 'what gathered in an outage is being sent',
    series: {
      [of('queue_messages', { state: 'failed' })]: '900-10x90',
      [of('accepted_total')]: '0+2x90',
    },
    at: 80,
  },
  {
    alert: 'MailRelayFailedMailGrowing',
    when: 'a pod has taken over a volume with much failed mail',
    series: {
      [of('queue_messages', { state: 'failed' })]: '_x9 900x80',
      [of('accepted_total')]: '_x9 0+1x80',
    },
    at: 40,
  },
  {
    alert: 'MailRelayMailRejected',
    when: 'one recipient in six is refused for good',
    series: {
      [of('recipients_settled_total', { result: 'rejected' })]: '0+1x90',
      [of('recipients_settled_total', { result: 'delivered' })]: '0+5x90',
    },
    at: 80,
    fires: relay,
  },
  {
    alert: 'MailRelayMailRejected',
    when: 'one in fifty is',
    series: {
      [of('recipients_settled_total', { result: 'rejected' })]: '0+1x90',
      [of('recipients_settled_total', { result: 'delivered' })]: '0+49x90',
    },
    at: 80,
  },
  {
    alert: 'MailRelayMailRejected',
    when: 'three were on a quiet day',
    series: { [of('recipients_settled_total', { result: 'rejected' })]: '0x30 1 2 3x60' },
    at: 80,
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
