import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { MailRelaySpecInput } from '../../../operator/api/schema.ts';
import type { Observation } from '../../../operator/reconcile/observation.ts';
import { expectedPods, type RelayState, relayState } from '../../../operator/reconcile/relay-state.ts';
import { statusOf } from '../../../operator/reconcile/status.ts';
import { threeProvidersSpec } from '../operator-api/relays.ts';
import { invalid, observed, podStatus } from './observations.ts';

const suspend: MailRelaySpecInput = { ...threeProvidersSpec, suspend: true };
const unread: MailRelaySpecInput = {
  ...threeProvidersSpec,
  monitoring: { serviceMonitor: { enabled: false } },
};
const refused = { reason: 'Refused', message: 'Service mail: no', mailNeeds: true } as const;
const oneRuns = { desired: 1, replicas: 1, ready: 1, updated: 1, observed: true };

const states: readonly (readonly [title: string, seen: Observation, state: RelayState])[] = [
  ['all is well', observed(), 'ready'],
  [
    'a provider fails and mail goes through others',
    observed({
      reports: [{ pod: 'mail-a', status: podStatus(['failing', 'active', 'standby']), askedAt: 0 }],
    }),
    'ready',
  ],
  ['a pod is not ready', observed({ workload: { ...oneRuns, ready: 0 } }), 'not-ready'],
  ['none is wanted', observed({}, { ...threeProvidersSpec, replicas: 0 }), 'not-ready'],
  ['a step failed', observed({ retrying: ['Service mail: no answer'] }), 'failing'],
  ['a step of its deletion failed', observed({ retrying: ['no answer'], deleting: true }), 'failing'],
  ['the API server refuses a child', observed({ obstacles: [refused] }), 'stalled'],
  [
    'it refuses one that mail does without',
    observed({ obstacles: [{ ...refused, mailNeeds: false }] }),
    'stalled',
  ],
  [
    'it refuses one and does not answer about another',
    observed({ obstacles: [refused], retrying: ['no answer'] }),
    'stalled',
  ],
  ['nothing can be made of the spec', invalid(['spec.replicas: must be a number']), 'stalled'],
  ['it is suspended', observed({ suspended: { pending: [] } }, suspend), 'suspended'],
  ['it drains', observed({ deleting: true }), 'not-ready'],
];

const pods: readonly (readonly [title: string, seen: Observation, expected: number])[] = [
  ['as many as the spec says', observed({}, { ...threeProvidersSpec, replicas: 1 }), 1],
  ['also while they are not there', observed({ workload: { ...oneRuns, replicas: 0, ready: 0 } }), 1],
  ['none where the spec wants none', observed({}, { ...threeProvidersSpec, replicas: 0 }), 0],
  ['none of a MailRelay that goes', observed({ deleting: true }), 0],
  ['none where nothing reads them', observed({}, unread), 0],
  ['those that run while it is suspended', observed({ workload: oneRuns }, suspend), 1],
  ['those that run while the spec is wrong', { ...invalid(['no']), workload: { ...oneRuns, desired: 2 } }, 2],
  ['none of a spec that has always been wrong', invalid(['no']), 0],
];

describe('the state of a MailRelay', () => {
  for (const [title, seen, expected] of states) {
    test(`is ${expected} when ${title}`, () => {
      const { conditions = [] } = statusOf(seen, {}, 0);
      assert.equal(relayState(seen, conditions), expected);
    });
  }
});

describe('the pods that Prometheus should find', () => {
  for (const [title, seen, expected] of pods) {
    test(`are ${title}`, () => assert.equal(expectedPods(seen), expected));
  }
});
