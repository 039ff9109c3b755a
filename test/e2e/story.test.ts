import assert from 'node:assert/strict';
import { before, describe, test } from 'node:test';
import { dataDirectory } from '../../operator/resources/config-json.ts';
import { type Cluster, useCluster } from '../cluster/cluster.ts';
import { applicationPod, sendFromPod } from './application.ts';
import { installOperator } from './installation.ts';
import { play, type Scene } from './scene.ts';

/** The application's pod sends that many messages to the Service by its name. */
async function sendFromApp({ cluster, namespace, mail }: Scene, count: number): Promise<void> {
  const ids = Array.from({ length: count }, () => mail.nextId());
  const sent = await sendFromPod(
    cluster,
    { namespace, pod: 'app' },
    { service: `mail.${namespace}.svc`, ids },
  );
  assert.deepEqual(sent, ids);
  for (const id of sent) mail.accepted.add(id);
}

/** The line of `kubectl get mailrelay mail`, column by column. */
async function line(scene: Scene): Promise<Readonly<Record<string, string>>> {
  const [head = '', row = ''] = (await scene.kubectl(['get', 'mailrelay', 'mail'])).trim().split('\n');
  const names = [...head.matchAll(/\S+\s*/g)].map(({ 0: name, index }) => ({ name: name.trim(), index }));
  return Object.fromEntries(
    names.map(({ name, index }, at) => [name, row.slice(index, names[at + 1]?.index).trim()]),
  );
}

const readFailed = `
  const { globSync, readFileSync } = require('node:fs');
  const files = globSync('${dataDirectory}/emails/failed/*.eml');
  console.log(JSON.stringify(files.map(file => readFileSync(file, 'utf8'))));
`;

/** The files in emails/failed of the relay's volume. */
async function failedFiles({ cluster, namespace }: Scene): Promise<readonly string[]> {
  return JSON.parse(await cluster.exec({ namespace, pod: 'deployment/mail' }, ['node', '-e', readFailed]));
}

describe('a MailRelay on a cluster', () => {
  let cluster: Cluster;
  before(async () => {
    cluster = await useCluster();
    await installOperator(cluster);
  });

  test('sends by the first provider, by the next when it stops, keeps mail while all are down and sends it when one returns', async t => {
    await play(t, cluster, { fromOutside: true }, async scene => {
      const { upstreams, mail } = scene;
      const { primary, backup, last } = upstreams;
      await scene.apply(applicationPod(cluster));
      await scene.kubectl(['wait', '--for=condition=Ready', 'mailrelay/mail', 'pod/app', '--timeout=90s']);
      assert.partialDeepStrictEqual(await line(scene), {
        READY: 'True',
        REASON: 'Available',
        PROVIDERS: '3/3',
      });
      assert.equal((await line(scene))['ACTIVE'], 'primary');

      await sendFromApp(scene, 5);
      await scene.accounted();
      assert.equal(primary.messages.length, 5);

      await primary.down();
      await sendFromApp(scene, 5);
      await scene.accounted();
      assert.equal(backup.messages.length, 5);
      await scene.providers({ primary: 'Failing', backup: 'Active', last: 'Standby' });
      await scene.ready('True', 'Degraded');
      assert.partialDeepStrictEqual(await line(scene), { PROVIDERS: '2/3', ACTIVE: 'backup', FAILED: '0' });

      await backup.down();
      await last.down();
      await sendFromApp(scene, 5);
      await scene.until('five files in emails/failed', async () => (await failedFiles(scene)).length === 5);
      const texts = await failedFiles(scene);
      for (const id of mail.missing())
        assert.ok(
          texts.some(text => text.includes(id)),
          `${id} is in a file`,
        );
      await scene.ready('False', 'NoUsableProvider');
      await scene.providers({ primary: 'Failing', backup: 'Failing', last: 'Failing' });
      await scene.until('status.queue.failed is 5', async () => (await scene.status()).queue?.failed === 5);
      assert.partialDeepStrictEqual(await line(scene), { READY: 'False', PROVIDERS: '0/3', FAILED: '5' });

      await last.up();
      await scene.accounted(120);
      assert.equal(last.messages.length, 5);
      await scene.ready('True', 'Degraded');
      await scene.until('status.queue.failed is 0', async () => (await scene.status()).queue?.failed === 0);
      assert.equal((await line(scene))['ACTIVE'], 'last');
      assert.deepEqual(await failedFiles(scene), []);
      assert.deepEqual(mail.duplicates(), []);
      const [pod] = await scene.pods();
      assert.equal(pod?.restarts, 0);
    });
  });
});
