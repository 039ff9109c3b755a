import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { conditionReasons } from '../../../operator/api/conditions.ts';
import { type Condition, findCondition } from '../../../operator/kube/conditions.ts';
import { answersOf } from '../../../operator/reconcile/answers.ts';
import { conditionsOf } from '../../../operator/reconcile/conditions.ts';
import type { Observation } from '../../../operator/reconcile/observation.ts';
import { emptyBoard } from '../../../operator/reconcile/on-board.ts';
import { providerStatuses } from '../../../operator/reconcile/provider-status.ts';
import { patienceOf, statusOf } from '../../../operator/reconcile/status.ts';
import { threeProvidersSpec } from '../operator-api/relays.ts';
import { assertConditionRules } from './condition-rules.ts';
import { available, fingerprint, invalid, observed, podStatus } from './observations.ts';

const reference = available.references[0]!;
const lacking = (keyOnly: boolean) => ({ ...available, missing: [{ reference, keyOnly }] });
const report = (...given: Parameters<typeof podStatus>) => [
  { pod: 'mail-a', status: podStatus(...given), askedAt: 0 },
];
const both = ['mail-0', 'mail-1'].map(pod => ({ pod, status: podStatus(), askedAt: 0 }));
const silent = [{ pod: 'mail-a', error: 'cannot be asked at port 8025 (ECONNREFUSED): see its log' }];
const work = { desired: 1, replicas: 1, ready: 1, updated: 1, observed: true };
const draining = { replicas: 2, draining: ['mail-1'], awaited: ['mail-1'], leaving: [], unsent: 4 };
const since = '2026-01-01T00:00:00Z';
const held = [{ claim: 'spool-mail-1', ...emptyBoard, messages: 4, since }];
const over = [
  { claim: 'spool-mail-1', ...emptyBoard, deadMessages: 3, quarantinedFiles: 1, since },
  { claim: 'spool-mail-2', ...emptyBoard, deadMessages: 1, since },
];
const refusal = { lastConfigError: { errors: ['retry.attempts: 99 must be at most 10'] } };
const disk = (freeBytes: number, low = false) => ({
  disk: { freeBytes, reserveBytes: 50 * 2 ** 20, totalBytes: 1000 * 2 ** 20, low },
});
const resize = (reason: 'ResizePending' | 'ResizeRefused' | 'ShrinkRefused') =>
  observed({ volumes: { pending: [], held: [], resize: { reason, message: `the words of ${reason}` } } });
const stuck = (reason: 'NameTaken' | 'Refused' | 'ImmutableField', message: string, mailNeeds = true) =>
  observed({ obstacles: [{ reason, message, mailNeeds }] });
const off = { ...threeProvidersSpec, forwardSMTP: false };

/** `type reason`, and what the message must say: what is the matter and what to do. */
type Told = readonly [pair: string, message?: RegExp];

const cases: readonly (readonly [name: string, seen: Observation, ...told: Told[]])[] = [
  [
    'all is well',
    observed(),
    ['Ready Available', /mail goes through primary/],
    ['ConfigurationValid Valid'],
    ['CredentialsAvailable Available'],
    ['ProvidersHealthy AllHealthy', /3 of 3/],
    ['SpoolHealthy Healthy'],
  ],
  [
    'the workload is not there yet',
    { ...observed({ reports: [] }), workload: undefined } as unknown as Observation,
    ['Ready PodsUnavailable', /being created/],
    ['Reconciling Progressing'],
    ['ProvidersHealthy NoAnswer', /no pod answers: there is none with an address yet/],
    ['SpoolHealthy NoAnswer'],
  ],
  [
    'no pod is ready',
    observed({ workload: { ...work, ready: 0 }, reports: [] }),
    ['Ready PodsUnavailable', /0 of 1 pods are ready.*see the events of the pods/],
    ['Reconciling Progressing'],
    ['ProvidersHealthy NoAnswer'],
    ['SpoolHealthy NoAnswer', /no pod answers.*see the events of the pods/],
  ],
  [
    'no pod is wanted',
    observed({ workload: { ...work, desired: 0, replicas: 0, ready: 0, updated: 0 }, reports: [] }),
    ['Ready PodsUnavailable', /spec.replicas is 0/],
    ['ProvidersHealthy NoAnswer', /none is wanted/],
    ['SpoolHealthy NoAnswer', /none is wanted/],
  ],
  [
    'the ready pods are those of an earlier template',
    observed({ workload: { ...work, desired: 2, replicas: 4, ready: 2, updated: 2 } }),
    ['Ready Progressing', /2 of 2 pods are ready, 2 up to date/],
    ['Reconciling Progressing'],
  ],
  [
    'the controller has not seen the new template',
    observed({ workload: { ...work, observed: false } }),
    ['Ready Progressing'],
    ['Reconciling Progressing'],
  ],
  [
    'a replica too many ends',
    observed({ workload: { ...work, replicas: 2, ready: 2, updated: 2 } }),
    ['Ready Available'],
    ['Reconciling Progressing'],
  ],
  [
    'a pod runs an earlier configuration',
    observed({ reports: report(undefined, { fingerprint: 'old' }) }),
    ['Ready ConfigurationNotLoaded', /0 of 1 pods run .*pod mail-a still runs old: .* within 90 s/],
    ['Reconciling LoadingConfiguration', /pod mail-a still runs old/],
  ],
  [
    'a pod has no configuration',
    observed({ reports: report(undefined, { fingerprint: undefined }) }),
    ['Ready ConfigurationNotLoaded', /pod mail-a has loaded no configuration yet: see its log/],
  ],
  [
    'a pod of an older version refuses the configuration',
    observed({ reports: report(undefined, { fingerprint: 'old', ...refusal, version: '0.0.9' }) }),
    [
      'Ready ConfigurationNotLoaded',
      /pod mail-a refused it .*: retry.attempts: 99 must be at most 10; it is version 0.0.9 .* use an image of the same version/,
    ],
    ['ConfigurationValid RefusedByRelay', /pod mail-a refused it .*retry.attempts/],
  ],
  [
    'a pod that had loaded it answers no more',
    observed({ reports: [{ pod: 'mail-a', status: podStatus(), askedAt: 0, error: silent[0]!.error }] }),
    [
      'Ready ConfigurationNotLoaded',
      /0 of 1 .*pod mail-a cannot be asked at port 8025 \(ECONNREFUSED\): see/,
    ],
    ['Reconciling LoadingConfiguration'],
    ['ProvidersHealthy NoAnswer', /no pod answers: pod mail-a cannot be asked at port 8025/],
    ['SpoolHealthy NoAnswer', /no pod answers: pod mail-a cannot be asked at port 8025/],
  ],
  [
    'a pod that had trouble answers no more',
    observed({
      reports: [
        {
          pod: 'mail-a',
          status: podStatus(['failing', 'failing', 'failing'], disk(40 * 2 ** 20, true)),
          error: silent[0]!.error,
        },
      ],
    }),
    ['ProvidersHealthy NoAnswer'],
    ['SpoolHealthy NoAnswer'],
  ],
  [
    'a Secret is missing and no pod answers',
    observed({ credentials: lacking(false), reports: silent }),
    ['ProvidersHealthy NoAnswer', /no pod answers: .*; primary is Misconfigured: .*create it/],
  ],
  [
    'a pod has never answered',
    observed({ reports: silent }),
    ['Ready ConfigurationNotLoaded', /pod mail-a cannot be asked/],
    ['ProvidersHealthy NoAnswer'],
    ['SpoolHealthy NoAnswer'],
  ],
  [
    'one pod of two answers',
    observed({ reports: [...report(['active', 'standby', 'failing']), { ...silent[0]!, pod: 'mail-b' }] }),
    ['ProvidersHealthy SomeFailing', /emergency is Failing/],
    ['SpoolHealthy Healthy'],
  ],
  [
    'the pod that answers says nothing of some providers',
    observed({ reports: report(['active']) }),
    ['ProvidersHealthy NoAnswer', /no pod that answers says anything of backup, emergency/],
    ['Ready Available'],
  ],
  [
    'the pod that answers says nothing of some providers, and one fails',
    observed({ reports: report(['active', 'failing']) }),
    ['ProvidersHealthy SomeFailing', /backup is Failing; .*says anything of emergency/],
  ],
  [
    'a ready pod has no address in the cache',
    observed({ reports: [] }),
    ['Ready ConfigurationNotLoaded', /0 of 1 .*1 have no address yet: see the events of the pods/],
  ],
  [
    'a Secret is missing',
    observed({ credentials: lacking(false) }),
    ['Ready Degraded', /Secret primary-smtp does not exist: create it/],
    ['CredentialsAvailable SecretMissing', /Secret primary-smtp does not exist: create it/],
    ['ProvidersHealthy Misconfigured', /primary is Misconfigured: .*primary-smtp/],
  ],
  [
    'a Secret lacks a key',
    observed({ credentials: lacking(true) }),
    ['CredentialsAvailable KeyMissing', /Secret primary-smtp has no key username, or it is empty: add it/],
  ],
  [
    'no Secret is named',
    observed({ credentials: { ...available, references: [] } }),
    ['CredentialsAvailable NotNeeded'],
  ],
  [
    'Secrets may not be read',
    observed({ ...unread('SecretForbidden', 'secrets is forbidden: grant get') }),
    ['CredentialsAvailable SecretForbidden', /grant get/],
    ['Ready Available'],
  ],
  [
    'Secrets could not be read',
    observed({ ...unread('ReadFailed', 'HTTP 500'), retrying: ['HTTP 500'] }),
    ['CredentialsAvailable ReadFailed', /HTTP 500/],
    ['Reconciling Retrying', /HTTP 500/],
  ],
  [
    'one provider fails',
    observed({ reports: report(['failing', 'active', 'standby']) }),
    ['Ready Degraded', /primary is Failing/],
    ['ProvidersHealthy SomeFailing'],
  ],
  [
    'one refuses its password',
    observed({ reports: report(['suspended', 'active', 'standby']) }),
    ['ProvidersHealthy AuthenticationSuspended', /primary is Suspended/],
  ],
  [
    'all fail',
    observed({ reports: report(['failing', 'failing', 'failing']) }),
    ['Ready NoUsableProvider', /primary is Failing.*emergency is Failing/],
    ['ProvidersHealthy AllFailing'],
  ],
  [
    'forwarding is off',
    observed({}, off),
    ['Ready ForwardingOff', /forwardSMTP is false/],
    ['ProvidersHealthy ForwardingOff'],
  ],
  [
    'the volume is down to its reserve',
    observed({ reports: report(undefined, disk(40 * 2 ** 20, true)) }),
    ['Ready Degraded', /raise spool.size/],
    [
      'SpoolHealthy DiskLow',
      /pod mail-a refuses new mail: 40 MiB free of 1000 MiB, 50 MiB .*raise spool.size/,
    ],
  ],
  [
    'the volume is nearly full',
    observed({ reports: report(undefined, disk(199 * 2 ** 20)) }),
    ['Ready Degraded'],
    [
      'SpoolHealthy NearlyFull',
      /volume of pod mail-a is nearly full: 199 MiB free of 1000 MiB.*raise spool.size/,
    ],
  ],
  [
    'the volume has room',
    observed({ reports: report(undefined, disk(201 * 2 ** 20)) }),
    ['SpoolHealthy Healthy'],
  ],
  [
    'a store failed on a nearly full volume',
    observed({ reports: report(undefined, { ...disk(199 * 2 ** 20), spoolFailure: 'fsync: EIO' }) }),
    ['SpoolHealthy StoreFailed', /pod mail-a: fsync: EIO; .*look at its volume/],
  ],
  [
    'mail is left behind and a volume is nearly full',
    observed({ volumes: { pending: [], held }, reports: report(undefined, disk(199 * 2 ** 20)) }),
    [
      'SpoolHealthy MailLeftBehind',
      /spool-mail-1 \(4 unsent messages\); scale up again to send it.*nearly full/,
    ],
  ],
  [
    'nobody knows what is on a volume',
    observed({ volumes: { pending: [], held: [{ claim: 'mail-spool', since: held[0]!.since }] } }),
    ['SpoolHealthy MailLeftBehind', /mail-spool \(unknown\); scale up again to send it, or delete/],
  ],
  [
    'volumes hold only what nobody waits for',
    observed({ volumes: { pending: [], held: over } }),
    [
      'SpoolHealthy Healthy',
      /have room; .* spool-mail-1 \(3 dead letters, 1 quarantined file\), spool-mail-2 \(1 dead letter\); scale up again to get at it.*, or delete/,
    ],
  ],
  [
    'volumes hold what nobody waits for, and there is other trouble',
    observed({ volumes: { pending: [], held: over }, reports: report(undefined, disk(199 * 2 ** 20)) }),
    ['SpoolHealthy NearlyFull', /nearly full.*; .* spool-mail-1 \(3 dead letters/],
  ],
  [
    'one volume holds unsent mail and another what nobody waits for',
    observed({ volumes: { pending: [], held: [...held, over[1]!] } }),
    [
      'SpoolHealthy MailLeftBehind',
      /spool-mail-1 \(4 unsent messages\), spool-mail-2 \(1 dead letter\); scale/,
    ],
  ],
  [
    'a volume is deleted under its pod',
    observed({ volumes: { pending: [], held: [], going: 'mail-spool has been deleted' } }),
    ['SpoolHealthy VolumeDeleted', /mail-spool has been deleted/],
  ],
  [
    'a volume is not bound',
    observed({ volumes: { pending: ['mail-spool'], held: [] } }),
    ['SpoolHealthy VolumePending', /mail-spool; see the events of the claim/],
  ],
  ['a volume grows', resize('ResizePending'), ['SpoolHealthy ResizePending', /the words/]],
  ['a volume may not grow', resize('ResizeRefused'), ['SpoolHealthy ResizeRefused', /the words/]],
  ['a volume cannot shrink', resize('ShrinkRefused'), ['SpoolHealthy ShrinkRefused', /the words/]],
  [
    'a replica drains, and is not ready any more',
    observed({ scale: draining, workload: { ...work, desired: 2, replicas: 2, updated: 2 }, reports: both }),
    ['Ready Available'],
    ['Reconciling ScalingDown', /mail-1 must first send 4/],
  ],
  [
    'a replica has sent everything and is still there',
    observed({ scale: { ...draining, awaited: [] } }),
    ['Reconciling ScalingDown', /mail-1 must end/],
  ],
  [
    'it is being deleted',
    observed({ scale: draining, deleting: true }),
    ['Ready Draining', /mail-1 must first send 4/],
    ['Reconciling Draining'],
  ],
  [
    'it is being deleted and its last pod ends',
    observed({ scale: { ...draining, awaited: [] }, deleting: true, awaitedEnd: 'the end of pod mail-1' }),
    ['Ready Draining', /^the end of pod mail-1$/],
    ['Reconciling Draining', /^the end of pod mail-1$/],
  ],
  [
    'a name is taken',
    stuck('NameTaken', 'Service mail belongs to nobody: rename it'),
    ['Ready Stalled', /rename it/],
    ['Stalled NameTaken', /rename it/],
  ],
  [
    'the name of a child is taken that mail does without',
    stuck('NameTaken', 'PodDisruptionBudget mail belongs to nobody', false),
    ['Ready Degraded', /PodDisruptionBudget mail belongs to nobody/],
    ['Stalled NameTaken', /PodDisruptionBudget/],
  ],
  [
    'mail does without one obstacle and not without another',
    observed({
      obstacles: [
        { reason: 'Refused', message: 'ServiceMonitor mail: no', mailNeeds: false },
        { reason: 'Refused', message: 'Service mail: quota', mailNeeds: true },
      ],
    }),
    ['Ready Stalled', /^Service mail: quota$/],
    ['Stalled Refused', /ServiceMonitor mail: no; Service mail: quota/],
  ],
  [
    'a child that mail does without is refused and no pod is ready',
    { ...stuck('Refused', 'ServiceMonitor mail: no', false), workload: { ...work, ready: 0 } },
    ['Ready PodsUnavailable'],
  ],
  [
    'a child that mail does without is refused and forwarding is off',
    observed({ obstacles: [{ reason: 'Refused', message: 'no', mailNeeds: false }] }, off),
    ['Ready ForwardingOff'],
  ],
  [
    'the name of the workload is taken, so that there is none',
    {
      ...stuck('NameTaken', 'Deployment mail belongs to nobody: rename it'),
      workload: undefined,
      reports: [],
    } as unknown as Observation,
    ['Ready Stalled', /rename it/],
    ['Stalled NameTaken'],
  ],
  ['a child is refused', stuck('Refused', 'quota'), ['Stalled Refused', /quota/]],
  ['a field cannot be changed', stuck('ImmutableField', 'field'), ['Stalled ImmutableField', /field/]],
  [
    'the spec is invalid',
    invalid(['spec.x: must be y']),
    ['Ready InvalidConfiguration', /spec.x: must be y/],
    ['Stalled InvalidConfiguration', /spec.x: must be y/],
    ['ConfigurationValid Invalid', /spec.x: must be y/],
    ['CredentialsAvailable InvalidConfiguration', /see ConfigurationValid/],
    ['SpoolHealthy NoAnswer'],
  ],
  [
    'it is suspended',
    observed({ suspended: { pending: ['ConfigMap/mail-config'] } }),
    ['Ready Suspended', /suspend is true; changes wait: ConfigMap\/mail-config/],
  ],
  [
    'it is being deleted and nothing is known of the Secrets',
    { ...observed({ scale: draining, deleting: true }), credentials: undefined } as unknown as Observation,
    ['CredentialsAvailable Unknown'],
  ],
];

function unread(reason: 'SecretForbidden' | 'ReadFailed', message: string): Partial<Observation> {
  return { credentials: undefined, secretsUnread: { reason, message } } as unknown as Partial<Observation>;
}

function judged(seen: Observation, before: readonly Condition[] = [], at = 0): Condition[] {
  const answers = answersOf(seen.reports);
  const providers = seen.relay === undefined ? [] : providerStatuses(seen.relay, seen.credentials, answers);
  return conditionsOf(before, seen, providers, at);
}

function pairs(conditions: readonly Condition[]): string[] {
  return conditions.map(({ type, reason }) => `${type} ${reason}`);
}

describe('conditions', () => {
  for (const [name, seen, ...told] of cases) {
    test(`keep to the rules when ${name}, and say ${told.map(([pair]) => pair).join(', ')}`, () => {
      const conditions = judged(seen);
      assertConditionRules(conditions, 3);
      for (const [pair, message] of told) {
        const [type = ''] = pair.split(' ');
        assert.ok(pairs(conditions).includes(pair), pairs(conditions).join(', '));
        if (message !== undefined) assert.match(findCondition(conditions, type)?.message ?? '', message);
      }
    });
  }

  test('keep to the rules on the way from each state to each other', () => {
    for (const [, from] of cases) {
      const before = judged(from, judged(observed()));
      for (const [, to] of cases) assertConditionRules(judged(to, before, 1_000_000), 3, before);
    }
  });

  test('have a case here for every reason that there is', () => {
    const told = new Set(cases.flatMap(([, seen]) => pairs(judged(seen))));
    const all = Object.entries(conditionReasons).flatMap(([type, reasons]) =>
      Object.keys(reasons).map(reason => `${type} ${reason}`),
    );
    assert.deepEqual(
      all.filter(pair => !told.has(pair)),
      [],
    );
  });

  test('keep what was known of the Secrets while an earlier step fails, for the generation it was known of', () => {
    const before = judged(observed({ credentials: lacking(false) }));
    const seen = {
      ...observed({ retrying: ['HTTP 503'] }),
      credentials: undefined,
    } as unknown as Observation;
    const newer = {
      ...seen,
      object: { ...seen.object, metadata: { ...seen.object.metadata, generation: 4 } },
    };
    assert.deepEqual(
      findCondition(judged(newer, before), 'CredentialsAvailable'),
      findCondition(before, 'CredentialsAvailable'),
    );
  });

  test('call a generation Ready only once a pass over it has succeeded, whatever fails later', () => {
    const before = judged(observed()).map(condition => ({ ...condition, observedGeneration: 2 }));
    const failing = observed({ retrying: ['HTTP 503'] });
    const first = judged(failing, before, 1000);
    assert.equal(findCondition(first, 'Ready')?.reason, 'Progressing');
    const second = judged(failing, first, 2000);
    assert.deepEqual([findCondition(second, 'Ready')?.status], ['Unknown']);
    const done = judged(observed(), second, 3000);
    assert.equal(findCondition(done, 'Ready')?.status, 'True');
    assert.equal(findCondition(judged(failing, done, 4000), 'Ready')?.status, 'True');
  });

  test('tell a volume at the edge of being nearly full once', () => {
    const at = (mebibytes: number) => observed({ reports: report(undefined, disk(mebibytes * 2 ** 20)) });
    let conditions = judged(at(210));
    const reasons: (string | undefined)[] = [];
    for (const free of [210, 199, 205, 215, 199, 230, 215]) {
      conditions = judged(at(free), conditions);
      reasons.push(findCondition(conditions, 'SpoolHealthy')?.reason);
    }
    const [well, full] = ['Healthy', 'NearlyFull'];
    assert.deepEqual(reasons, [well, full, full, full, full, well, well]);
  });

  test('name a few pods of many, in the same order whatever the order of the reports', () => {
    const reports = Array.from({ length: 500 }, (_, at) => ({
      pod: `mail-${1000 + at}`,
      error: 'is silent',
    }));
    const workload = { desired: 500, replicas: 500, ready: 500, updated: 500, observed: true };
    const message = (seen: Observation): string => findCondition(judged(seen), 'Ready')?.message ?? '';
    const told = message(observed({ reports, workload }));
    assert.match(told, /^0 of 500 .*mail-1000 is silent; .*mail-1002 is silent; and 497 more pods/);
    assert.equal(message(observed({ reports: reports.toReversed(), workload })), told);
  });

  test('leave alone what others have added', () => {
    const foreign = {
      type: 'Acme',
      status: 'True',
      reason: 'X',
      message: 'y',
      lastTransitionTime: 'z',
    } as const;
    assert.deepEqual(findCondition(judged(observed(), [foreign]), 'Acme'), foreign);
  });
});

describe('a status', () => {
  test('that differs in counts or words alone is not urgent, whatever the order of its keys', () => {
    const status = statusOf(observed(), {}, 0);
    const stored = JSON.parse(
      JSON.stringify(Object.fromEntries(Object.entries(status).sort(([a], [b]) => a.localeCompare(b)))),
    );
    const [primary, ...others] = status.providers ?? [];
    const [ready, ...rest] = stored.conditions.toReversed();
    const earlier: readonly (readonly [string, object, number])[] = [
      ['nothing', {}, 60_000],
      ['a count', { queue: { ...stored.queue, active: 7 } }, 10_000],
      ['an age', { queue: { ...stored.queue, oldestFailedSeconds: 7 } }, 60_000],
      [
        'the words of a provider',
        { providers: [{ ...primary, message: '421 id=7', since: 'x' }, ...others] },
        60_000,
      ],
      ['the state of a provider', { providers: [{ ...primary, state: 'Failing' }, ...others] }, 0],
      [
        'the words of a condition',
        { conditions: [...rest.toReversed(), { ...ready, message: 'x' }] },
        60_000,
      ],
      ['the reason of a condition', { conditions: [...rest.toReversed(), { ...ready, reason: 'X' }] }, 0],
      ['the active provider', { activeProvider: 'backup' }, 0],
    ];
    for (const [what, was, wanted] of earlier)
      assert.equal(patienceOf({ ...stored, ...was }, status), wanted, what);
  });

  test('shows no provider as usable on the word of a pod that answers no more, and keeps its counts', () => {
    const failed = { ...podStatus().queue, failed: { messages: 4, bytes: 40 } };
    const gone = { pod: 'mail-a', status: podStatus(undefined, { queue: failed }), error: 'is silent' };
    const { activeProvider, usableProviders, providers, queue } = statusOf(
      observed({ reports: [gone] }),
      {},
      0,
    );
    assert.deepEqual([activeProvider, usableProviders, providers], [undefined, undefined, undefined]);
    assert.equal(queue?.failed, 4);
  });

  test('counts the pods that have loaded the configuration', () => {
    assert.deepEqual(statusOf(observed(), {}, 0).config, { fingerprint, loadedReplicas: 1 });
  });
});
