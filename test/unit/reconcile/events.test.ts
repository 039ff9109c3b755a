import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { eventReasons } from '../../../operator/api/conditions.ts';
import type { MailRelayStatus, ProviderState, ProviderStatus } from '../../../operator/api/schema-status.ts';
import { eventsOf, refusedEvent } from '../../../operator/reconcile/events.ts';
import type { Observation } from '../../../operator/reconcile/observation.ts';
import type { OnBoard } from '../../../operator/reconcile/on-board.ts';
import { threeProvidersSpec } from '../operator-api/relays.ts';
import { fingerprint, observed } from './observations.ts';

const since = '2026-01-01T00:00:00Z';

/** A state, with the words of the provider. */
type Given = ProviderState | readonly [ProviderState, string];

function providers(...states: readonly Given[]): ProviderStatus[] {
  return states.map((given, at) => {
    const [state, message] = typeof given === 'string' ? [given] : given;
    return { name: ['primary', 'backup'][at]!, state, since, ...(message !== undefined && { message }) };
  });
}

function condition(type: string, reason: string, message = 'words'): MailRelayStatus {
  return { conditions: [{ type, reason, message, status: 'False', lastTransitionTime: since }] };
}

const via = (active: string, ...states: readonly Given[]): MailRelayStatus => ({
  activeProvider: active,
  providers: providers(...states),
});
const running = (loadedReplicas: number, config = fingerprint): MailRelayStatus => ({
  replicas: 2,
  config: { fingerprint: config, loadedReplicas },
});
const scale = (draining: readonly string[]) => ({
  scale: { replicas: 2, draining, awaited: draining, leaving: [], unsent: 1 },
});
const holding = (board: OnBoard) => ({
  volumes: { pending: [], held: [{ claim: 'spool-mail-1', ...board, since }] },
});
const left = holding({ messages: 4, deadMessages: 0, quarantinedFiles: 0 });
const over = holding({ messages: 0, deadMessages: 3, quarantinedFiles: 1 });
const gone = {
  ...left,
  scale: { ...scale([]).scale, leaving: [{ pod: 'mail-1', board: { messages: 4 } }] },
};
const perReplica = { ...threeProvidersSpec, spool: { mode: 'PerReplica' } } as const;
const passing = { ...threeProvidersSpec, spool: { retention: 'Delete' } } as const;

type Case = readonly [
  what: string,
  before: MailRelayStatus,
  after: MailRelayStatus,
  wanted: readonly (readonly [reason: string, note: RegExp])[],
  seen?: Observation,
];

const cases: readonly Case[] = [
  ['nothing changes', via('primary', 'Active', 'Standby'), via('primary', 'Active', 'Standby'), []],
  ['all begins', {}, via('primary', 'Active', ['Failing', 'refused']), []],
  [
    'mail goes another way',
    via('primary', 'Active', 'Standby'),
    via('backup', ['Failing', '421 no'], 'Active'),
    [['ProviderFailedOver', /^mail goes through backup instead of primary, which is Failing: 421 no$/]],
  ],
  ['the order is changed', via('primary', 'Active', 'Standby'), via('backup', 'Standby', 'Active'), []],
  [
    'a provider refuses its password',
    via('primary', 'Active', 'Standby'),
    via('backup', ['Suspended', '535 no'], 'Active'),
    [
      ['ProviderSuspended', /^primary refused its credentials and is not used until they change: 535 no$/],
      ['ProviderFailedOver', /primary, which is Suspended/],
    ],
  ],
  [
    'a provider is back',
    via('backup', 'Failing', 'Active'),
    via('primary', 'Active', 'Standby'),
    [['ProviderRecovered', /^primary can be used again; it was Failing$/]],
  ],
  ['a provider gets worse', via('backup', 'Cooling', 'Active'), via('backup', 'Failing', 'Active'), []],
  [
    'the words change',
    via('backup', ['Failing', 'a'], 'Active'),
    via('backup', ['Failing', 'b'], 'Active'),
    [],
  ],
  [
    'all fail',
    condition('ProvidersHealthy', 'SomeFailing'),
    condition('ProvidersHealthy', 'AllFailing'),
    [['AllProvidersFailing', /^words$/]],
  ],
  [
    'all still fail',
    condition('ProvidersHealthy', 'AllFailing'),
    condition('ProvidersHealthy', 'AllFailing', 'others'),
    [],
  ],
  [
    'a volume is nearly full',
    condition('SpoolHealthy', 'Healthy'),
    condition('SpoolHealthy', 'NearlyFull'),
    [['SpoolNearlyFull', /words/]],
  ],
  [
    'a volume is full',
    condition('SpoolHealthy', 'NearlyFull'),
    condition('SpoolHealthy', 'DiskLow'),
    [['SpoolFull', /words/]],
  ],
  [
    'there is a little room again',
    condition('SpoolHealthy', 'DiskLow'),
    condition('SpoolHealthy', 'NearlyFull'),
    [],
  ],
  [
    'a configuration is refused',
    {},
    condition('ConfigurationValid', 'RefusedByRelay'),
    [['ConfigurationRefused', /words/]],
  ],
  ['a name is taken', {}, condition('Stalled', 'NameTaken'), [['NameTaken', /words/]]],
  [
    'a resend was asked for',
    { lastHandledResendAt: 'a' },
    { lastHandledResendAt: 'b' },
    [['ResendRequested', /as asked at b$/]],
  ],
  [
    'the last pod has loaded the new configuration',
    running(1),
    running(2),
    [['ConfigurationLoaded', /^all 2 pods run configuration 0123456789abcdef$/]],
  ],
  ['the first pods start', {}, running(2), []],
  ['a pod is behind', running(2, 'old'), running(1), []],
  ['no pod runs', running(2, 'old'), { ...running(0), replicas: 0 }, []],
  [
    'a replica is to go',
    {},
    {},
    [['ScaleDownDraining', /^mail-1 send what they have/]],
    observed(scale(['mail-1'])),
  ],
  ['it is still draining', condition('Reconciling', 'ScalingDown'), {}, [], observed(scale(['mail-1']))],
  [
    'it is deleted',
    {},
    {},
    [['DeleteDraining', /^mail-0 send what they have/]],
    observed({ ...scale(['mail-0']), deleting: true }),
  ],
  [
    'a replica went with mail',
    {},
    {},
    [
      [
        'ScaleDownLeftMail',
        /^on spool-mail-1: 4 unsent messages; its pod has gone before it could send all$/,
      ],
    ],
    observed(gone, perReplica),
  ],
  [
    'nobody knows whether a replica went with mail',
    {},
    {},
    [['ScaleDownLeftMail', /^on spool-mail-1: perhaps unsent messages, dead letters or quarantined files; /]],
    observed({ ...gone, ...holding({}) }, perReplica),
  ],
  [
    'a replica went that had nothing to send, and yet something on its volume',
    {},
    {},
    [['ScaleDownLeftMail', /^on spool-mail-1: 3 dead letters, 1 quarantined file; its pod has gone$/]],
    observed({ ...gone, ...over }, perReplica),
  ],
  [
    'a volume of an earlier one is found',
    {},
    {},
    [['MailFound', /^on spool-mail-1: 4 unsent messages; no pod serves it$/]],
    observed(left),
  ],
  [
    'a volume is deleted under its pod',
    {},
    condition('SpoolHealthy', 'VolumeDeleted'),
    [['VolumeDeleted', /^words$/]],
  ],
  ['that is known', { heldVolumes: left.volumes.held }, {}, [], observed(left)],
  [
    'it went, and a volume with mail stays whatever spool.retention says',
    {},
    {},
    [
      [
        'DeleteLeftMail',
        /^on spool-mail-1: 4 unsent messages, so that it is kept; a MailRelay of this name /,
      ],
    ],
    observed({ ...left, deleting: true }, passing),
  ],
  [
    'it went, and a volume with dead letters and quarantined files stays as well',
    {},
    {},
    [['DeleteLeftMail', /^on spool-mail-1: 3 dead letters, 1 quarantined file, so that it is kept; /]],
    observed({ ...over, deleting: true }, passing),
  ],
];

describe('events', () => {
  for (const [what, before, after, wanted, seen = observed()] of cases) {
    const names = wanted.map(([reason]) => reason).join(' and ') || 'nothing';
    test(`tell ${names} when ${what}`, () => {
      const events = eventsOf(before, after, seen);
      assert.deepEqual(
        events.map(({ reason }) => reason),
        wanted.map(([reason]) => reason),
      );
      for (const [at, [, note]] of wanted.entries()) assert.match(events[at]?.note ?? '', note);
      for (const { type, reason } of events) {
        assert.equal(type, eventReasons[reason as keyof typeof eventReasons][0]);
      }
    });
  }

  test('have a case here for every reason that there is', () => {
    const refused = refusedEvent('StatefulSet mail', 1, 3);
    assert.match(refused.note, /replicas of StatefulSet mail to 1; they are 3 again/);
    const told = new Set([
      refused.reason,
      ...cases.flatMap(([, , , wanted]) => wanted.map(([reason]) => reason)),
    ]);
    assert.deepEqual([...told].sort(), Object.keys(eventReasons).sort());
  });
});
