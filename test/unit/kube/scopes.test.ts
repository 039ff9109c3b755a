import assert from 'node:assert/strict';
import { beforeEach, describe, test } from 'node:test';
import { ApiError, ConnectionError } from '../../../operator/kube/api-error.ts';
import { createInformer, type InformerOptions } from '../../../operator/kube/informer.ts';
import type { KubeObject } from '../../../operator/kube/object.ts';
import type { KubeClient } from '../../../operator/kube/resource.ts';
import { Scope, type ScopeChange, scopeOf } from '../../../operator/kube/scopes.ts';
import { ManualClock } from '../../kube/manual-clock.ts';

const forbidden = new ApiError({ code: 403, reason: 'Forbidden', message: 'pods is forbidden' });
const away = new ConnectionError('refused', 'connect ECONNREFUSED');
const pods = { apiVersion: 'v1', kind: 'Pod', plural: 'pods', namespaced: true };

describe('a watched scope', () => {
  let clock: ManualClock;
  let changes: ScopeChange[];
  let scope: Scope;
  beforeEach(() => {
    clock = new ManualClock();
    changes = [];
    scope = new Scope('apps', clock, change => changes.push(change));
  });

  test('tells a refusal once, with what the server said', () => {
    scope.refused('forbidden', forbidden);
    scope.refused('forbidden', forbidden);
    assert.deepEqual(changes, [{ namespace: 'apps', state: 'forbidden', error: forbidden }]);
  });

  test('counts the time without a watch anew when it comes back into view', async () => {
    await clock.advance(60_000);
    assert.equal(scope.disconnectedMs, 60_000);
    scope.refused('forbidden', forbidden);
    await clock.advance(3_600_000);
    assert.equal(scope.disconnectedMs, undefined);
    scope.listed();
    await clock.advance(1000);
    assert.equal(scope.disconnectedMs, 1000);
    scope.watching(true);
    assert.equal(scope.disconnectedMs, 0);
  });

  test('fails while it has not been read once, tells that once, and is no watch that is away meanwhile', async () => {
    for (const _ of [1, 2]) scope.failed(away);
    await clock.advance(3_600_000);
    assert.deepEqual(changes, [{ namespace: 'apps', state: 'failing', error: away }]);
    assert.equal(scope.disconnectedMs, undefined);
    scope.listed();
    scope.failed(away);
    await clock.advance(1000);
    assert.deepEqual(changes.slice(1), [{ namespace: 'apps', state: 'in-view' }]);
    assert.equal(scope.disconnectedMs, 1000);
  });

  test('is found by the namespace of an object, also the one of all namespaces', () => {
    const all = new Scope(undefined, clock, () => undefined);
    assert.equal(scopeOf([scope], 'apps'), scope);
    assert.equal(scopeOf([scope], 'other'), undefined);
    assert.equal(scopeOf([all], 'apps'), all);
  });
});

describe('what the server refuses to show', () => {
  /** When a LIST was asked for, by a server that answers as told. */
  function ask(answer: () => Error, more: Partial<InformerOptions<KubeObject>> = {}) {
    const clock = new ManualClock();
    const asked: number[] = [];
    const client = {
      list: () => {
        asked.push(clock.now());
        return Promise.reject(answer());
      },
      serves: () => Promise.resolve(true),
    } as unknown as KubeClient;
    const informer = createInformer({ client, resource: pods, clock, random: () => 0.5, ...more });
    informer.start();
    const end = async (): Promise<void> => {
      const stopped = informer.stop();
      await clock.advance(60_000);
      await stopped;
    };
    return { clock, asked, informer, end };
  }

  test('is asked for less and less often, and at least every half minute', async () => {
    const { clock, asked, informer, end } = ask(() => forbidden);
    await clock.advance(3_600_000);
    const pauses = asked.slice(1).map((at, index) => at - asked[index]!);
    assert.deepEqual(pauses.slice(0, 4), [150, 300, 600, 1200]);
    assert.equal(Math.max(...pauses), 22_500);
    assert.equal(informer.stats().faults, 0);
    await end();
  });

  test('is asked for again at once when the refusal follows an outage, as of a server that is not ready', async () => {
    let answer: Error = away;
    const { clock, asked, end } = ask(() => answer);
    await clock.advance(600_000);
    answer = forbidden;
    const first = asked.length;
    await clock.advance(10_000);
    const pauses = asked.slice(first + 1).map((at, index) => at - asked[first + index]!);
    assert.deepEqual(pauses.slice(0, 2), [150, 300]);
    await end();
  });
});
