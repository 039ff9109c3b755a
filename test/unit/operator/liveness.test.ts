import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { Registry } from 'prom-client';
import { ApiError } from '../../../operator/kube/api-error.ts';
import { createInformer } from '../../../operator/kube/informer.ts';
import { createLeaderElection } from '../../../operator/kube/lease.ts';
import type { KubeClient } from '../../../operator/kube/resource.ts';
import { type SignsOfLife, unhealthy } from '../../../operator/liveness.ts';
import { serveProbes } from '../../../operator/probes.ts';
import { secrets } from '../../../operator/reconcile/secret-facts.ts';
import { ManualClock } from '../../kube/manual-clock.ts';

const watches = (disconnectedMs: number) => [
  { kind: 'MailRelay', disconnectedMs: 0 },
  { kind: 'Pod', disconnectedMs },
];

const cases: readonly (readonly [string, SignsOfLife, string | undefined])[] = [
  ['it does not lead', { sinceRenewalMs: undefined, watches: watches(0) }, undefined],
  ['the lease is renewed', { sinceRenewalMs: 2000, watches: watches(0) }, undefined],
  ['the API server is away for a while', { sinceRenewalMs: 29_000, watches: watches(599_000) }, undefined],
  [
    'it leads without renewing',
    { sinceRenewalMs: 31_000, watches: watches(0) },
    'leading, but the lease was renewed 31000 ms ago',
  ],
  [
    'a watch is stale, leading or not',
    { sinceRenewalMs: undefined, watches: watches(601_000) },
    'the watch of Pod has been away for 601 s',
  ],
  [
    'the API server is away, and so every watch',
    { sinceRenewalMs: undefined, watches: watches(3_599_000).slice(1) },
    undefined,
  ],
  [
    'the API server is away, and there is nothing to watch of a kind that it does not serve',
    {
      sinceRenewalMs: undefined,
      watches: [...watches(3_599_000).slice(1), { kind: 'ServiceMonitor', disconnectedMs: undefined }],
    },
    undefined,
  ],
  [
    'every watch has been away for an hour',
    { sinceRenewalMs: undefined, watches: watches(3_601_000).slice(1) },
    'the watch of Pod has been away for 3601 s',
  ],
];

describe('the operator', () => {
  for (const [what, signs, why] of cases) {
    test(`is ${why === undefined ? 'well' : 'to be started anew'} when ${what}`, () => {
      assert.equal(unhealthy(signs), why);
    });
  }

  test('answers /healthz with 503 and why, and with 200 again when that has passed', async t => {
    let why: string | undefined;
    const registry = new Registry();
    const probes = await serveProbes({
      ...{ host: '127.0.0.1', port: 0, registry },
      unhealthy: () => why,
      unready: () => undefined,
    });
    t.after(() => probes.close());
    const ask = async (): Promise<[number, string]> => {
      const response = await fetch(`http://127.0.0.1:${probes.port}/healthz`);
      return [response.status, await response.text()];
    };
    assert.deepEqual(await ask(), [200, 'ok\n']);
    why = 'the watch of Pod has been away for 601 s';
    assert.deepEqual(await ask(), [503, `${why}\n`]);
    why = undefined;
    assert.deepEqual(await ask(), [200, 'ok\n']);
  });

  test('knows how long it has led without renewing, however busy the process was', async () => {
    const clock = new ManualClock();
    const taken = (_: unknown, lease: object) => Promise.resolve(lease);
    const client = { find: () => Promise.resolve(undefined), create: taken, replace: taken };
    const election = createLeaderElection({
      ...{ client: client as unknown as KubeClient, namespace: 'n', name: 'l', clock },
      onStarted: () => undefined,
      onStopped: () => undefined,
    });
    election.start();
    await clock.advance(5000);
    assert.equal(election.isLeader(), true);
    const signs = () => ({ sinceRenewalMs: election.sinceRenewalMs(), watches: [] });
    assert.equal(unhealthy(signs()), undefined);
    clock.stall(31_000);
    assert.equal(election.isLeader(), false);
    assert.match(unhealthy(signs()) ?? '', /^leading, but the lease was renewed 3\d{4} ms ago$/);
    const stopped = election.stop();
    await clock.advance(60_000);
    await stopped;
  });

  test('takes a kind out of view neither for a watch that is away nor for one that is open', async () => {
    const clock = new ManualClock();
    const notFound = new ApiError({ code: 404, reason: 'NotFound', message: 'not served' });
    const client = new Proxy({} as KubeClient, { get: () => () => Promise.reject(notFound) });
    const informer = createInformer({ client, resource: secrets, clock, random: () => 0.5 });
    informer.start();
    await clock.advance(7_200_000);
    const signs = (disconnectedMs: number) => ({
      sinceRenewalMs: undefined,
      watches: [informer.stats(), { kind: 'Pod', disconnectedMs }],
    });
    assert.equal(unhealthy(signs(0)), undefined);
    assert.equal(unhealthy(signs(3_599_000)), undefined);
    assert.match(unhealthy(signs(3_601_000)) ?? '', /^the watch of Pod/);
    const stopped = informer.stop();
    await clock.advance(60_000);
    await stopped;
  });

  test('knows how long a watch has been away that cannot be opened', async () => {
    const clock = new ManualClock();
    const list = { items: [], metadata: { resourceVersion: '1' } };
    const transport = { stream: () => Promise.reject(new Error('away')) };
    const client = { transport, list: () => Promise.resolve(list) } as unknown as KubeClient;
    const informer = createInformer({ client, resource: secrets, clock, random: () => 0.5 });
    informer.hasSynced.catch(() => undefined);
    informer.start();
    await clock.advance(601_000);
    const other = { kind: 'Pod', disconnectedMs: 0 };
    const why = unhealthy({ sinceRenewalMs: undefined, watches: [informer.stats(), other] });
    assert.match(why ?? '', /^the watch of Secret has been away for 60[01] s$/);
    const stopped = informer.stop();
    await clock.advance(60_000);
    await stopped;
  });
});
