import assert from 'node:assert/strict';
import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { access, readdir, readFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import { join } from 'node:path';
import process from 'node:process';
import { createInterface } from 'node:readline';
import { after, before, describe, test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { type Cluster, startCluster, useCluster } from './cluster.ts';

const namespace = 'cluster-test';
const web = { namespace, pod: 'web' };

const program = `
  require('node:fs').writeFileSync('/data/written', 'by the pod');
  require('node:http').createServer((_, answer) => answer.end('hello from ' + require('node:os').hostname()))
    .listen(8080, () => console.log('listening'));
`;

/** A pod under the restricted Pod Security Standard with a volume, and a Service in front of it. */
function manifests(cluster: Cluster): readonly object[] {
  return [
    { apiVersion: 'v1', kind: 'Namespace', metadata: { name: namespace } },
    {
      apiVersion: 'v1',
      kind: 'PersistentVolumeClaim',
      metadata: { name: 'data', namespace },
      spec: { accessModes: ['ReadWriteOnce'], resources: { requests: { storage: '1Gi' } } },
    },
    {
      apiVersion: 'v1',
      kind: 'Service',
      metadata: { name: 'front', namespace },
      spec: { selector: { app: 'web' }, ports: [{ port: 80, targetPort: 8080 }] },
    },
    {
      apiVersion: 'v1',
      kind: 'Pod',
      metadata: { name: 'web', namespace, labels: { app: 'web' } },
      spec: {
        automountServiceAccountToken: false,
        terminationGracePeriodSeconds: 0,
        securityContext: {
          ...{ runAsNonRoot: true, runAsUser: 65_532, runAsGroup: 65_532, fsGroup: 65_532 },
          seccompProfile: { type: 'RuntimeDefault' },
        },
        containers: [
          {
            name: 'web',
            image: cluster.nodeImage,
            command: ['node', '-e', program],
            securityContext: {
              readOnlyRootFilesystem: true,
              allowPrivilegeEscalation: false,
              capabilities: { drop: ['ALL'] },
            },
            volumeMounts: [{ name: 'data', mountPath: '/data' }],
            readinessProbe: { httpGet: { port: 8080, path: '/' }, periodSeconds: 1 },
          },
        ],
        volumes: [{ name: 'data', persistentVolumeClaim: { claimName: 'data' } }],
      },
    },
  ];
}

const fetchWeb = (url: string): readonly string[] => [
  'node',
  '-e',
  `fetch('${url}').then(answer => answer.text()).then(console.log)`,
];

describe('the test cluster', () => {
  let cluster: Cluster;
  before(async () => {
    cluster = await useCluster();
    await cluster.makeVolumes(1);
    await cluster.apply(manifests(cluster));
    await cluster.kubectl(['wait', '--for=condition=Ready', 'pod/web', '-n', namespace, '--timeout=60s']);
  });
  after(async () => {
    await cluster.kubectl(['delete', 'namespace', namespace]);
    await cluster.stop();
  });

  test('a pod finds a Service by its name and reaches the pod behind it', async () => {
    assert.match(
      await cluster.exec(web, fetchWeb(`http://front.${namespace}.svc.cluster.local/`)),
      /hello from web/,
    );
    assert.match(await cluster.exec(web, fetchWeb('http://front/')), /hello from web/);
  });

  test('a volume belongs to the group of the pod, and what the pod writes is on it', async () => {
    const owner = await cluster.exec(web, ['stat', '-c', '%g %a', '/data']);
    assert.match(owner, /^65532 2/, 'fsGroup and set-group-id');
    assert.equal(await cluster.exec(web, ['cat', '/data/written']), 'by the pod');
    if (cluster.sort !== 'own') return;
    const claim = ['get', 'pvc', 'data', '-n', namespace, '-o', 'jsonpath={.spec.volumeName}'];
    const directory = cluster.volumeDirectory(await cluster.kubectl(claim));
    assert.equal(await readFile(join(directory, 'written'), 'utf8'), 'by the pod');
  });

  test('what a pod prints is in its log', async () => {
    assert.equal(await cluster.logs(web), 'listening\n');
  });

  test('a command in a pod gets its standard input', async () => {
    assert.equal(await cluster.exec(web, ['tr', 'a-z', 'A-Z'], { input: 'loud' }), 'LOUD');
  });

  test('a command that fails in a pod is an error with what it printed', async () => {
    await assert.rejects(cluster.exec(web, ['ls', '/absent']), /No such file/);
  });

  test('a port of a pod can be forwarded to this machine', async () => {
    const child = execFile('kubectl', ['port-forward', '-n', namespace, 'pod/web', ':8080'], {
      env: { ...process.env, KUBECONFIG: cluster.kubeconfig },
    });
    const [line] = await once(createInterface(child.stdout!), 'line');
    const port = /127\.0\.0\.1:(\d+)/.exec(line)?.[1];
    assert.equal(await (await fetch(`http://127.0.0.1:${port}/`)).text(), 'hello from web');
    child.kill();
    await once(child, 'exit');
  });

  test('pods reach a server of the test where the test runs inside the network', async t => {
    const { isInside, hostAddress } = cluster;
    if (!isInside || hostAddress === undefined)
      return t.skip('this process is outside the network of the cluster');
    const server = createServer((_, answer) => answer.end('the test'));
    server.listen(0, hostAddress);
    await once(server, 'listening');
    const { port } = server.address() as { port: number };
    await cluster.serveNames({ 'scripted-provider': hostAddress });
    const url = `http://scripted-provider.test.internal:${port}/`;
    const ask = (): Promise<string> => cluster.exec(web, fetchWeb(url)).catch(() => '');
    while (!(await ask()).includes('the test')) await delay(100);
    server.close();
  });
});

describe('a cluster of our own', () => {
  test('is without a part for a while, and whole again', async t => {
    const cluster = await useCluster();
    if (cluster.sort !== 'own') return t.skip(`this cluster is ${cluster.sort}`);
    await cluster.stopPart('kube-apiserver');
    await assert.rejects(cluster.kubectl(['get', 'nodes']));
    await cluster.startPart('kube-apiserver');
    const ready = (): Promise<boolean> =>
      cluster.kubectl(['get', '--raw', '/readyz']).then(
        () => true,
        () => false,
      );
    while (!(await ready())) await delay(100);
    await cluster.kubectl(['wait', '--for=condition=Ready', 'node/node0', '--timeout=60s']);
    await cluster.stop();
  });

  test('leaves nothing behind when it is stopped, beside another that stays', async t => {
    const cluster = await startCluster();
    if (cluster.sort !== 'own') {
      await cluster.stop();
      return t.skip(`this cluster is ${cluster.sort}`);
    }
    await cluster.apply({
      ...{ apiVersion: 'v1', kind: 'Pod', metadata: { name: 'sleeper', namespace: 'default' } },
      spec: {
        containers: [
          { name: 'sleeper', image: cluster.nodeImage, command: ['sleep', cluster.name.slice(5)] },
        ],
      },
    });
    await cluster.kubectl([
      'wait',
      '--for=jsonpath={.status.containerStatuses[0].containerID}',
      'pod/sleeper',
    ]);
    assert.notEqual(await traces(cluster.name), '');
    await cluster.stop();
    assert.equal(await traces(cluster.name), '');
  });

  test('goes with a test process that is killed', async t => {
    const source = `
      import { startCluster } from ${JSON.stringify(join(import.meta.dirname, 'cluster.ts'))};
      const cluster = await startCluster();
      process.stdout.write(cluster.sort + ' ' + cluster.name + '\\n');
      setInterval(() => {}, 1000);
    `;
    const child = spawn(process.execPath, ['--input-type=module-typescript', '-e', source], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    const [line] = await once(createInterface(child.stdout), 'line');
    const [sort, name] = String(line).split(' ');
    child.kill('SIGKILL');
    await once(child, 'exit');
    if (sort !== 'own') return t.skip(`this cluster is ${sort}`);
    while ((await traces(name!)) !== '') await delay(100);
  });
});

/** Every process, mount, cgroup and file on this machine that names the cluster, one a line. */
async function traces(name: string): Promise<string> {
  const found: string[] = [];
  for (const pid of (await readdir('/proc')).filter(entry => /^\d+$/.test(entry))) {
    const line = await readFile(join('/proc', pid, 'cmdline'), 'utf8').catch(() => '');
    if (line.includes(`mailrelay-${name}`)) found.push(`process ${pid}: ${line.replaceAll('\0', ' ')}`);
  }
  const mounts = await readFile('/proc/self/mounts', 'utf8');
  found.push(...mounts.split('\n').filter(mount => mount.includes(`mailrelay-${name}`)));
  for (const hierarchy of await readdir('/sys/fs/cgroup')) {
    const path = join('/sys/fs/cgroup', hierarchy, `mailrelay-${name}`);
    await access(path).then(
      () => found.push(path),
      () => {},
    );
  }
  await access(`/var/tmp/mailrelay-${name}`).then(
    () => found.push('its directory'),
    () => {},
  );
  return found.join('\n');
}
