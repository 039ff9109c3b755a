import assert from 'node:assert/strict';
import { before, describe, test } from 'node:test';
import { type Cluster, useCluster } from '../cluster/cluster.ts';
import { installOperator } from './installation.ts';
import { play, type Scene } from './scene.ts';

/** The images of the relay pods that are ready. */
async function readyImages(scene: Scene): Promise<readonly string[]> {
  const ready = (await scene.pods()).filter(pod => pod.ready).map(({ name }) => name);
  const pods = await scene.list('pods', 'app.kubernetes.io/component=relay');
  return pods
    .filter(({ metadata }) => ready.includes(metadata.name))
    .map(({ spec }) => String((spec['containers'] as { image: string }[])[0]?.image));
}

const size = '1Gi';

/** Every way in which a workload replaces its pods, each with what stays on the same volumes. */
const workloads = [
  { what: 'the only replica', spec: { replicas: 1, spool: { mode: 'Shared', size } }, volumes: 1 },
  {
    what: 'one replica after the other, each with a volume of its own',
    spec: { replicas: 2, spool: { mode: 'PerReplica', size } },
    volumes: 2,
  },
  {
    what: 'replicas on one shared volume',
    spec: { replicas: 2, spool: { mode: 'Shared', accessMode: 'ReadWriteMany', size } },
    volumes: 1,
  },
] as const;

describe('a new image under load', { concurrency: 3 }, () => {
  let cluster: Cluster;
  let next: string;
  before(async () => {
    cluster = await useCluster();
    const image = await installOperator(cluster);
    next = `${image}-rollout`;
    if (cluster.sort === 'own') await cluster.tagImage(image, next);
  });

  for (const { what, spec, volumes } of workloads) {
    test(`replaces ${what}, and every message that got its 250 arrives`, async t => {
      await play(t, cluster, { spec, volumes }, async scene => {
        await scene.ready('True', 'Available');
        const old = new Set((await scene.pods()).map(({ uid }) => uid));
        const load = scene.mail.load(await scene.service(), 3);
        await scene.until('mail flows', () => scene.mail.accepted.size > 50);
        await scene.change({ image: next });
        await scene.until(
          'every pod runs the new image',
          async () => {
            const images = await readyImages(scene);
            return images.length === spec.replicas && images.every(image => image === next);
          },
          180,
        );
        const sofar = scene.mail.accepted.size;
        await scene.until('mail flows through the new pods', () => scene.mail.accepted.size > sofar + 50);
        await load.stop();
        await scene.accounted();
        await scene.ready('True', 'Available');
        const pods = await scene.pods();
        assert.ok(pods.every(({ uid, restarts }) => !old.has(uid) && restarts === 0));
        t.diagnostic(`${scene.mail.accepted.size} messages, ${load.errors.length} connections that broke`);
      });
    });
  }
});
