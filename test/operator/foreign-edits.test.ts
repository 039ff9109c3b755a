import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { isDeepStrictEqual } from 'node:util';
import type { MailRelaySpecInput } from '../../operator/api/schema.ts';
import type { KubeObject } from '../../operator/kube/object.ts';
import type { Resource } from '../../operator/kube/resource.ts';
import type { Operator } from '../../operator/operator.ts';
import {
  networkPolicies,
  podDisruptionBudgets,
  prometheusRules,
  serviceMonitors,
  services,
  statefulSets,
} from '../../operator/resources/kinds.ts';
import { monitoringDefinitions } from './monitoring.ts';
import { openProvider, Rig } from './rig.ts';

interface Specified extends KubeObject {
  readonly spec: Readonly<Record<string, unknown>>;
}

const foreign = { 'example.com/foreign': 'x' };

/** Everything in which something foreign would change what ours means. */
const everything: MailRelaySpecInput = {
  ...openProvider,
  replicas: 2,
  spool: { mode: 'PerReplica' },
  nodeSelector: { disk: 'ssd' },
  tolerations: [{ key: 'mail', operator: 'Exists' }],
  topologySpreadConstraints: [
    { topologyKey: 'kubernetes.io/hostname', whenUnsatisfiable: 'ScheduleAnyway', nodeTaintsPolicy: 'Honor' },
  ],
  affinity: {
    nodeAffinity: {
      requiredDuringSchedulingIgnoredDuringExecution: {
        nodeSelectorTerms: [{ matchExpressions: [{ key: 'disk', operator: 'In', values: ['ssd'] }] }],
      },
    },
    podAntiAffinity: {
      preferredDuringSchedulingIgnoredDuringExecution: [
        {
          weight: 1,
          podAffinityTerm: { topologyKey: 'zone', labelSelector: { matchLabels: { app: 'database' } } },
        },
      ],
    },
  },
  networkPolicy: {
    from: [
      { namespaceSelector: {} },
      { podSelector: { matchExpressions: [{ key: 'mail', operator: 'Exists' }] } },
      { ipBlock: { cidr: '10.0.0.0/8', except: ['10.1.0.0/16'] } },
    ],
  },
};

const nodeTerm =
  'template.spec.affinity.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution.nodeSelectorTerms.0';
const podTerm =
  'template.spec.affinity.podAntiAffinity.preferredDuringSchedulingIgnoredDuringExecution.0.podAffinityTerm';
const expression = { key: 'nobody', operator: 'Exists' };

/** What somebody adds to a map or list of a spec. */
const edits: readonly [string, Resource, string, object][] = [
  ['a label in the selector of the Service, which finds no pod then', services, 'selector', foreign],
  ['an empty label in the selector of the Service', services, 'selector', { status: '' }],
  ['a label in the podSelector of the NetworkPolicy', networkPolicies, 'podSelector.matchLabels', foreign],
  [
    'an expression in the podSelector of the NetworkPolicy',
    networkPolicies,
    'podSelector',
    { matchExpressions: [expression] },
  ],
  [
    'a peer where egress goes anywhere',
    networkPolicies,
    'egress.1',
    { to: [{ podSelector: { matchLabels: foreign } }] },
  ],
  ['the end of a range of ports', networkPolicies, 'egress.1.ports.0', { endPort: 65_535 }],
  [
    'a label where any namespace may come in',
    networkPolicies,
    'ingress.0.from.0.namespaceSelector',
    { matchLabels: foreign },
  ],
  [
    'a label beside an expression of who may come in',
    networkPolicies,
    'ingress.0.from.1.podSelector',
    { matchLabels: foreign },
  ],
  [
    'an exception from a network that may come in',
    networkPolicies,
    'ingress.0.from.2.ipBlock.except',
    { 1: '10.2.0.0/16' },
  ],
  [
    'a label in the selector of the PodDisruptionBudget',
    podDisruptionBudgets,
    'selector.matchLabels',
    foreign,
  ],
  ['a label in the nodeSelector of the pods', statefulSets, 'template.spec.nodeSelector', foreign],
  ['an effect in a toleration', statefulSets, 'template.spec.tolerations.0', { effect: 'NoSchedule' }],
  [
    'a label in what pods are spread by',
    statefulSets,
    'template.spec.topologySpreadConstraints.0.labelSelector.matchLabels',
    foreign,
  ],
  [
    'a field in a term of the node affinity',
    statefulSets,
    nodeTerm,
    { matchFields: [{ key: 'metadata.name', operator: 'In', values: ['nobody'] }] },
  ],
  ['a namespace in a term of the pod affinity', statefulSets, podTerm, { namespaces: ['nobody'] }],
  ['a label in the selector of the ServiceMonitor', serviceMonitors, 'selector.matchLabels', foreign],
  ['a field in an endpoint of the ServiceMonitor', serviceMonitors, 'endpoints.0', { params: { x: ['y'] } }],
  ['a field in an alert', prometheusRules, 'groups.0.rules.0', { keep_firing_for: '1d' }],
];

/** The map or list at that path. */
function at(spec: object, path: string): object {
  return path.split('.').reduce<object>((place, step) => (place as Record<string, object>)[step]!, spec);
}

describe('what somebody adds where all is ours', () => {
  let rig: Rig;
  let operator: Operator;
  before(async () => {
    rig = await Rig.start();
    for (const definition of monitoringDefinitions) await rig.define(definition);
    operator = await rig.operator();
    const namespace = await rig.namespace('edited');
    await rig.createRelay(namespace, everything);
    await rig.waitForReason(namespace, 'Ready', 'PodsUnavailable');
    await rig.settled(await rig.audit.mark());
  });
  after(() => rig?.stop());

  for (const [what, resource, path, addition] of edits) {
    test(`is undone: ${what}`, async () => {
      const ref = { namespace: 'edited', name: 'mail' };
      const specified = resource as Resource<Specified>;
      const right = await rig.client.get(specified, ref);
      const spec = structuredClone(right.spec);
      Object.assign(at(spec, path), addition);
      const edited = await rig.client.mergePatch(specified, ref, { spec }, { fieldManager: 'somebody' });
      assert.notDeepEqual(edited.spec, right.spec);
      await rig.waitFor(specified, ref, live => isDeepStrictEqual(live.spec, right.spec));
    });
  }

  test('is looked for without a write, also by an operator that has just begun', async () => {
    await rig.settled(await rig.audit.mark());
    const before = await rig.audit.mark();
    await rig.stopOperator(operator);
    operator = await rig.operator();
    assert.deepEqual(await rig.settled(before, 1500), []);
  });
});
