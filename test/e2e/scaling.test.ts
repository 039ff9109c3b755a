import assert from 'node:assert/strict';
import { before, describe, test } from 'node:test';
import { type Cluster, useCluster } from '../cluster/cluster.ts';
import { installOperator } from './installation.ts';
import { type Pod, play, type Scene } from './scene.ts';

const perReplica = { mode: 'PerReplica', size: '1Gi' };
const shared = { mode: 'Shared', size: '1Gi' };

async function waitingIn(scene: Scene, pod: Pod): Promise<number> {
  const { queue } = await scene.relay(pod);
  return queue.active.messages + queue.failed.messages;
}

async function has(scene: Scene, type: string, reason: string): Promise<boolean> {
  const { conditions = [] } = await scene.status();
  return conditions.some(condition => condition.type === type && condition.reason === reason);
}

async function isGone(scene: Scene): Promise<boolean> {
  return (await scene.get('mailrelay/mail')) === undefined && (await scene.pods()).length === 0;
}

/** Two ready replicas; the second has mail on board, and no provider works. */
async function loadedPair(scene: Scene): Promise<readonly [Pod, Pod]> {
  await scene.until('two pods are ready', async () => {
    const pods = await scene.pods();
    return pods.length === 2 && pods.every(({ ready }) => ready);
  });
  const [first, second] = await scene.pods();
  assert.ok(first && second);
  await scene.allDown();
  await scene.until('the second replica has mail', async () => {
    await scene.send(2);
    return (await waitingIn(scene, second)) > 2;
  });
  return [first, second];
}

describe('a replica or a MailRelay that is to go with mail on board', { concurrency: 2 }, () => {
  let cluster: Cluster;
  before(async () => {
    cluster = await useCluster();
    await installOperator(cluster);
  });

  test('a replica sends what it has before it goes', async t => {
    await play(t, cluster, { spec: { replicas: 2, spool: perReplica }, volumes: 2 }, async scene => {
      await scene.ready('True');
      const [first, second] = await loadedPair(scene);
      await scene.change({ replicas: 1 });
      await scene.until('it drains', () => has(scene, 'Reconciling', 'ScalingDown'));
      await scene.until(
        'its relay takes no more mail',
        async () => (await scene.relay(second)).draining === true,
      );
      // For its grace it still takes what reaches it, while the Service learns that it is not ready.
      await scene.until('new mail goes to the other', async () => {
        const on = await waitingIn(scene, second);
        await scene.send(4);
        return (await waitingIn(scene, second)) === on;
      });
      await scene.allUp();
      await scene.until('one pod is left', async () => (await scene.pods()).length === 1);
      await scene.accounted();
      await scene.ready('True');
      assert.equal((await scene.pod()).uid, first.uid);
      assert.equal((await scene.status()).heldVolumes, undefined);
    });
  });

  test('a replica that cannot send goes when its time is up; its volume stays, is shown, and is sent from after scaling up', async t => {
    const spool = { ...perReplica, drainTimeoutSeconds: 5 };
    await play(t, cluster, { spec: { replicas: 2, spool }, volumes: 2 }, async scene => {
      await scene.ready('True');
      const [, second] = await loadedPair(scene);
      const on = await waitingIn(scene, second);
      await scene.change({ replicas: 1 });
      await scene.until('one pod is left', async () => (await scene.pods()).length === 1);
      await scene.until('status.heldVolumes says how many', async () => {
        const { heldVolumes = [] } = await scene.status();
        return heldVolumes.length === 1 && heldVolumes[0]?.messages === on;
      });
      assert.equal((await scene.status()).heldVolumes?.[0]?.claim, 'spool-mail-1');
      await scene.until('condition SpoolHealthy says so', () => has(scene, 'SpoolHealthy', 'MailLeftBehind'));
      assert.ok(await scene.get('persistentvolumeclaim/spool-mail-1'));

      await scene.allUp();
      await scene.change({ replicas: 2 });
      await scene.accounted(120);
      await scene.ready('True');
      await scene.until('no volume is held', async () => (await scene.status()).heldVolumes === undefined);
    });
  });

  test('a MailRelay that is deleted first sends its mail, and leaves its volume', async t => {
    await play(t, cluster, { spec: { spool: shared } }, async scene => {
      await scene.ready('True');
      await scene.allDown();
      await scene.send(5);
      await scene.kubectl(['delete', 'mailrelay', 'mail', '--wait=false']);
      await scene.until('it drains', () => has(scene, 'Ready', 'Draining'));
      const pod = await scene.pod();
      await scene.until('its relay drains', async () => (await scene.relay(pod)).draining === true);
      assert.equal(await waitingIn(scene, pod), 5);
      await scene.allUp();
      await scene.accounted();
      await scene.until('it is gone', () => isGone(scene));
      assert.ok(await scene.get('persistentvolumeclaim/mail-spool'));
      assert.equal(await scene.get('deployment/mail'), undefined);
    });
  });

  test('a MailRelay that is deleted while nothing can be sent leaves its mail to the next of its name', async t => {
    await play(t, cluster, { spec: { spool: { ...shared, drainTimeoutSeconds: 3 } } }, async scene => {
      await scene.ready('True');
      const before = await scene.get('persistentvolumeclaim/mail-spool');
      await scene.allDown();
      await scene.send(5);
      await scene.kubectl(['delete', 'mailrelay', 'mail', '--wait=false']);
      await scene.until('it is gone', () => isGone(scene));
      const events = await scene.kubectl([
        'get',
        'events',
        '-o',
        'custom-columns=M:.message',
        '--no-headers',
      ]);
      assert.match(events, /\b5\b.*(message|mail)/, 'an event says how much was left');

      await scene.allUp();
      await scene.change({});
      await scene.ready('True');
      await scene.accounted();
      const after = await scene.get('persistentvolumeclaim/mail-spool');
      assert.equal(after?.metadata.uid, before?.metadata.uid);
    });
  });
});
