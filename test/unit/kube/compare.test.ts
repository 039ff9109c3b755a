import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { manifestHash, needsApply } from '../../../operator/kube/apply.ts';
import { differences } from '../../../operator/kube/compare.ts';
import type { KubeObject } from '../../../operator/kube/object.ts';

type Loose = Record<string, unknown>;

function object(kind: string, rest: Loose): KubeObject {
  return {
    apiVersion: 'v1',
    kind,
    metadata: { name: 'x', ...(rest['metadata'] as Loose) },
    ...rest,
  } as KubeObject;
}

/** A Deployment with this pod spec. */
function deployment(podSpec: Loose): KubeObject {
  return object('Deployment', { spec: { template: { spec: podSpec } }, metadata: { name: 'x' } });
}

const paths = (wanted: KubeObject, live: KubeObject) => differences(wanted, live).map(({ path }) => path);

describe('the comparison of what is wanted with what lives', () => {
  const same: [string, KubeObject, KubeObject][] = [
    [
      'fields that the server filled in',
      deployment({ containers: [{ name: 'a', image: 'i' }] }),
      deployment({
        containers: [{ name: 'a', image: 'i', imagePullPolicy: 'Always' }],
        dnsPolicy: 'ClusterFirst',
      }),
    ],
    [
      'quantities in another form',
      deployment({ containers: [{ name: 'a', resources: { limits: { cpu: '1000m', memory: '1024Mi' } } }] }),
      deployment({ containers: [{ name: 'a', resources: { limits: { cpu: '1', memory: '1Gi' } } }] }),
    ],
    [
      'an empty environment value that was left out',
      deployment({ containers: [{ name: 'a', env: [{ name: 'E', value: '' }] }] }),
      deployment({ containers: [{ name: 'a', env: [{ name: 'E' }] }] }),
    ],
    [
      'empty maps and lists that were left out',
      object('ConfigMap', { metadata: { name: 'x', labels: {}, finalizers: [] }, data: {} }),
      object('ConfigMap', {}),
    ],
    ['false that Go leaves out', deployment({ hostNetwork: false }), deployment({})],
    ['null', deployment({ nodeName: null }), deployment({})],
    [
      'a container and a volume of somebody else',
      deployment({ containers: [{ name: 'a', image: 'i' }], volumes: [{ name: 'v', emptyDir: {} }] }),
      deployment({
        containers: [{ name: 'sidecar' }, { name: 'a', image: 'i' }],
        volumes: [{ name: 'token' }, { name: 'v', emptyDir: {} }],
      }),
    ],
    [
      'service ports whose protocol was filled in, in another order',
      object('Service', { spec: { ports: [{ port: 25 }, { port: 26 }] } }),
      object('Service', {
        spec: {
          ports: [
            { port: 26, protocol: 'TCP' },
            { port: 25, protocol: 'TCP' },
          ],
        },
      }),
    ],
    [
      'labels and finalizers of others',
      object('ConfigMap', { metadata: { name: 'x', labels: { a: '1' }, finalizers: ['f'] } }),
      object('ConfigMap', { metadata: { name: 'x', labels: { a: '1', b: '2' }, finalizers: ['g', 'f'] } }),
    ],
    [
      'a default inside an item of an atomic list',
      object('NetworkPolicy', { spec: { ingress: [{ ports: [{ port: 25 }] }] } }),
      object('NetworkPolicy', { spec: { ingress: [{ ports: [{ port: 25, protocol: 'TCP' }] }] } }),
    ],
    [
      'a default inside a reference that is one value',
      deployment({
        containers: [
          { name: 'a', env: [{ name: 'E', valueFrom: { fieldRef: { fieldPath: 'metadata.name' } } }] },
        ],
      }),
      deployment({
        containers: [
          {
            name: 'a',
            env: [{ name: 'E', valueFrom: { fieldRef: { fieldPath: 'metadata.name', apiVersion: 'v1' } } }],
          },
        ],
      }),
    ],
    [
      'empty lists and maps that say nothing inside an atomic list',
      object('NetworkPolicy', { spec: { egress: [{ to: [{ podSelector: {} }] }] } }),
      object('NetworkPolicy', {
        spec: { egress: [{ ports: [], to: [{ podSelector: { matchLabels: {} } }] }] },
      }),
    ],
    ['a status', object('Thing', { status: { ready: true } }), object('Thing', {})],
  ];
  for (const [what, wanted, live] of same) {
    test(`sees no difference in ${what}`, () => assert.deepEqual(differences(wanted, live), []));
  }

  const different: [string, KubeObject, KubeObject, string][] = [
    [
      'a changed image',
      deployment({ containers: [{ name: 'a', image: 'i' }] }),
      deployment({ containers: [{ name: 'a', image: 'j' }] }),
      'spec.template.spec.containers[a].image',
    ],
    [
      'a removed container',
      deployment({ containers: [{ name: 'a' }] }),
      deployment({ containers: [{ name: 'b' }] }),
      'spec.template.spec.containers[a]',
    ],
    [
      'another quantity',
      deployment({ containers: [{ name: 'a', resources: { limits: { cpu: '1' } } }] }),
      deployment({ containers: [{ name: 'a', resources: { limits: { cpu: '2' } } }] }),
      'spec.template.spec.containers[a].resources.limits.cpu',
    ],
    [
      'a number text that is no quantity',
      object('ConfigMap', { data: { version: '1.0' } }),
      object('ConfigMap', { data: { version: '1' } }),
      'data.version',
    ],
    [
      'a removed false that is a statement',
      object('ServiceAccount', { automountServiceAccountToken: false }),
      object('ServiceAccount', {}),
      'automountServiceAccountToken',
    ],
    [
      'a removed empty choice',
      deployment({ volumes: [{ name: 'v', emptyDir: {} }] }),
      deployment({ volumes: [{ name: 'v' }] }),
      'spec.template.spec.volumes[v].emptyDir',
    ],
    [
      'an item added to an atomic list',
      object('NetworkPolicy', { spec: { ingress: [{}] } }),
      object('NetworkPolicy', { spec: { ingress: [{}, {}] } }),
      'spec.ingress',
    ],
    [
      'a choice added inside an item of an atomic list',
      object('NetworkPolicy', { spec: { egress: [{ to: [{ podSelector: {} }] }] } }),
      object('NetworkPolicy', { spec: { egress: [{ to: [{ podSelector: {}, namespaceSelector: {} }] }] } }),
      'spec.egress[0].to[0].namespaceSelector',
    ],
    [
      'a label added to a selector, though it is named as a default is',
      object('Service', { spec: { selector: { app: 'x' } } }),
      object('Service', { spec: { selector: { app: 'x', protocol: 'TCP' } } }),
      'spec.selector.protocol',
    ],
    [
      'an empty label added to a selector',
      object('PodDisruptionBudget', { spec: { selector: { matchLabels: { app: 'x' } } } }),
      object('PodDisruptionBudget', { spec: { selector: { matchLabels: { app: 'x', status: '' } } } }),
      'spec.selector.matchLabels.status',
    ],
    [
      'a field added to an item that is one value',
      object('ConfigMap', { metadata: { name: 'x', ownerReferences: [{ uid: 'u', name: 'o' }] } }),
      object('ConfigMap', {
        metadata: { name: 'x', ownerReferences: [{ uid: 'u', name: 'o', blockOwnerDeletion: true }] },
      }),
      'metadata.ownerReferences[u].blockOwnerDeletion',
    ],
    [
      'a removed argument',
      deployment({ containers: [{ name: 'a', args: ['x', 'y', 'z'] }] }),
      deployment({ containers: [{ name: 'a', args: ['x', 'z'] }] }),
      'spec.template.spec.containers[a].args',
    ],
    [
      'a removed owner',
      object('ConfigMap', { metadata: { name: 'x', ownerReferences: [{ uid: 'u', name: 'o' }] } }),
      object('ConfigMap', { metadata: { name: 'x' } }),
      'metadata.ownerReferences',
    ],
    [
      'another type',
      object('Service', { spec: { ports: [{ port: 25, targetPort: 25 }] } }),
      object('Service', { spec: { ports: [{ port: 25, targetPort: '25' }] } }),
      'spec.ports[25/TCP].targetPort',
    ],
  ];
  for (const [what, wanted, live, path] of different) {
    test(`sees ${what}`, () => assert.deepEqual(paths(wanted, live), [path]));
  }

  test('names all differences, not only the first', () => {
    const wanted = object('ConfigMap', { data: { a: '1', b: '2', c: '3' } });
    assert.deepEqual(paths(wanted, object('ConfigMap', { data: { b: '2', c: 'x' } })), ['data.a', 'data.c']);
  });
});

describe('the need to apply', () => {
  const annotation = 'example.com/applied-hash';
  const wanted = object('ConfigMap', { data: { a: '1' } });
  const live = object('ConfigMap', {
    metadata: { name: 'x', annotations: { [annotation]: manifestHash(wanted) } },
    data: { a: '1', b: 'foreign' },
  });

  test('is there when the object is missing', () =>
    assert.deepEqual(needsApply(wanted, undefined, annotation), { kind: 'missing' }));
  test('is not there when all is as last applied, whatever others added', () =>
    assert.equal(needsApply(wanted, live, annotation), undefined));
  test('is there when we stopped wanting a field, which no comparison could see', () =>
    assert.deepEqual(needsApply(object('ConfigMap', { data: {} }), live, annotation), {
      kind: 'wanted-changed',
    }));
  test('is there when somebody changed what is ours', () =>
    assert.deepEqual(needsApply(wanted, { ...live, data: { a: '2' } } as KubeObject, annotation), {
      kind: 'drifted',
      path: 'data.a',
    }));
  test('does not depend on the order of keys or on undefined ones', () => {
    const one = object('ConfigMap', { data: { a: '1', b: '2' }, immutable: undefined });
    assert.equal(manifestHash(one), manifestHash(object('ConfigMap', { data: { b: '2', a: '1' } })));
  });
});
