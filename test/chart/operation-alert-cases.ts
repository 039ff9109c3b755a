/** Alerts on a relay that does not do as it is told: when they fire and when not. */
import { type AlertCase, of, pod, second, started } from './alert-series.ts';

export const operationCases: readonly AlertCase[] = [
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
