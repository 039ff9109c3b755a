import assert from 'node:assert/strict';
import { once } from 'node:events';
import { type AddressInfo, createServer } from 'node:net';
import { after, before, describe, type TestContext, test } from 'node:test';
import { healthPort, smtpPort } from '../../operator/resources/config-json.ts';
import { type Cluster, type PodName, useCluster } from '../cluster/cluster.ts';
import { applicationPod, sendFromPod } from './application.ts';
import {
  helmUpgrade,
  installOperator,
  operatorDeployment,
  operatorNamespace,
  operatorPod,
} from './installation.ts';
import { startOutsider } from './outsider.ts';
import { play, type Scene } from './scene.ts';
import { providerSpec } from './upstreams.ts';

/** Opens a connection and says what came of it. What an enforcer drops is given up after 3 s. */
const knock = `
  const [host, port] = process.argv.slice(1);
  const socket = require('node:net').connect({ host, port });
  const say = word => { console.log(word); process.exit(); };
  socket.on('connect', () => say('open')).on('error', ({ code }) => say(code));
  setTimeout(() => say('no answer'), 3000);
`;

type Address = { readonly host: string; readonly port: number };

async function reaches(cluster: Cluster, pod: PodName, { host, port }: Address): Promise<boolean> {
  const answer = (await cluster.exec(pod, ['node', '-e', knock, host, String(port)])).trim();
  assert.match(answer, /^(open|no answer|ECONNREFUSED|EHOSTUNREACH|EACCES)$/, `${host}:${port}`);
  return answer === 'open';
}

/** A namespace with an application's pod in it. */
async function addApplication(scene: Scene, namespace: string): Promise<PodName> {
  const { cluster } = scene;
  await cluster.apply({ apiVersion: 'v1', kind: 'Namespace', metadata: { name: namespace } });
  await cluster.kubectl(['apply', '-n', namespace, '-f', '-'], {
    input: JSON.stringify(applicationPod(cluster)),
  });
  await cluster.kubectl(['-n', namespace, 'wait', '--for=condition=Ready', 'pod/app', '--timeout=60s']);
  return { namespace, pod: 'app' };
}

/** A scene with the pods of two applications in namespaces of their own: `shop` may send, `stranger` is nobody. */
async function playWithApplications(
  test: TestContext,
  cluster: Cluster,
  act: (scene: Scene, pods: { readonly shop: PodName; readonly stranger: PodName }) => Promise<void>,
): Promise<void> {
  await play(test, cluster, {}, async scene => {
    const [shop, stranger] = [`${scene.namespace}-shop`, `${scene.namespace}-stranger`];
    try {
      const [a, b] = await Promise.all([addApplication(scene, shop), addApplication(scene, stranger)]);
      await scene.change({ networkPolicy: { from: [inNamespace(shop)] } });
      await scene.ready('True', 'Available');
      await act(scene, { shop: a, stranger: b });
    } finally {
      await cluster.kubectl(['delete', 'namespace', shop, stranger, '--wait=false', '--ignore-not-found']);
    }
  });
}

const inNamespace = (name: string): object => ({
  namespaceSelector: { matchLabels: { 'kubernetes.io/metadata.name': name } },
});

/** A server beside the cluster that is nobody's provider; it ends with the test. */
async function startBystander(test: TestContext, cluster: Cluster): Promise<Address> {
  const host = cluster.hostAddress ?? '';
  const server = createServer(socket => socket.end()).listen(0, host);
  await once(server, 'listening');
  test.after(() => server.close());
  return { host, port: (server.address() as AddressInfo).port };
}

const operatorMetrics = { host: `${operatorDeployment}-metrics.${operatorNamespace}.svc`, port: 8081 };

describe('an enforced network policy', () => {
  let cluster: Cluster;
  let image: string;
  before(async () => {
    cluster = await useCluster();
    image = await installOperator(cluster);
    if (cluster.sort === 'own') await cluster.startPart('kube-router');
  });
  after(async () => {
    if (cluster.sort === 'own') await cluster.stopPart('kube-router', 'TERM');
  });

  test('lets those send that networkPolicy.from names, and nobody else; a change takes effect in the same pod', async t => {
    await playWithApplications(t, cluster, async (scene, { shop, stranger }) => {
      const service = `mail.${scene.namespace}.svc`;
      const mail = { host: service, port: 25 };
      const send = async (from: PodName): Promise<void> => {
        const ids = [scene.mail.nextId(), scene.mail.nextId()];
        for (const id of await sendFromPod(cluster, from, { service, ids })) scene.mail.accepted.add(id);
      };
      const shut = (pod: PodName) => async () => !(await reaches(cluster, pod, mail));
      const open = (pod: PodName) => () => reaches(cluster, pod, mail);
      const pod = await scene.pod();

      await scene.until('the stranger is kept out', shut(stranger));
      await send(shop);
      await assert.rejects(send(stranger));

      await scene.change({ networkPolicy: { from: [inNamespace(stranger.namespace)] } });
      await scene.until('the stranger is let in', open(stranger));
      await scene.until('the shop is kept out', shut(shop));
      await send(stranger);

      await scene.change({ networkPolicy: {} });
      await scene.until('the shop is let in again', open(shop));
      await Promise.all([send(shop), send(stranger)]);

      await scene.change({ networkPolicy: { from: [{ podSelector: {} }] } });
      await scene.until('nobody from another namespace is let in', shut(shop));
      await scene.change({ networkPolicy: { enabled: false } });
      await scene.until('everybody is let in', open(shop));
      await send(stranger);

      await scene.accounted();
      const now = await scene.pod();
      assert.deepEqual([now.uid, now.restarts], [pod.uid, 0]);
    });
  });

  test('shows status and metrics to the operator, to monitoring and to networkPolicy.metricsFrom alone', async t => {
    await playWithApplications(t, cluster, async (scene, { shop, stranger }) => {
      const { ip } = await scene.pod();
      const metrics = { host: ip, port: healthPort };
      const monitoring = await addApplication(scene, 'monitoring');
      try {
        await scene.until(
          'the stranger is kept out',
          async () => !(await reaches(cluster, stranger, metrics)),
        );
        assert.equal(await reaches(cluster, shop, metrics), false, 'who may send');
        assert.equal(await reaches(cluster, shop, { host: ip, port: smtpPort }), true);
        await scene.until('monitoring is let in', () => reaches(cluster, monitoring, metrics));
        assert.equal(
          await reaches(cluster, monitoring, { host: ip, port: smtpPort }),
          false,
          'who may read metrics',
        );

        const from = [inNamespace(shop.namespace)];
        await scene.change({ networkPolicy: { from, metricsFrom: [inNamespace(stranger.namespace)] } });
        await scene.until('metricsFrom is let in', () => reaches(cluster, stranger, metrics));

        // The operator learns of it at /status alone.
        await scene.upstreams.primary.down();
        await scene.send(1);
        await scene.providers({ primary: 'Failing', backup: 'Active' });
        await scene.accounted();
      } finally {
        await cluster.kubectl(['delete', 'namespace', 'monitoring', '--wait=false']);
      }
    });
  });

  test('lets the relay out to cluster DNS and to the ports of its providers, and nowhere else', async t => {
    await playWithApplications(t, cluster, async (scene, { shop }) => {
      const bystander = await startBystander(t, cluster);
      const { host } = bystander;
      const relay = { namespace: scene.namespace, pod: (await scene.pod()).name };
      const goes = (to: Address): Promise<boolean> => reaches(cluster, relay, to);
      await scene.until('the bystander is out of reach', async () => !(await goes(bystander)));
      const apiServer = { host: 'kubernetes.default.svc', port: 443 };
      for (const place of [bystander, apiServer, { host, port: 6443 }, operatorMetrics]) {
        assert.equal(await reaches(cluster, shop, place), true, `${place.host}:${place.port} is there`);
        assert.equal(await goes(place), false, `the relay does not reach ${place.host}:${place.port}`);
      }
      const { primary, backup, last } = scene.upstreams;
      for (const { port } of [primary, backup, last, { port: 53 }]) {
        assert.equal(await goes({ host, port }), true, `the relay reaches port ${port}`);
      }
      await scene.send(2);
      await scene.accounted();

      await scene.change({
        forwardProviders: [providerSpec('primary', primary), providerSpec('backup', backup)],
      });
      await scene.until('the port of a provider that is gone is shut', async () => !(await goes(last)));
      assert.equal(await goes(primary), true);
    });
  });

  test('lets in from outside the cluster whom ipBlock or listener.allowedNetworks names', async t => {
    await playWithApplications(t, cluster, async (scene, { shop }) => {
      const outsider = await startOutsider();
      try {
        const { address, cidr, node } = outsider;
        await scene.change({
          service: { type: 'NodePort', externalTrafficPolicy: 'Local' },
          listener: { allowedNetworks: ['10.0.0.0/8', cidr] },
          networkPolicy: { from: [{ ipBlock: { cidr: address } }] },
        });
        const port = async (): Promise<number> => {
          const ports = (await scene.get('service/mail'))?.spec['ports'] as readonly { nodePort?: number }[];
          return ports[0]?.nodePort ?? 0;
        };
        await scene.until('the Service has a port on the node', async () => (await port()) > 0);
        const args = [node, String(await port())];
        const comesIn = async (): Promise<boolean> => (await outsider.run(knock, args)) === 'open';
        const mail = { host: `mail.${scene.namespace}.svc`, port: 25 };
        await scene.until('the address is let in', comesIn);
        await scene.until('pods are kept out', async () => !(await reaches(cluster, shop, mail)));

        await scene.change({ networkPolicy: { from: [{ ipBlock: { cidr, except: [address] } }] } });
        await scene.until('the exception is kept out', async () => !(await comesIn()));

        await scene.change({ networkPolicy: {} });
        await scene.until('an allowed network is let in', comesIn);
        assert.equal(await reaches(cluster, shop, mail), true, 'so are pods');
      } finally {
        await outsider.leave();
      }
    });
  });

  test('of the operator itself lets it work, and out to nothing else', async t => {
    await playWithApplications(t, cluster, async (scene, { stranger }) => {
      const bystander = await startBystander(t, cluster);
      const goes = (to: Address): Promise<boolean> => reaches(cluster, operatorPod, to);
      const rollout = (verb: string, ...options: readonly string[]): Promise<string> =>
        cluster.kubectl([
          ...['-n', operatorNamespace, 'rollout', verb, `deployment/${operatorDeployment}`],
          ...options,
        ]);
      assert.equal(await goes(bystander), true);
      await helmUpgrade(cluster, image, ['--set', 'networkPolicy.enabled=true']);
      try {
        await scene.until('the bystander is out of reach', async () => !(await goes(bystander)));
        // A new one, without connections from before.
        await rollout('restart');
        await rollout('status', '--timeout=90s');
        await scene.upstreams.primary.down();
        await scene.send(1);
        await scene.providers({ primary: 'Failing', backup: 'Active' });
        const smtp = { host: (await scene.pod()).ip, port: smtpPort };
        await scene.change({ networkPolicy: {} });
        await scene.until('every pod may send', () => reaches(cluster, stranger, smtp));
        assert.equal(await goes(smtp), false, 'the operator has no mail to send');
        assert.equal(await goes(bystander), false);
        assert.equal(await reaches(cluster, stranger, operatorMetrics), true, 'all may read its metrics');
      } finally {
        await helmUpgrade(cluster, image);
      }
    });
  });
});
