import assert from 'node:assert/strict';
import { before, describe, test } from 'node:test';
import { type Cluster, useCluster } from '../cluster/cluster.ts';
import { installOperator } from './installation.ts';
import { dashboardQueries, startPrometheus } from './prometheus.ts';
import { play } from './scene.ts';

describe('a Prometheus that reads relay pods', () => {
  let cluster: Cluster;
  before(async () => {
    cluster = await useCluster();
    await installOperator(cluster);
  });

  test('shows an outage of all providers on the dashboard, fires the alerts, and calms down afterwards', async t => {
    await play(t, cluster, {}, async scene => {
      await scene.ready('True', 'Available');
      const { backup } = scene.upstreams;
      const prometheus = await startPrometheus(cluster, scene.namespace);
      try {
        const value = async (query: string): Promise<number | undefined> =>
          (await prometheus.query(query))[0]?.value;
        const titled = async (title: string): Promise<string> => {
          const found = (await dashboardQueries()).find(panel => panel.title === title);
          assert.ok(found, `the dashboard has a panel "${title}"`);
          return found.query;
        };
        const fires = (alert: string) => async (): Promise<boolean> => (await prometheus.firing()).has(alert);
        await scene.until('the pod is read', async () => (await value('count(mailrelay_build_info)')) === 1);
        await scene.send(3);
        await scene.accounted();

        await scene.upstreams.primary.down();
        await scene.send(3);
        await scene.until('MailRelayProviderDown fires', fires('MailRelayProviderDown'));
        assert.ok(!(await prometheus.firing()).has('MailRelayAllProvidersFailing'));
        const down = await prometheus.query('ALERTS{alertname="MailRelayProviderDown",alertstate="firing"}');
        assert.deepEqual(
          down.map(({ metric }) => [metric['provider'], metric['namespace']]),
          [['primary', scene.namespace]],
        );
        const out = await titled('Providers out of use');
        assert.equal(await value(out), 1);

        await scene.allDown();
        await scene.send(4);
        await scene.until('MailRelayAllProvidersFailing fires', fires('MailRelayAllProvidersFailing'));
        assert.equal(await value(out), 3);
        const waiting = await titled('Mail waiting');
        await scene.until('the dashboard shows what waits', async () => (await value(waiting)) === 4);
        const failures = await prometheus.query(await titled('Failed tries by stage and class'));
        assert.ok(
          failures.some(({ metric }) => metric['provider'] === 'primary' && metric['stage'] === 'connect'),
        );
        const failovers = await prometheus.query(await titled('Failovers, from → to'));
        assert.ok(failovers.some(({ metric }) => metric['from'] === 'primary' && metric['to'] === 'backup'));
        for (const { query } of await dashboardQueries()) await prometheus.query(query);

        await backup.up();
        await scene.accounted();
        await scene.until('nothing waits any more', async () => (await value(waiting)) === 0);
        await scene.until('the alert ends', async () => !(await fires('MailRelayAllProvidersFailing')()));
        assert.equal(await value(out), 2);
      } finally {
        await prometheus.stop();
      }
    });
  });
});
