import assert from 'node:assert/strict';
import { before, describe, test } from 'node:test';
import { type Cluster, useCluster } from '../cluster/cluster.ts';
import { installOperator } from './installation.ts';
import { dashboardQueries, startPrometheus } from './prometheus.ts';
import { play } from './scene.ts';
import { credentialSecret } from './upstreams.ts';

describe('a Prometheus that reads relay pods', { concurrency: 2 }, () => {
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

  test("fires the alerts of the MailRelay's own spec on refused credentials and on mail that gets old, and calms down", async t => {
    // A message counts as old after half of the time after which it is given up: 30 s.
    const resend = { initialDelaySeconds: 1, maxDelaySeconds: 3, expireAfterSeconds: 60 };
    await play(t, cluster, { spec: { resend } }, async scene => {
      await scene.ready('True', 'Available');
      const { primary, backup, last } = scene.upstreams;
      const prometheus = await startPrometheus(cluster, scene.namespace, 'of the MailRelay');
      try {
        const has = async (alert: string): Promise<boolean> => (await prometheus.firing()).has(alert);
        primary.users.set('user-primary', 'second password');
        await primary.down(); // connections that logged in before end too
        await primary.up();
        for (const provider of [backup, last]) provider.follow({ rcpt: '451 4.7.1 greylisted, come again' });
        await scene.send(2);
        await scene.until('refused credentials are told', () =>
          has('MailRelayProviderAuthenticationRefused'),
        );
        const refused = await prometheus.query(
          'ALERTS{alertname="MailRelayProviderAuthenticationRefused",alertstate="firing"}',
        );
        assert.deepEqual(
          refused.map(({ metric }) => [metric['provider'], metric['namespace'], metric['mailrelay']]),
          [['primary', scene.namespace, 'mail']],
        );
        assert.ok(!(await has('MailRelayFailedMailOld')), 'it is too early to call the mail old');
        await scene.until('old mail is told', () => has('MailRelayFailedMailOld'));

        for (const provider of [backup, last]) provider.follow({});
        await scene.accounted();
        await scene.apply(credentialSecret('primary', 'second password'));
        await scene.until('nothing fires any more', async () => (await prometheus.firing()).size === 0);
      } finally {
        await prometheus.stop();
      }
    });
  });
});
