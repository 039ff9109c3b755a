import assert from 'node:assert/strict';
import { join } from 'node:path';
import process from 'node:process';
import { describe, test } from 'node:test';
import { runFile } from '../runner/run-file.ts';
import { useCluster } from './cluster.ts';

const story = join(import.meta.dirname, '../e2e/story.test.ts');

describe('a cluster of which only a kubeconfig is given', () => {
  test('is used with the image that is named, and the story of a MailRelay goes as on one of our own', async t => {
    const cluster = await useCluster();
    const { sort, hostAddress } = cluster;
    if (sort !== 'own' || hostAddress === undefined)
      return t.skip('this process is outside the network of a cluster of our own');
    await cluster.makeVolumes(1);
    const env = {
      ...process.env,
      MAILRELAY_TEST_KUBECONFIG: cluster.kubeconfig,
      MAILRELAY_TEST_IMAGE: await cluster.relayImage(),
      MAILRELAY_TEST_NODE_IMAGE: cluster.nodeImage,
      MAILRELAY_TEST_HOST_ADDRESS: hostAddress,
    };
    const { results, output } = await runFile({ file: story, timeout: 5 * 60_000, env });
    assert.ok(
      results.every(({ outcome }) => outcome === 'passed'),
      output,
    );
  });
});
