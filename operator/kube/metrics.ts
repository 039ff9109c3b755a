/**
 * The kit's metrics, named and labelled as controller-runtime's, so that existing dashboards and alerts fit. Fed
 * by the hooks of the other parts; knows nothing of them but their callbacks' shapes.
 */
import { Counter, Gauge, Histogram, type Registry } from 'prom-client';
import type { InformerOptions } from './informer.ts';
import type { KubeObject } from './object.ts';
import type { RequestReport } from './transport.ts';
import type { WorkQueueHooks } from './work-queue.ts';

/** Callbacks to hand to the other parts of the kit, which feed metrics named and shaped as controller-runtime's. */
export interface KubeMetrics {
  /** For `createTransport({onRequest})`. */
  onRequest(report: RequestReport): void;
  /** For `createWorkQueue({hooks})`: queue metrics and reconcile totals, errors, time of this controller. */
  queueHooks(controller: string, also?: WorkQueueHooks): WorkQueueHooks;
  /** For `createInformer`: watch restarts and faults by kind. */
  informerHooks<T extends KubeObject>(kind: string): Pick<InformerOptions<T>, 'onFault' | 'onWatchStart'>;
  /** For the lease's callbacks. */
  setLeader(leaseName: string, leading: boolean): void;
  onEventDropped(why: string): void;
}

/** controller-runtime's: from cache hits to a slow API server. */
const reconcileBuckets = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60];
/** client-go's work-queue buckets: powers of ten. */
const queueBuckets = [1e-5, 1e-4, 1e-3, 1e-2, 0.1, 1, 10, 100, 1000];
const requestBuckets = [0.005, 0.025, 0.1, 0.25, 0.5, 1, 2, 4, 8, 15, 30, 60];

/** Registers the metrics in `registry`; once per registry. */
export function createKubeMetrics(registry: Registry): KubeMetrics {
  const requests = requestMetrics(registry);
  const queue = queueMetrics(registry);
  const reconcile = reconcileMetrics(registry);
  const informer = informerMetrics(registry);
  const leader = new Gauge({
    name: 'leader_election_master_status',
    help: 'Whether this process leads (1) or stands by (0), by lease.',
    labelNames: ['name'],
    registers: [registry],
  });
  const dropped = new Counter({
    name: 'kube_events_dropped_total',
    help: 'Kubernetes events not written, by reason: rate, full, failed, not-leader.',
    labelNames: ['why'],
    registers: [registry],
  });
  return {
    onRequest: requests,
    queueHooks: (controller, also = {}) => joinHooks(queue(controller), reconcile(controller), also),
    informerHooks: informer,
    setLeader: (name, leading) => leader.set({ name }, leading ? 1 : 0),
    onEventDropped: why => dropped.inc({ why }),
  };
}

function requestMetrics(registry: Registry): KubeMetrics['onRequest'] {
  const total = new Counter({
    name: 'rest_client_requests_total',
    help: 'Requests to the API server by status code, or kind of connection fault, and HTTP method.',
    labelNames: ['code', 'method'],
    registers: [registry],
  });
  const byResource = new Counter({
    name: 'kube_client_requests_total',
    help: 'Requests to the API server by verb and resource.',
    labelNames: ['verb', 'resource', 'code'],
    registers: [registry],
  });
  const duration = new Histogram({
    name: 'rest_client_request_duration_seconds',
    help: 'Time until the answer was complete; of watches until it began.',
    labelNames: ['verb'],
    buckets: requestBuckets,
    registers: [registry],
  });
  return ({ verb, method, resource, code, durationMs }) => {
    total.inc({ code, method });
    byResource.inc({ verb, resource, code });
    duration.observe({ verb }, durationMs / 1000);
  };
}

function queueMetrics(registry: Registry): (name: string) => WorkQueueHooks {
  const common = { labelNames: ['name'], registers: [registry] };
  const depth = new Gauge({ name: 'workqueue_depth', help: 'Keys that wait.', ...common });
  const adds = new Counter({ name: 'workqueue_adds_total', help: 'Keys added.', ...common });
  const retries = new Counter({
    name: 'workqueue_retries_total',
    help: 'Keys put back after a failure.',
    ...common,
  });
  const waited = new Histogram({
    name: 'workqueue_queue_duration_seconds',
    help: 'Time a key waited before a worker took it.',
    buckets: queueBuckets,
    ...common,
  });
  const worked = new Histogram({
    name: 'workqueue_work_duration_seconds',
    help: 'Time a worker took for a key.',
    buckets: queueBuckets,
    ...common,
  });
  return name => {
    adds.inc({ name }, 0);
    retries.inc({ name }, 0);
    depth.set({ name }, 0);
    return {
      onAdd: () => adds.inc({ name }),
      onDepth: keys => depth.set({ name }, keys),
      onTaken: waitedMs => waited.observe({ name }, waitedMs / 1000),
      onDone: (_key, tookMs) => worked.observe({ name }, tookMs / 1000),
      onRetry: () => retries.inc({ name }),
    };
  };
}

function reconcileMetrics(registry: Registry): (controller: string) => WorkQueueHooks {
  const common = { labelNames: ['controller'], registers: [registry] };
  const total = new Counter({
    name: 'controller_runtime_reconcile_total',
    help: 'Reconciles by result: success, requeue_after, error.',
    labelNames: ['controller', 'result'],
    registers: [registry],
  });
  const errors = new Counter({
    name: 'controller_runtime_reconcile_errors_total',
    help: 'Reconciles that failed.',
    ...common,
  });
  const time = new Histogram({
    name: 'controller_runtime_reconcile_time_seconds',
    help: 'Time of a reconcile.',
    buckets: reconcileBuckets,
    ...common,
  });
  return controller => {
    errors.inc({ controller }, 0);
    return {
      onDone: (_key, tookMs, result) => {
        total.inc({ controller, result });
        time.observe({ controller }, tookMs / 1000);
        if (result === 'error') errors.inc({ controller });
      },
    };
  };
}

function informerMetrics(registry: Registry): KubeMetrics['informerHooks'] {
  const started = new Counter({
    name: 'kube_watch_starts_total',
    help: 'Watches opened by kind: the first one, and one each time the server ended it or it broke.',
    labelNames: ['kind'],
    registers: [registry],
  });
  const faults = new Counter({
    name: 'kube_watch_faults_total',
    help: 'Faults of an informer by kind and what it was doing: list, watch, handler.',
    labelNames: ['kind', 'during'],
    registers: [registry],
  });
  return kind => ({
    onWatchStart: () => started.inc({ kind }),
    onFault: ({ during }) => faults.inc({ kind, during }),
  });
}

/** Hooks that call all of `each` in order. */
function joinHooks(...each: WorkQueueHooks[]): WorkQueueHooks {
  return {
    onAdd: () => each.forEach(hooks => void hooks.onAdd?.()),
    onDepth: depth => each.forEach(hooks => void hooks.onDepth?.(depth)),
    onTaken: waitedMs => each.forEach(hooks => void hooks.onTaken?.(waitedMs)),
    onDone: (key, tookMs, outcome) => each.forEach(hooks => void hooks.onDone?.(key, tookMs, outcome)),
    onError: (key, error, failures, retryInMs) =>
      each.forEach(hooks => void hooks.onError?.(key, error, failures, retryInMs)),
    onRetry: () => each.forEach(hooks => void hooks.onRetry?.()),
  };
}
