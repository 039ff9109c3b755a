import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { Registry } from 'prom-client';
import { createKubeMetrics } from '../../../operator/kube/metrics.ts';
import type { KubeClient } from '../../../operator/kube/resource.ts';
import { Caches } from '../../../operator/reconcile/caches.ts';
import { configMaps, serviceMonitors } from '../../../operator/resources/kinds.ts';

describe('the caches', () => {
  const caches = new Caches({
    client: {} as KubeClient,
    namespaces: undefined,
    selector: undefined,
    metrics: createKubeMetrics(new Registry()),
    log: {
      fault: () => undefined,
      answered: () => undefined,
      scope: () => undefined,
      leftOut: () => undefined,
    },
  });

  test('are needed but for the kinds of the Prometheus operator, for which no process is to be ended', () => {
    const needed = new Set(caches.needed);
    const others = caches.all.filter(cache => !needed.has(cache)).map(({ resource }) => resource.kind);
    assert.deepEqual(others, ['ServiceMonitor', 'PrometheusRule']);
    assert.equal(needed.size, 11);
  });

  test('give nothing of a kind that a cluster need not have before it has been read', () => {
    assert.equal(caches.of(serviceMonitors, 'apps'), undefined);
    assert.notEqual(caches.of(configMaps, 'apps'), undefined);
  });
});
