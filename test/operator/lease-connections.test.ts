import assert from 'node:assert/strict';
import { afterEach, beforeEach, describe, test } from 'node:test';
import { drainFinalizer } from '../../operator/api/names.ts';
import { Operator } from '../../operator/operator.ts';
import { parseOptions } from '../../operator/options.ts';
import { FaultyServer } from '../kube/faulty-server.ts';
import { ObjectStore } from '../kube/object-store.ts';
import { waitUntil } from '../kube/wait-until.ts';
import { mailRelayObject } from '../unit/operator-api/relays.ts';

/** As many as the operator opens for calls (operator/kube/transport.ts), and more calls than that at once. */
const mostConnections = 32;
const workers = 64;
const leases = '/apis/coordination.k8s.io/v1/namespaces/default/leases';

describe('an operator whose calls hang on every connection', () => {
  let server: FaultyServer;
  const objects = new ObjectStore();
  let operator: Operator | undefined;
  beforeEach(async () => {
    server = await FaultyServer.start();
    server.objects = objects;
    for (let number = 0; number < workers; number++) {
      const [name, secret] = [`mail-${number}`, `login-${number}`];
      const forwardProviders = [
        { host: 'smtp.example.com', port: 587, name: 'a', secretRef: { name: secret } },
      ];
      const relay = mailRelayObject({ forwardProviders }, { name, finalizers: [drainFinalizer] });
      objects.put(`/apis/mailrelay.dev/v1alpha1/namespaces/apps/mailrelays/${name}`, relay);
      objects.put(`/api/v1/namespaces/apps/secrets/${secret}`, {
        metadata: { name: secret, namespace: 'apps' },
      });
    }
  });
  afterEach(async () => {
    // First, so that what hangs ends.
    await server.stop();
    await operator?.stop();
  });

  test('renews its lease all the same', async () => {
    // Reads of Secrets: they hang longer than writes may, and take the same connections.
    server.always = ({ url = '' }) => (url.includes('/secrets/') ? { kind: 'mute' } : undefined);
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
        ({ method, url, hanging }) =>
          method === 'PUT' && url.pathname.startsWith(leases) && hanging >= mostConnections,
      );
    // As many as a holder has in the 10 s after which it must give up.
    await waitUntil('it is renewed while they hang', () => renewals().length >= 4, 60_000);
    assert.partialDeepStrictEqual(objects.get(`${leases}/mailrelay-operator`), {
      spec: { leaseTransitions: 0 },
    });
  });
});
