import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Registry } from 'prom-client';
import { createKubeMetrics } from '../../../operator/kube/metrics.ts';
import { createWorkQueue } from '../../../operator/kube/work-queue.ts';
import { ManualClock } from '../../kube/manual-clock.ts';

test('the kit’s metrics have controller-runtime’s names and labels, and count what happened', async () => {
  const registry = new Registry();
  const metrics = createKubeMetrics(registry);
  const clock = new ManualClock();
  const errors: string[] = [];
  const queue = createWorkQueue({
    clock,
    random: () => 0.5,
    hooks: metrics.queueHooks('thing', { onError: key => errors.push(key) }),
    handler: async key => {
      if (key === 'bad') throw new Error('no');
      return key === 'later' ? { requeueAfterMs: 3_600_000 } : undefined;
    },
  });
  queue.start();
  for (const key of ['good', 'bad', 'later']) queue.add(key);
  await clock.advance(1);
  metrics.onRequest({
    verb: 'apply',
    method: 'PATCH',
    resource: 'apps/deployments',
    code: '200',
    durationMs: 12,
  });
  metrics.onRequest({ verb: 'list', method: 'GET', resource: 'pods', code: '<reset>', durationMs: 1 });
  const hooks = metrics.informerHooks('Pod');
  hooks.onWatchStart?.();
  hooks.onFault?.({ during: 'watch', error: new Error('x'), retryInMs: 1 });
  metrics.setLeader('mail', true);
  metrics.onEventDropped('rate');

  const lines = (await registry.metrics()).split('\n');
  for (const line of [
    'controller_runtime_reconcile_total{controller="thing",result="success"} 1',
    'controller_runtime_reconcile_total{controller="thing",result="error"} 1',
    'controller_runtime_reconcile_total{controller="thing",result="requeue_after"} 1',
    'controller_runtime_reconcile_errors_total{controller="thing"} 1',
    'controller_runtime_reconcile_time_seconds_count{controller="thing"} 3',
    'workqueue_adds_total{name="thing"} 3',
    'workqueue_depth{name="thing"} 0',
    'workqueue_retries_total{name="thing"} 1',
    'workqueue_queue_duration_seconds_count{name="thing"} 3',
    'workqueue_work_duration_seconds_count{name="thing"} 3',
    'rest_client_requests_total{code="200",method="PATCH"} 1',
    'rest_client_requests_total{code="<reset>",method="GET"} 1',
    'kube_client_requests_total{verb="apply",resource="apps/deployments",code="200"} 1',
    'kube_watch_starts_total{kind="Pod"} 1',
    'kube_watch_faults_total{kind="Pod",during="watch"} 1',
    'leader_election_master_status{name="mail"} 1',
    'kube_events_dropped_total{why="rate"} 1',
  ]) {
    assert.ok(lines.includes(line), line);
  }
  assert.deepEqual(errors, ['bad'], 'hooks of the caller are called too');
  await queue.stop();
});
