import assert from 'node:assert/strict';
import { afterEach, beforeEach, describe, test } from 'node:test';
import { Operator } from '../../operator/operator.ts';
import { parseOptions } from '../../operator/options.ts';
import { selectorLabels } from '../../operator/resources/names.ts';
import { FaultyServer } from '../kube/faulty-server.ts';
import { ObjectStore } from '../kube/object-store.ts';
import { waitUntil } from '../kube/wait-until.ts';
import { mailRelayObject, minimalSpec } from '../unit/operator-api/relays.ts';

const lease = '/apis/coordination.k8s.io/v1/namespaces/default/leases/mailrelay-operator';
const relay = '/apis/mailrelay.dev/v1alpha1/namespaces/apps/mailrelays/mail';
const pod = '/api/v1/namespaces/apps/pods/mail-a';

describe('an operator that loses its lease while it waits for an answer', () => {
  let server: FaultyServer;
  const objects = new ObjectStore();
  let operator: Operator;
  beforeEach(async () => {
    server = await FaultyServer.start();
    server.objects = objects;
  });
  afterEach(async () => {
    await server.stop();
    await operator?.stop();
  });

  const metrics = async (): Promise<string> =>
    (await fetch(`http://127.0.0.1:${operator.probesPort}/metrics`)).text();
  const leads = (yes: boolean): Promise<void> =>
    waitUntil(
      yes ? 'it leads' : 'it leads no more',
      async () =>
        (await metrics()).includes(`leader_election_master_status{name="mailrelay-operator"} ${+yes}`),
      60_000,
    );
  /** As another operator would that holds it, or has given it back. */
  const heldBy = (holderIdentity: string): void => {
    const { spec, ...known } = objects.get(lease) as { spec: object } & ReturnType<typeof mailRelayObject>;
    const renewTime = new Date().toISOString();
    objects.put(lease, { ...known, spec: { ...spec, holderIdentity, renewTime } } as typeof known);
  };

  test('says nothing of a MailRelay that went before it leads again', async () => {
    objects.put(relay, mailRelayObject(minimalSpec));
    const owner = { apiVersion: 'apps/v1', kind: 'ReplicaSet', name: 'mail-6b7f8c9d', uid: 'set' };
    const ownerReferences = [{ ...owner, controller: true }];
    const labels = selectorLabels({ name: 'mail' });
    objects.put(pod, { metadata: { name: 'mail-a', namespace: 'apps', labels, ownerReferences } });
    const answer = Promise.withResolvers<void>();
    // Whose the pods are that no cache shows a workload for.
    server.always = ({ method, url = '' }) =>
      method === 'GET' && url.startsWith('/apis/apps/v1/namespaces/apps/deployments/mail')
        ? { kind: 'late', until: answer.promise }
        : undefined;
    const options = parseOptions(
      [
        ...['--kubeconfig', await server.kubeconfig(), '--relay-image', 'relay:1', '--log-level', 'error'],
        ...['--health-host', '127.0.0.1', '--health-port', '0'],
      ],
      {},
    );
    operator = await Operator.start(options, () => Promise.reject(new Error('there are no pods')));
    await waitUntil('it waits for the answer', () => server.hanging === 1, 60_000);
    await leads(true);
    heldBy('another');
    await leads(false);
    for (const path of [relay, pod]) objects.delete(path);
    const before = server.requests.length;
    server.sendErrorEvent(410, 'Expired');
    await waitUntil('it has seen that the MailRelay is gone', () =>
      server.requests
        .slice(before)
        .some(
          ({ method, url }) =>
            method === 'GET' && url.pathname.endsWith('/mailrelays') && !url.searchParams.has('watch'),
        ),
    );
    answer.resolve();
    await waitUntil('it has its answer', () => server.hanging === 0);
    heldBy('');
    await leads(true);
    const told = (await metrics()).match(/^mailrelay_operator_relay_\w+\{.*$/gm);
    assert.equal(told, null);
  });
});
