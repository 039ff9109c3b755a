/** The operator's program is told to end while it waits for something. */
import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { type ApiServer, startApiServer } from '../cluster/api-server.ts';
import { waitUntil } from '../kube/wait-until.ts';

const repository = join(import.meta.dirname, '../..');

/** Held by somebody who is not there, for an hour. */
const lease = {
  apiVersion: 'coordination.k8s.io/v1',
  kind: 'Lease',
  metadata: { name: 'mailrelay-operator', namespace: 'default' },
  spec: {
    holderIdentity: 'another',
    leaseDurationSeconds: 3600,
    acquireTime: '2026-01-01T00:00:00.000000Z',
    renewTime: '2026-01-01T00:00:00.000000Z',
  },
};

describe('the operator ends with code 0 on SIGTERM', () => {
  let server: ApiServer;
  const children: ChildProcess[] = [];
  before(async () => {
    server = await startApiServer();
  });
  after(async () => {
    for (const child of children) child.kill('SIGKILL');
    await server?.stop();
  });

  /** Starts it and waits until it has said that. */
  const startUntil = async (said: string): Promise<ChildProcess> => {
    const args = [
      ...['--kubeconfig', server.kubeconfig, '--relay-image', 'relay:1'],
      ...['--health-host', '127.0.0.1', '--health-port', '0'],
    ];
    const child = spawn(process.execPath, [join(repository, 'operator/main.ts'), ...args], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    children.push(child);
    let log = '';
    child.stdout.setEncoding('utf8').on('data', (text: string) => {
      log += text;
    });
    await waitUntil(`it has said ${said}`, () => log.includes(said), 60_000);
    return child;
  };
  /** It ends itself with 1 when it takes longer than it may. */
  const terminate = async (child: ChildProcess): Promise<void> => {
    const ended = once(child, 'exit');
    child.kill('SIGTERM');
    assert.deepEqual(await ended, [0, null]);
  };

  test('while it waits for an API server that does not answer', async () => {
    await server.freeze();
    const child = await startUntil('"started"');
    await terminate(child);
    server.thaw();
  });

  test('while it waits for the CRD', async () => {
    await terminate(await startUntil('is its CRD installed?'));
  });

  test('while another one has the lease, also when the API server answers no more', async () => {
    const crd = await readFile(join(repository, 'crds/mailrelay.dev_mailrelays.yaml'), 'utf8');
    await server.kubectl(['apply', '--server-side', '-f', '-'], crd);
    await server.kubectl(['apply', '-f', '-'], JSON.stringify(lease));
    await terminate(await startUntil('caches are synced'));
    const child = await startUntil('caches are synced');
    await server.freeze();
    await terminate(child);
    server.thaw();
    const holder = ['get', 'lease', lease.metadata.name, '-o', 'jsonpath={.spec.holderIdentity}'];
    assert.equal(await server.kubectl(holder), 'another');
  });
});
