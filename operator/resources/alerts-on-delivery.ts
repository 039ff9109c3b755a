/** Alerts on what keeps mail from its recipients. */
import { type Alert, type AlertSubject, counted } from './alert.ts';

/** Whether mail can get out. */
export function providers(subject: AlertSubject): Alert[] {
  const { where, select } = subject;
  const perHour = (metric: string): string => counted(subject, [metric], 'namespace, service');
  return [
    {
      name: 'MailRelayAllProvidersFailing',
      expression: `max by (namespace, service, pod) (${select('provider_up')}) == 0 and on (namespace, service, pod) ${select('forwarding')} == 1`,
      hold: '5m',
      severity: 'critical',
      summary: `Pod {{ $labels.pod }} of mail relay ${where} can use no provider: mail waits.`,
      description: `No provider of ${where} has been usable from {{ $labels.pod }} for 5 minutes. Mail is accepted, kept and sent again until it expires. See status.providers for the reason of each.`,
    },
    {
      name: 'MailRelayProviderAuthenticationRefused',
      expression: `max by (namespace, service, provider) (${select('provider_state', 'state="suspended"')}) == 1`,
      hold: '1m',
      severity: 'warning',
      summary: `Provider {{ $labels.provider }} of mail relay ${where} refuses the credentials.`,
      description: `Provider {{ $labels.provider }} of ${where} refused the user name or password and gets no mail until they change. Correct the Secret; it is taken over live.`,
    },
    {
      name: 'MailRelayProviderMisconfigured',
      expression: `max by (namespace, service, provider) (${select('provider_state', 'state="misconfigured"')}) == 1`,
      hold: '5m',
      severity: 'warning',
      summary: `Provider {{ $labels.provider }} of mail relay ${where} lacks its credentials or certificate.`,
      description: `A Secret or a key that provider {{ $labels.provider }} of ${where} needs is missing or empty, so that it is left out. Condition CredentialsAvailable names it.`,
    },
    {
      name: 'MailRelayProviderDown',
      // A provider that is out of use until somebody changes something has an alert of its own.
      expression: `min by (namespace, service, provider) (${select('provider_up')}) == 0 unless on (namespace, service, provider) ${select('provider_state', 'state=~"suspended|misconfigured"')} == 1`,
      hold: '10m',
      severity: 'warning',
      summary: `Provider {{ $labels.provider }} of mail relay ${where} is out of use.`,
      description: `Provider {{ $labels.provider }} of ${where} has been out of use for 10 minutes; mail goes through the others. status.providers has the reason.`,
    },
    {
      name: 'MailRelayAmbiguousDeliveries',
      expression: `${perHour('ambiguous_total')} > 5 and ${perHour('ambiguous_total')} > 0.01 * ${perHour('provider_messages_delivered_total')}`,
      hold: '5m',
      severity: 'warning',
      summary: `Deliveries of mail relay ${where} often end without an answer.`,
      description: `{{ $value | humanize }} transactions within an hour, more than one in a hundred, were not answered after the message was sent. They are sent again, and recipients may get them twice. The log event delivery-ambiguous names the provider.`,
    },
  ];
}

/** Whether mail waits too long. */
export function queue(subject: AlertSubject): Alert[] {
  const { where, select, resend } = subject;
  const { expireAfterSeconds, maxDelaySeconds } = resend;
  const expiring = Math.round(expireAfterSeconds * 0.8);
  // Old means: it has missed several resends although they happen as often as they should.
  const old = Math.min(Math.max(4 * maxDelaySeconds, 1_800), Math.round(expireAfterSeconds * 0.5));
  const age = select('queue_oldest_age_seconds', 'state="failed"');
  const growth = `sum by (namespace, service) (delta(${select('queue_messages', 'state="failed"')}[1h]))`;
  const recipients = (...matchers: string[]): string =>
    counted(subject, ['recipients_settled_total', ...matchers], 'namespace, service');
  const [rejected, settled] = [recipients('result="rejected"'), recipients()];
  return [
    {
      name: 'MailRelayMailAboutToExpire',
      expression: `max by (namespace, service) (${age}) > ${expiring}`,
      hold: '5m',
      severity: 'critical',
      summary: `Mail in relay ${where} is about to be given up.`,
      description: `The oldest unsent message of ${where} is {{ $value | humanizeDuration }} old; messages are given up after ${expireAfterSeconds} seconds (spec.resend.expireAfterSeconds). Make a provider usable, or raise that value.`,
    },
    {
      name: 'MailRelayFailedMailOld',
      expression: `max by (namespace, service) (${age}) > ${old}`,
      hold: '10m',
      severity: 'warning',
      summary: `Mail in relay ${where} has not got out for long.`,
      description: `The oldest unsent message of ${where} is {{ $value | humanizeDuration }} old. "mailrelay queue list" in a pod says why each was not taken.`,
    },
    {
      name: 'MailRelayFailedMailGrowing',
      expression: `${growth} > 20 and ${growth} > 0.1 * sum by (namespace, service) (increase(${select('accepted_total')}[1h]))`,
      hold: '15m',
      severity: 'warning',
      summary: `More and more messages of mail relay ${where} are taken by no provider.`,
      description: `{{ $value | humanize }} more messages of ${where} wait in emails/failed than an hour ago, more than one in ten of those accepted meanwhile. They are sent again until they expire. "mailrelay queue list" in a pod says why each was not taken.`,
    },
    {
      name: 'MailRelayMailRejected',
      expression: `${rejected} > 10 and ${rejected} > 0.1 * ${settled}`,
      hold: '5m',
      severity: 'warning',
      summary: `Much mail of mail relay ${where} is refused for good.`,
      description: `{{ $value | humanize }} recipients of mail through ${where} within an hour, more than one in ten, were refused for good and do not get it: addresses are wrong, or providers refuse the sender or the content. The messages are in emails/dead and can be sent again from there.`,
    },
    {
      name: 'MailRelayMailExpired',
      expression: `${counted(subject, ['expired_total'], 'namespace, service')} > 0`,
      hold: '0m',
      severity: 'warning',
      summary: `Mail in relay ${where} was given up.`,
      description: `{{ $value | humanize }} recipients of mail through ${where} within an hour did not get their message before it expired. The messages are in emails/dead and can be sent again from there.`,
    },
    {
      name: 'MailRelayMailHeld',
      expression: `sum by (namespace, service) (${select('queue_messages', 'state="held"')}) > 0 and on (namespace, service) min by (namespace, service) (${select('forwarding')}) == 0`,
      hold: '1h',
      severity: 'info',
      summary: `Mail relay ${where} holds mail, since forwarding is off.`,
      description: `spec.forwardSMTP has been false for an hour and {{ $value | humanize }} messages wait. They are sent when it is true.`,
    },
  ];
}
