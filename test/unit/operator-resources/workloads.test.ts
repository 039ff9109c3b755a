import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { MailRelaySpecInput } from '../../../operator/api/schema.ts';
import { manifestHash } from '../../../operator/kube/apply.ts';
import { children } from '../../../operator/resources/children.ts';
import { shutdownSeconds, terminationGraceSeconds } from '../../../operator/resources/config-json.ts';
import type { BuildContext } from '../../../operator/resources/context.ts';
import { deployment } from '../../../operator/resources/deployment.ts';
import {
  childNames,
  isVolumeName,
  ordinalOf,
  replicaClaim,
  replicaPod,
  selectorText,
} from '../../../operator/resources/names.ts';
import { persistentVolumeClaim } from '../../../operator/resources/persistent-volume-claim.ts';
import { podDisruptionBudget } from '../../../operator/resources/pod-disruption-budget.ts';
import { podTemplate } from '../../../operator/resources/pod-template.ts';
import { service } from '../../../operator/resources/service.ts';
import { statefulSet } from '../../../operator/resources/stateful-set.ts';
import {
  everythingSpec,
  minimalSpec,
  perReplicaSpec,
  relayOf,
  sharedSpec,
  specs,
} from '../operator-api/relays.ts';
import { contextOf, image } from './contexts.ts';

function templateOf(spec: MailRelaySpecInput, more: Partial<BuildContext> = {}, metadata: object = {}) {
  const relay = relayOf(spec, metadata);
  return podTemplate(relay, contextOf(relay, more));
}

describe('the pod template', () => {
  const base = { ...minimalSpec, forwardProviders: [...minimalSpec.forwardProviders!, lan(1), lan(2)] };

  test('stays the same when something changes that is loaded live', () => {
    const before = templateOf(base);
    const live: MailRelaySpecInput[] = [
      { ...base, forwardProviders: base.forwardProviders.toReversed() },
      { ...base, forwardProviders: base.forwardProviders.slice(0, 2) },
      {
        ...base,
        forwardProviders: base.forwardProviders.map((one, at) => ({
          ...one,
          priority: -at,
          port: 2500 + at,
        })),
      },
      { ...base, forwardSMTP: false },
      { ...base, retry: { attempts: 1 }, resend: { bounces: true }, listener: { maxRecipients: 5 } },
      { ...base, service: { type: 'NodePort' }, networkPolicy: { enabled: false }, suspend: true },
      {
        ...base,
        monitoring: { serviceMonitor: { enabled: false } },
        spool: { size: '3Gi', retention: 'Delete' },
      },
      { ...base, replicas: 0 },
    ];
    for (const spec of live) assert.deepEqual(templateOf(spec), before);
    const asked = { annotations: { 'mailrelay.dev/resend-requested-at': 'now' }, generation: 9 };
    assert.deepEqual(templateOf(base, { draining: ['mail-1'], replicas: 5 }, asked), before);
  });

  test('changes when pods must start anew', () => {
    const before = JSON.stringify(templateOf(base));
    const restarting: MailRelaySpecInput[] = [
      { ...base, image: 'other' },
      { ...base, resources: { limits: { memory: '1Gi' } } },
      { ...base, podLabels: { a: 'b' } },
      {
        ...base,
        forwardProviders: [...base.forwardProviders, { ...lan(3), secretRef: { name: 'another' } }],
      },
      { ...base, listener: { tls: { secretRef: { name: 'tls' } } } },
    ];
    for (const spec of restarting) assert.notEqual(JSON.stringify(templateOf(spec)), before);
  });

  test('mounts Secrets as optional sources, and nothing where there is none', () => {
    for (const source of secretSources(everythingSpec)) assert.equal(source.secret?.optional, true);
    const without = templateOf({ forwardProviders: [lan(1)] });
    assert.deepEqual(
      without.spec?.volumes?.map(({ name }) => name),
      ['config', 'spool', 'tmp'],
    );
  });

  test('mounts every file that config.json names, each once', () => {
    const paths = secretSources(everythingSpec).flatMap(
      ({ secret }) => secret?.items?.map(({ path }) => path) ?? [],
    );
    assert.equal(new Set(paths).size, paths.length);
    assert.ok(
      paths.includes('providers/aliyun/password/smtp-logins/aliyun-password') &&
        paths.includes('listener/tls.key'),
      String(paths),
    );
  });

  test('gives the relay the time that its shutdown takes', () => {
    const { graceSeconds, deadlineSeconds } = shutdownSeconds;
    assert.ok(terminationGraceSeconds >= graceSeconds + deadlineSeconds + 10);
  });

  test('lets the relay take connections until its probe has taken it out of the Service', () => {
    const { periodSeconds = 10, failureThreshold = 3 } =
      templateOf(minimalSpec).spec?.containers[0]?.readinessProbe ?? {};
    assert.ok(shutdownSeconds.graceSeconds > periodSeconds * failureThreshold);
  });

  test("keeps the operator's labels and annotations, whatever a person wrote past the API server", () => {
    const relay = relayOf(minimalSpec);
    const forged = { ...relay, spec: { ...relay.spec, podLabels: { 'app.kubernetes.io/instance': 'x' } } };
    const template = podTemplate(forged, contextOf(forged));
    assert.equal(template.metadata?.labels?.['app.kubernetes.io/instance'], 'mail');
  });

  test("uses the operator's image where the spec names none", () => {
    assert.equal(templateOf(minimalSpec).spec?.containers[0]?.image, image);
  });

  function secretSources(spec: MailRelaySpecInput) {
    const volume = templateOf(spec).spec?.volumes?.find(({ name }) => name === 'secrets');
    return volume?.projected?.sources ?? [];
  }

  function lan(at: number) {
    return { name: `lan-${at}`, host: `10.0.0.${at}`, port: 25 };
  }
});

describe('the workload', () => {
  test('of one volume for one node lets it go before the next pod starts', () => {
    const relay = relayOf(minimalSpec);
    assert.deepEqual(deployment(relay, contextOf(relay)).spec?.strategy, { type: 'Recreate' });
    const many = relayOf(sharedSpec);
    assert.equal(deployment(many, contextOf(many)).spec?.strategy?.type, 'RollingUpdate');
  });

  test('has as many replicas as it is to have now, also while some drain', () => {
    const relay = relayOf(perReplicaSpec);
    assert.equal(statefulSet(relay, contextOf(relay, { replicas: 5 })).spec?.replicas, 5);
  });

  test('keeps the volumes of replicas that go, and when it goes itself', () => {
    const policy = (retention: 'Retain' | 'Delete') => {
      const relay = relayOf({ ...perReplicaSpec, spool: { mode: 'PerReplica', retention } });
      return statefulSet(relay, contextOf(relay)).spec?.persistentVolumeClaimRetentionPolicy;
    };
    assert.deepEqual(policy('Retain'), { whenDeleted: 'Retain', whenScaled: 'Retain' });
    assert.deepEqual(policy('Delete'), { whenDeleted: 'Retain', whenScaled: 'Retain' });
  });

  test('keeps the size in its volumeClaimTemplate, which cannot be changed', () => {
    const relay = relayOf(perReplicaSpec);
    const made = statefulSet(relay, contextOf(relay, { liveTemplateSize: '1Gi' }));
    assert.equal(made.spec?.volumeClaimTemplates?.[0]?.spec?.resources?.requests?.['storage'], '1Gi');
  });

  test('is never more than its selector says', () => {
    const relay = relayOf(minimalSpec);
    const { spec } = deployment(relay, contextOf(relay));
    assert.equal(
      selectorText(relay),
      'app.kubernetes.io/name=mailrelay,app.kubernetes.io/instance=mail,app.kubernetes.io/component=relay',
    );
    for (const [key, value] of Object.entries(spec?.selector.matchLabels ?? {})) {
      assert.equal(spec?.template.metadata?.labels?.[key], value);
    }
  });
});

describe('the volume', () => {
  const claim = (size: string, live?: string, retention: 'Retain' | 'Delete' = 'Retain') =>
    persistentVolumeClaim(relayOf({ ...minimalSpec, spool: { size, retention } }), {
      ...(live !== undefined && { liveClaimSize: live }),
    });
  const sizeOf = (made: ReturnType<typeof claim>) => made.spec?.resources?.requests?.['storage'];

  test('grows and never shrinks', () => {
    assert.equal(sizeOf(claim('2Gi')), '2Gi');
    assert.equal(sizeOf(claim('2Gi', '1Gi')), '2Gi');
    assert.equal(sizeOf(claim('2Gi', '3Gi')), '3Gi');
    assert.equal(sizeOf(claim('1024Mi', '1Gi')), '1024Mi');
  });

  test('has no owner that could take it along, whatever its retention: it may hold mail', () => {
    assert.equal(claim('1Gi').metadata.ownerReferences, undefined);
    assert.equal(claim('1Gi', undefined, 'Delete').metadata.ownerReferences, undefined);
  });
});

describe('the disruption budget', () => {
  test('is there for two replicas or more, and lets one go at a time', () => {
    assert.equal(podDisruptionBudget(relayOf(minimalSpec)), undefined);
    assert.equal(podDisruptionBudget(relayOf(sharedSpec))?.spec?.maxUnavailable, 1);
  });
});

describe('the Service', () => {
  test("has none of the operator's own annotations from a spec that was stored before they were refused", () => {
    const annotations = { 'example.com/a': 'b', 'mailrelay.dev/applied-hash': 'x' };
    const { metadata } = service(relayOf({ ...minimalSpec, service: { annotations } }));
    assert.deepEqual(metadata.annotations, { 'example.com/a': 'b' });
  });
});

describe('names', () => {
  test('tell replicas and claims apart', () => {
    const relay = { name: 'mail' };
    assert.equal(replicaPod(relay, 2), 'mail-2');
    assert.equal(replicaClaim(relay, 2), 'spool-mail-2');
    for (const [name, ordinal] of [
      ['mail-2', 2],
      ['spool-mail-11', 11],
      ['mail', undefined],
      ['mail-x', undefined],
      ['mail-02', undefined],
      ['email-2', undefined],
      ['mail-7d9f4-abcde', undefined],
    ] as const) {
      assert.equal(ordinalOf(relay, name), ordinal, name);
    }
  });

  for (const name of ['spool', 'spool-eu']) {
    test(`tell replicas and claims apart of a relay that is called ${name}, as claims begin`, () => {
      const relay = { name };
      assert.equal(ordinalOf(relay, replicaPod(relay, 2)), 2);
      assert.equal(ordinalOf(relay, replicaClaim(relay, 11)), 11);
      assert.equal(ordinalOf(relay, childNames(relay).claim), undefined);
      assert.equal(isVolumeName(relay, replicaPod(relay, 2)), false);
      assert.equal(isVolumeName(relay, replicaClaim(relay, 11)), true);
    });
  }

  test('and labels stay within what Kubernetes takes, for the longest name', () => {
    const relay = relayOf(everythingSpec, { name: `m${'a'.repeat(45)}` });
    for (const { name, manifest } of children(relay, contextOf(relay))) {
      assert.ok(name.length <= 63, name);
      for (const value of Object.values(manifest?.metadata.labels ?? {}))
        assert.ok(value.length <= 63, value);
    }
    assert.ok(replicaPod(relay, 99).length + '-0123456789'.length <= 63);
  });
});

describe('all children', () => {
  test('are owned by their relay and labelled, but for a volume that is kept', () => {
    for (const spec of Object.values(specs)) {
      const relay = relayOf(spec);
      const wanted = children(relay, contextOf(relay)).flatMap(({ manifest }) => manifest ?? []);
      assert.ok(wanted.length > 5);
      for (const { kind, metadata } of wanted) {
        const owners = kind === 'PersistentVolumeClaim' ? undefined : [relay.uid];
        assert.deepEqual(
          metadata.ownerReferences?.map(({ uid }) => uid),
          owners,
          String(kind),
        );
        assert.equal(metadata.labels?.['app.kubernetes.io/managed-by'], 'mailrelay-operator');
        assert.equal(metadata.namespace, 'apps');
      }
    }
  });

  test('that are not wanted are named all the same', () => {
    const off: MailRelaySpecInput = {
      ...minimalSpec,
      networkPolicy: { enabled: false },
      monitoring: { serviceMonitor: { enabled: false }, prometheusRule: { enabled: false } },
    };
    const relay = relayOf(off);
    const unwanted = children(relay, contextOf(relay)).filter(({ manifest }) => manifest === undefined);
    assert.deepEqual(
      unwanted.map(({ resource }) => resource.kind),
      ['NetworkPolicy', 'PodDisruptionBudget', 'StatefulSet', 'ServiceMonitor', 'PrometheusRule'],
    );
  });

  test('are the same whenever they are built from the same', () => {
    for (const spec of Object.values(specs)) {
      const build = () => {
        const relay = relayOf(spec);
        return children(relay, contextOf(relay)).map(({ manifest }) => manifest && manifestHash(manifest));
      };
      assert.deepEqual(build(), build());
    }
  });
});
