import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { KubeClient } from '../../../operator/kube/resource.ts';
import type { Caches, Pod } from '../../../operator/reconcile/caches.ts';
import { nudge } from '../../../operator/reconcile/pods.ts';
import { growReplicaClaims } from '../../../operator/reconcile/volumes.ts';
import type { PersistentVolumeClaim } from '../../../operator/resources/kinds.ts';
import { childLabels } from '../../../operator/resources/names.ts';
import { relayOf, threeProvidersSpec } from '../operator-api/relays.ts';

/** Nothing of it may be asked. */
const client = new Proxy({} as KubeClient, {
  get: (_, what) => () => Promise.reject(new Error(`${String(what)} was asked`)),
});
const notLeader = { name: 'NotLeaderError' };

/** What is passed over without a word would be taken for done, and nobody would come back to it. */
describe('who may not write because the lease has run out', () => {
  const metadata = { name: 'spool-mail-0', namespace: 'apps' };
  const claim: PersistentVolumeClaim = {
    kind: 'PersistentVolumeClaim',
    metadata: { ...metadata, labels: childLabels({ name: 'mail' }) },
    spec: { resources: { requests: { storage: '1Gi' } } },
  };
  const caches = { of: () => ({ byIndex: () => [claim] }) } as unknown as Caches;

  test('says so where a pod is to be told of its new configuration', async () => {
    const pod: Pod = { metadata: { name: 'mail-a', namespace: 'apps' } };
    const wanted = { fingerprint: 'f', credentialsRevision: undefined };
    await assert.rejects(nudge([pod], wanted, { client, caches, mayWrite: () => false }), notLeader);
  });

  test('says so where a volume is to grow', async () => {
    const relay = relayOf({ ...threeProvidersSpec, spool: { mode: 'PerReplica', size: '2Gi' } });
    await assert.rejects(growReplicaClaims(relay, { client, caches, mayWrite: () => false }), notLeader);
  });

  test('has nothing to say where nothing is to be written', async () => {
    const relay = relayOf({ ...threeProvidersSpec, spool: { mode: 'PerReplica', size: '1Gi' } });
    assert.equal(await growReplicaClaims(relay, { client, caches, mayWrite: () => false }), undefined);
    await nudge(
      [],
      { fingerprint: 'f', credentialsRevision: undefined },
      { client, caches, mayWrite: () => false },
    );
  });
});
