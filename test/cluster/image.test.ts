import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { type Cluster, useCluster } from './cluster.ts';

const namespace = 'image-test';
const relay = { namespace, pod: 'relay' };

/** The image as the operator runs it: restricted Pod Security Standard, nothing writable but the volume. */
function relayPod(image: string): readonly object[] {
  const config = { forwardSMTP: true, forwardProviders: [{ host: '127.0.0.1', port: 9 }] };
  return [
    {
      apiVersion: 'v1',
      kind: 'Namespace',
      metadata: { name: namespace, labels: { 'pod-security.kubernetes.io/enforce': 'restricted' } },
    },
    {
      apiVersion: 'v1',
      kind: 'ConfigMap',
      metadata: { name: 'relay', namespace },
      data: { 'config.json': JSON.stringify(config) },
    },
    {
      apiVersion: 'v1',
      kind: 'Pod',
      metadata: { name: 'relay', namespace },
      spec: {
        automountServiceAccountToken: false,
        terminationGracePeriodSeconds: 10,
        securityContext: { runAsNonRoot: true, fsGroup: 65_532, seccompProfile: { type: 'RuntimeDefault' } },
        containers: [
          {
            name: 'relay',
            image,
            securityContext: {
              readOnlyRootFilesystem: true,
              allowPrivilegeEscalation: false,
              capabilities: { drop: ['ALL'] },
            },
            readinessProbe: { httpGet: { port: 8025, path: '/readyz' }, periodSeconds: 1 },
            volumeMounts: [
              { name: 'config', mountPath: '/etc/mailrelay' },
              { name: 'spool', mountPath: '/var/lib/mailrelay' },
            ],
          },
        ],
        volumes: [
          { name: 'config', configMap: { name: 'relay' } },
          { name: 'spool', emptyDir: {} },
        ],
      },
    },
  ];
}

describe('the image', () => {
  let cluster: Cluster;
  before(async () => {
    cluster = await useCluster();
    await cluster.apply(relayPod(await cluster.relayImage()));
    await cluster.kubectl(['wait', '--for=condition=Ready', 'pod/relay', '-n', namespace, '--timeout=60s']);
  });
  after(async () => {
    await cluster.kubectl(['delete', 'namespace', namespace]);
    await cluster.stop();
  });

  test('runs the relay from its mounted config.json, ready under the restricted Pod Security Standard', async () => {
    assert.match(await cluster.logs(relay), /"event":"started"/);
    assert.match(await cluster.exec(relay, ['id']), /uid=65532\(mailrelay\) gid=65532\(mailrelay\)/);
  });

  test('keeps the mail in its working directory', async () => {
    assert.match(await cluster.exec(relay, ['ls', 'emails']), /^queue\.db$/m);
  });

  test('has the command line beside it', async () => {
    assert.match(await cluster.exec(relay, ['mailrelay', '--version']), /^\d+\.\d+\.\d+/);
  });

  test('has the operator under its name', async () => {
    assert.match(
      await cluster.exec(relay, ['sh', '-c', 'command -v operator && test -x /app/operator.js']),
      /operator/,
    );
  });

  test('ends cleanly when it is told to', async () => {
    const log = cluster.kubectl(['logs', '--follow', '-n', namespace, 'relay']);
    await cluster.kubectl(['delete', 'pod', 'relay', '-n', namespace]);
    assert.match(await log, /"event":"stopped"/);
  });
});
