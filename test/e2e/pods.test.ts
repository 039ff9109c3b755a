import assert from 'node:assert/strict';
import { before, describe, test } from 'node:test';
import { type Cluster, useCluster } from '../cluster/cluster.ts';
import { installOperator } from './installation.ts';
import { killProcess } from './kill.ts';
import { type Pod, play, type Scene } from './scene.ts';

/** As when its node has died: nothing is asked, nothing is waited for. */
async function killPods(scene: Scene, ...names: readonly string[]): Promise<void> {
  await scene.kubectl(['delete', 'pod', ...names, '--grace-period=0', '--force', '--wait=false']);
}

/** Waits for that many ready pods of which none has one of these uids. */
async function replaced(scene: Scene, count: number, old: readonly Pod[]): Promise<void> {
  const gone = new Set(old.map(({ uid }) => uid));
  await scene.until(`${count} new pods are ready`, async () => {
    const pods = await scene.pods();
    return pods.length === count && pods.every(({ uid, ready }) => ready && !gone.has(uid));
  });
}

async function waiting(scene: Scene, pods: readonly Pod[]): Promise<number> {
  const counts = await Promise.all(pods.map(async pod => (await scene.relay(pod)).queue));
  return counts.reduce((sum, { active, failed }) => sum + active.messages + failed.messages, 0);
}

describe('relay pods that die', { concurrency: 2 }, () => {
  let cluster: Cluster;
  before(async () => {
    cluster = await useCluster();
    await installOperator(cluster);
  });

  test('a pod that is deleted by force with mail queued is replaced, and the mail goes', async t => {
    await play(t, cluster, {}, async scene => {
      await scene.ready('True');
      const pod = await scene.pod();
      await scene.allDown();
      await scene.send(20);
      await killPods(scene, pod.name);
      await replaced(scene, 1, [pod]);
      assert.equal(await waiting(scene, await scene.pods()), 20);
      await scene.allUp();
      await scene.accounted();
      await scene.ready('True');
    });
  });

  test('a relay that is killed by kill -9 under load starts again in its pod and loses nothing', async t => {
    await play(t, cluster, {}, async scene => {
      await scene.ready('True');
      const pod = await scene.pod();
      const load = scene.mail.load(await scene.service());
      await scene.until('mail flows', () => scene.mail.accepted.size > 50);
      await killProcess(pod.uid);
      await scene.until('the container was started again', async () => {
        const { uid, restarts, ready } = await scene.pod();
        return uid === pod.uid && restarts === pod.restarts + 1 && ready;
      });
      const sofar = scene.mail.accepted.size;
      await scene.until('mail flows again', () => scene.mail.accepted.size > sofar + 50);
      await load.stop();
      await scene.accounted();
    });
  });

  test('all pods killed at once come back to their volumes and send what is on them', async t => {
    const spec = { replicas: 2, spool: { mode: 'PerReplica', size: '1Gi' } };
    await play(t, cluster, { spec, volumes: 2 }, async scene => {
      await scene.ready('True');
      const pods = await scene.pods();
      await scene.allDown();
      for (let round = 0; round < 10; round += 1) await scene.send(3);
      await killPods(scene, ...pods.map(({ name }) => name));
      await replaced(scene, 2, pods);
      assert.equal(await waiting(scene, await scene.pods()), 30);
      await scene.allUp();
      await scene.accounted();
      await scene.ready('True');
    });
  });

  test('of two replicas with a volume each one is killed under load, and no mail is lost', async t => {
    const spec = { replicas: 2, spool: { mode: 'PerReplica', size: '1Gi' } };
    await play(t, cluster, { spec, volumes: 2 }, async scene => {
      await scene.ready('True');
      const [first, second] = await scene.pods();
      assert.ok(first && second);
      const load = scene.mail.load(await scene.service(), 4);
      await scene.until('mail flows', () => scene.mail.accepted.size > 50);
      await killPods(scene, second.name);
      const sofar = scene.mail.accepted.size;
      await scene.until('mail flows by the other', () => scene.mail.accepted.size > sofar + 50);
      await scene.until('two pods are ready', async () => {
        const now = await scene.pods();
        return now.length === 2 && now.every(({ ready }) => ready) && now[1]?.uid !== second.uid;
      });
      await load.stop();
      await scene.accounted();
      assert.equal((await scene.pods())[0]?.uid, first.uid);
    });
  });

  test('of two replicas on one shared volume the mail of one that is gone is sent by the other', async t => {
    const shared = { mode: 'Shared', accessMode: 'ReadWriteMany', size: '1Gi' };
    await play(t, cluster, { spec: { replicas: 2, spool: shared } }, async scene => {
      await scene.ready('True');
      const [first, second] = await scene.pods();
      assert.ok(first && second);
      await scene.allDown();
      await scene.until('both have mail', async () => {
        await scene.send(2);
        return (await waiting(scene, [first])) > 0 && (await waiting(scene, [second])) > 0;
      });
      const all = scene.mail.accepted.size;
      await killPods(scene, second.name);
      await scene.until('two pods hold all mail', async () => {
        const pods = await scene.pods();
        const ready = pods.length === 2 && pods.every(({ uid, ready: is }) => is && uid !== second.uid);
        return ready && (await waiting(scene, pods)) === all;
      });
      await scene.change({ replicas: 1 });
      await scene.until(
        'one pod holds all mail',
        async () => {
          const pods = await scene.pods();
          return pods.length === 1 && (await waiting(scene, pods)) === all;
        },
        150,
      ); // a look every half minute, which adopts one
      await scene.allUp();
      await scene.accounted();
      await scene.ready('True');
    });
  });
});
