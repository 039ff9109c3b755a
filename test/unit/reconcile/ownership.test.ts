import assert from 'node:assert/strict';
import { test } from 'node:test';
import { labels } from '../../../operator/api/names.ts';
import type { KubeObject, ObjectMeta, OwnerReference } from '../../../operator/kube/object.ts';
import { type Whose, whose } from '../../../operator/reconcile/ownership.ts';
import { childLabels } from '../../../operator/resources/names.ts';

const relay = { name: 'mail', uid: 'this' };
const ours = childLabels(relay);

function owner(more: Partial<OwnerReference>): OwnerReference[] {
  return [
    {
      apiVersion: 'mailrelay.dev/v1alpha1',
      kind: 'MailRelay',
      name: 'mail',
      uid: '',
      controller: true,
      ...more,
    },
  ];
}

function object(more: Partial<ObjectMeta>, kind = 'Service'): KubeObject {
  return { kind, metadata: { name: 'mail', namespace: 'apps', labels: ours, ...more } };
}

const claim = (more: Partial<ObjectMeta> = {}): KubeObject =>
  object({ name: 'mail-spool', ...more }, 'PersistentVolumeClaim');

const cases: readonly [string, KubeObject, Whose][] = [
  ['a child of this MailRelay is its own', object({ ownerReferences: owner({ uid: 'this' }) }), 'ours'],
  [
    'a child is its own whatever became of the labels',
    object({ ownerReferences: owner({ uid: 'this' }), labels: {} }),
    'ours',
  ],
  [
    'a child of an earlier one of the name is waited for',
    object({ ownerReferences: owner({ uid: 'that' }) }),
    'predecessor',
  ],
  [
    'a child of another one is foreign',
    object({ ownerReferences: owner({ uid: 'that', name: 'other' }) }),
    'foreign',
  ],
  [
    'what another kind controls is foreign, labels or not',
    object({ ownerReferences: owner({ uid: 'that', kind: 'Other' }) }),
    'foreign',
  ],
  ['what nobody controls and has every label is an orphan', object({}), 'orphan'],
  [
    'who owns without control leaves it an orphan',
    object({ ownerReferences: owner({ uid: 'that', controller: false }) }),
    'orphan',
  ],
  ...Object.keys(ours).map((label): [string, KubeObject, Whose] => [
    `an orphan that lacks ${label} is foreign`,
    object({ labels: { ...ours, [label]: 'another' } }),
    'foreign',
  ]),
  ['a volume kept for it is its own without an owner', claim(), 'ours'],
  ['a volume kept for a replica is its own without an owner', claim({ name: 'spool-mail-3' }), 'ours'],
  ['a volume with the name of a pod is foreign', claim({ name: 'mail-3' }), 'foreign'],
  [
    'a volume of a replica that lacks the labels is foreign',
    claim({ name: 'spool-mail-3', labels: {} }),
    'foreign',
  ],
  ['a volume of another name is foreign', claim({ name: 'mail' }), 'foreign'],
  [
    'a volume kept for another one is foreign',
    claim({ labels: { ...ours, [labels.instance]: 'other' } }),
    'foreign',
  ],
  [
    'a volume that goes with an earlier one is waited for',
    claim({ ownerReferences: owner({ uid: 'that' }) }),
    'predecessor',
  ],
];
for (const [title, seen, wanted] of cases) test(title, () => assert.equal(whose(relay, seen), wanted));
