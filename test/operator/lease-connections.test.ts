import assert from 'node:assert/strict';
import { afterEach, beforeEach, describe, test } from 'node:test';
import { drainFinalizer } from '../../operator/api/names.ts';
import { Operator } from '../../operator/operator.ts';
import { parseOptions } from '../../operator/options.ts';
import { FaultyServer } from '../kube/faulty-server.ts';
import { ObjectStore } from '../kube/object-store.ts';
import { waitUntil } from '../kube/wait-until.ts';
import { mailRelayObject } from '../unit/operator-api/relays.ts';
import { openProvider } from './rig.ts';

/** As many as the operator opens for calls (operator/kube/transport.ts), and more work than they get done. */
const mostConnections = 32;
const workers = 64;
const relays = 10 * workers;
const leases = '/apis/coordination.k8s.io/v1/namespaces/default/leases';

describe('an operator whose writes hang on every connection', () => {
  let server: FaultyServer;
  const objects = new ObjectStore();
  let operator: Operator | undefined;
  beforeEach(async () => {
    server = await FaultyServer.start();
    server.objects = objects;
    for (let number = 0; number < relays; number++) {
      const relay = mailRelayObject(openProvider, { name: `mail-${number}`, finalizers: [drainFinalizer] });
      objects.put(`/apis/mailrelay.dev/v1alpha1/namespaces/apps/mailrelays/mail-${number}`, relay);
    }
  });
  afterEach(async () => {
    server.always = undefined;
    await operator?.stop();
    await server.stop();
  });

  test('renews its lease all the same', async () => {
    const isLease = (path = ''): boolean => path.startsWith(leases);
    server.always = ({ method, url }) => (method !== 'GET' && !isLease(url) ? { kind: 'mute' } : undefined);
    const options = parseOptions(
      [
        ...['--kubeconfig', await server.kubeconfig(), '--relay-image', 'relay:1', '--log-level', 'error'],
        ...['--health-host', '127.0.0.1', '--health-port', '0', '--workers', String(workers)],
      ],
      {},
    );
    operator = await Operator.start(options, () => Promise.reject(new Error('there are no pods')));
    const renewals = () =>
      server.requests.filter(
        ({ method, url, hanging }) => method === 'PUT' && isLease(url.pathname) && hanging >= mostConnections,
      );
    // As many as a holder has in the 10 s after which it must give up.
    await waitUntil('it is renewed while they hang', () => renewals().length >= 4, 60_000);
    const lease = objects.get(`${leases}/mailrelay-operator`) as { spec?: object } | undefined;
    assert.partialDeepStrictEqual(lease?.spec, { leaseTransitions: 0 });
  });
});
