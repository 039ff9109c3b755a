import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { findCondition } from '../../../operator/kube/conditions.ts';
import { conditionsOf } from '../../../operator/reconcile/conditions.ts';
import type { Observation } from '../../../operator/reconcile/observation.ts';
import { providerStatuses } from '../../../operator/reconcile/provider-status.ts';
import { isUrgent, statusOf } from '../../../operator/reconcile/status.ts';
import { assertConditionRules } from './condition-rules.ts';
import { available, fingerprint, observed, podStatus } from './observations.ts';

const missing = { ...available, missing: [{ reference: available.references[0]!, keyOnly: false }] };
const report = (...given: Parameters<typeof podStatus>) => [{ pod: 'mail-a', status: podStatus(...given) }];
const workload = { desired: 1, replicas: 1, ready: 0, updated: 1, observed: true };
const draining = { replicas: 2, draining: ['mail-1'], awaited: ['mail-1'], leaving: [], unsent: 4 };
const held = [{ claim: 'spool-mail-1', messages: 4, since: '2026-01-01T00:00:00Z' }];

/** What was observed, and `type reason` that must be among the conditions. */
const cases: readonly [string, Observation, ...string[]][] = [
  ['all is well', observed(), 'Ready Available', 'ProvidersHealthy AllHealthy', 'SpoolHealthy Healthy'],
  ['no pod is ready', observed({ workload }), 'Ready PodsUnavailable', 'Reconciling Progressing'],
  [
    'a pod runs an earlier configuration',
    observed({ reports: report(undefined, { fingerprint: 'old' }) }),
    'Ready ConfigurationNotLoaded',
    'Reconciling LoadingConfiguration',
  ],
  [
    'a Secret is missing',
    observed({ credentials: missing }),
    'Ready Degraded',
    'CredentialsAvailable SecretMissing',
    'ProvidersHealthy Misconfigured',
  ],
  [
    'one provider fails',
    observed({ reports: report(['failing', 'active', 'standby']) }),
    'Ready Degraded',
    'ProvidersHealthy SomeFailing',
  ],
  [
    'one refuses its password',
    observed({ reports: report(['suspended', 'active', 'standby']) }),
    'ProvidersHealthy AuthenticationSuspended',
  ],
  [
    'all fail',
    observed({ reports: report(['failing', 'failing', 'failing']) }),
    'Ready NoUsableProvider',
    'ProvidersHealthy AllFailing',
  ],
  [
    'the volume is low',
    observed({ reports: report(undefined, { disk: { freeBytes: 1, reserveBytes: 2, low: true } }) }),
    'Ready Degraded',
    'SpoolHealthy DiskLow',
  ],
  ['mail is left behind', observed({ volumes: { pending: [], held } }), 'SpoolHealthy MailLeftBehind'],
  [
    'a volume is not bound',
    observed({ volumes: { pending: ['mail-spool'], held: [] } }),
    'SpoolHealthy VolumePending',
  ],
  ['a replica drains', observed({ scale: draining }), 'Reconciling ScalingDown'],
  [
    'it is being deleted',
    observed({ scale: draining, deleting: true }),
    'Ready Draining',
    'Reconciling Draining',
  ],
  [
    'a name is taken',
    observed({ obstacles: [{ reason: 'NameTaken', message: 'Service mail belongs to nobody' }] }),
    'Ready Stalled',
    'Stalled NameTaken',
  ],
  ['a step failed', observed({ retrying: ['timeout'] }), 'Reconciling Retrying'],
  ['it is suspended', observed({ suspended: { pending: ['ConfigMap/mail-config'] } }), 'Ready Suspended'],
];

describe('conditions', () => {
  for (const [name, seen, ...wanted] of cases) {
    test(`keep to the rules when ${name}, and say ${wanted.join(', ')}`, () => {
      const { relay, credentials, reports } = seen;
      const providers = providerStatuses(
        relay!,
        credentials,
        reports.flatMap(({ status }) => status ?? []),
      );
      const before = conditionsOf([], observed(), [], 0);
      const conditions = conditionsOf(before, seen, providers, 1_000_000);
      assertConditionRules(conditions, 3, before);
      const told = conditions.map(({ type, reason }) => `${type} ${reason}`);
      for (const pair of wanted) assert.ok(told.includes(pair), told.join(', '));
    });
  }

  test('say nothing of Secrets and volumes that were not looked at', () => {
    const { object } = observed();
    const conditions = conditionsOf(
      [],
      {
        object,
        problems: ['spec.x: must be y'],
        obstacles: [],
        retrying: [],
        reports: [],
        volumes: { pending: [], held: [] },
        deleting: false,
      },
      [],
      0,
    );
    assertConditionRules(conditions, 3);
    assert.equal(findCondition(conditions, 'SpoolHealthy')?.status, 'Unknown');
    assert.equal(findCondition(conditions, 'CredentialsAvailable')?.status, 'Unknown');
    assert.equal(findCondition(conditions, 'Stalled')?.message, 'spec.x: must be y');
  });
});

describe('a status', () => {
  test('that differs in counts alone is not urgent, whatever the order of its keys', () => {
    const status = statusOf(observed(), {}, 0);
    const stored = JSON.parse(
      JSON.stringify(Object.fromEntries(Object.entries(status).sort(([a], [b]) => a.localeCompare(b)))),
    );
    assert.equal(isUrgent({ ...stored, queue: { active: 7 } }, status), false);
    assert.equal(isUrgent({ ...stored, activeProvider: 'backup' }, status), true);
  });

  test('counts the pods that have loaded the configuration', () => {
    assert.deepEqual(statusOf(observed(), {}, 0).config, { fingerprint, loadedReplicas: 1 });
  });
});
