import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { type Cluster, useCluster } from '../cluster/cluster.ts';
import { helmUpgrade, installOperator, operatorNamespace } from './installation.ts';
import { type KubeObject, play, type Scene } from './scene.ts';

const operators = 'app.kubernetes.io/component=operator';
const childKinds =
  'mailrelay,deployment,statefulset,service,configmap,serviceaccount,persistentvolumeclaim,networkpolicy,poddisruptionbudget,pod';

/** Every object of the relay in the version that it has now. */
async function versions(scene: Scene): Promise<Readonly<Record<string, string>>> {
  const objects = await scene.list(childKinds);
  const own = objects.filter(({ metadata: { name } }) => name !== 'default' && name !== 'kube-root-ca.crt');
  return Object.fromEntries(
    own.map(({ kind, metadata }) => [
      `${kind} ${metadata.name}`,
      `${metadata.uid} ${metadata.resourceVersion}`,
    ]),
  );
}

async function operatorPods(cluster: Cluster): Promise<readonly KubeObject[]> {
  const list = await cluster.kubectl(['-n', operatorNamespace, 'get', 'pods', '-l', operators, '-o', 'json']);
  return (JSON.parse(list) as { items: KubeObject[] }).items;
}

/** Waits until an operator other than these leads and has worked through everything. */
async function successor(scene: Scene, old: readonly KubeObject[]): Promise<void> {
  const gone = new Set(old.map(({ metadata }) => metadata.uid));
  await scene.until('the next operator has reconciled', async () => {
    const fresh = (await operatorPods(scene.cluster)).filter(({ metadata }) => !gone.has(metadata.uid));
    const [pod] = fresh;
    if (pod === undefined) return false;
    const answer = await fetch(`http://${pod.status?.['podIP']}:8081/metrics`, {
      signal: AbortSignal.timeout(2000),
    });
    const text = await answer.text();
    const done = [...text.matchAll(/^controller_runtime_reconcile_total\{.*\} (\d+)$/gm)];
    const sum = done.reduce((total, [, count]) => total + Number(count), 0);
    return sum >= 2 && /^workqueue_depth\{.*\} 0$/m.test(text);
  });
}

describe('relays whose operator is away', () => {
  let cluster: Cluster;
  let image: string;
  before(async () => {
    cluster = await useCluster();
    image = await installOperator(cluster);
  });
  after(() => helmUpgrade(cluster, image));

  test('an operator that is killed, and one that is upgraded, find everything as it should be and write nothing', async t => {
    await play(t, cluster, {}, async scene => {
      await scene.ready('True', 'Available');
      await scene.send(5);
      await scene.accounted();
      await scene.until('status.queue is empty', async () => (await scene.status()).queue?.active === 0);
      const before = await versions(scene);
      const killed = await operatorPods(cluster);
      const names = killed.map(({ metadata }) => metadata.name);
      await cluster.kubectl([
        '-n',
        operatorNamespace,
        'delete',
        'pod',
        ...names,
        '--grace-period=0',
        '--force',
      ]);
      await successor(scene, killed);
      assert.deepEqual(await versions(scene), before);

      const upgraded = await operatorPods(cluster);
      const next = `${image}-next`;
      await cluster.tagImage(image, next);
      const at = image.lastIndexOf(':');
      const relay = ['--set', `relayImage.repository=${image.slice(0, at)}`];
      await helmUpgrade(cluster, next, [...relay, '--set-string', `relayImage.tag=${image.slice(at + 1)}`]);
      await successor(scene, upgraded);
      assert.deepEqual(await versions(scene), before);
    });
  });
});
