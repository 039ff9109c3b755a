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

  test('is not away while it is listed again and again', async () => {
    scope.listed();
    scope.watching(true);
    scope.watching(false);
    for (const _ of [1, 2]) {
      await clock.advance(60_000);
      scope.listed();
    }
    await clock.advance(1000);
    assert.equal(scope.disconnectedMs, 1000);
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

/** When a LIST and a WATCH were asked for, by a server that answers as told: a LIST that is no error is of one pod. */
function ask(
  list: () => Error | string,
  { watch = () => away, ...more }: { watch?: () => Error } & Partial<InformerOptions<KubeObject>> = {},
) {
  const clock = new ManualClock();
  const asked: number[] = [];
  const watches: number[] = [];
  const client = {
    list: async () => {
      asked.push(clock.now());
      const answer = list();
      if (answer instanceof Error) throw answer;
      const resourceVersion = String(asked.length);
      const items = [{ metadata: { name: answer, namespace: 'apps', resourceVersion } }];
      return { items, metadata: { resourceVersion } };
    },
    serves: () => Promise.resolve(true),
    transport: {
      stream: () => {
        watches.push(clock.now());
        return Promise.reject(watch());
      },
    },
  } as unknown as KubeClient;
  const informer = createInformer({ client, resource: pods, clock, random: () => 0.5, ...more });
  informer.start();
  const end = async (): Promise<void> => {
    const stopped = informer.stop();
    await clock.advance(60_000);
    await stopped;
  };
  return { clock, asked, watches, informer, end };
}

const pausesOf = (asked: readonly number[]): number[] =>
  asked.slice(1).map((at, index) => at - asked[index]!);

describe('what the server refuses to show', () => {
  test('is asked for less and less often, and at least every half minute', async () => {
    const { clock, asked, informer, end } = ask(() => forbidden);
    await clock.advance(3_600_000);
    const pauses = pausesOf(asked);
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
    assert.deepEqual(pausesOf(asked.slice(first)).slice(0, 2), [150, 300]);
    await end();
  });

  test('stays out of view where it may be listed and not watched, and is asked for less and less often', async () => {
    const states: string[] = [];
    const { clock, asked, end } = ask(() => 'mail-0', {
      watch: () => forbidden,
      onScope: ({ state }) => states.push(state),
    });
    await clock.advance(600_000);
    assert.deepEqual(states, ['in-view', 'forbidden']);
    assert.ok(asked.length < 40, `${asked.length} LISTs`);
    await end();
  });
});

describe('what the server answers with errors', () => {
  const failed = (code: number, retryAfterSeconds?: number): ApiError =>
    new ApiError({ code, reason: '', message: `scripted ${code}`, retryAfterSeconds });

  for (const [what, error] of [
    ['', failed(429)],
    [' asking for half a minute', failed(429, 30)],
  ] as const) {
    test(`is kept up to date by LISTs where each WATCH is answered 429${what}`, async () => {
      let pod = 'mail-0';
      const { clock, asked, watches, informer, end } = ask(() => pod, { watch: () => error });
      await clock.advance(20_000);
      assert.equal(asked.length, 1);
      pod = 'mail-1';
      await clock.advance(30_000);
      assert.deepEqual([...informer.keys()], ['apps/mail-1']);
      for (let minute = 1; minute <= 60; minute++) {
        await clock.advance(60_000);
        assert.ok(informer.stats().disconnectedMs! <= 30_000, `minute ${minute}`);
      }
      assert.equal(informer.stats().synced, true);
      const pauses = pausesOf(asked).slice(-20);
      assert.ok(Math.min(...pauses) >= 22_500 && Math.max(...pauses) <= 30_000, String(pauses));
      // It is tried each time whether there is a watch again.
      assert.equal(watches.at(-1), asked.at(-1));
      await end();
    });
  }

  test('is listed every half minute at most where that has failed for longer', async () => {
    const { clock, asked, end } = ask(() => failed(500), { backoffMs: [200, 1000] });
    await clock.advance(30_000);
    assert.ok(Math.max(...pausesOf(asked)) <= 1000);
    await clock.advance(570_000);
    assert.deepEqual(pausesOf(asked).slice(-2), [22_500, 22_500]);
    await end();
  });

  for (const [what, error] of [
    ['does not answer', away],
    ['is answered for by a gateway', failed(502)],
  ] as const) {
    test(`is asked for as often as before when the server ${what} for long: its return is noticed soon`, async () => {
      const list: { answer: Error | string } = { answer: error };
      const { clock, asked, watches, informer, end } = ask(() => list.answer, {
        watch: () => error,
        backoffMs: [200, 1000],
      });
      await clock.advance(600_000);
      assert.ok(Math.max(...pausesOf(asked)) <= 1000);
      list.answer = 'mail-0';
      await clock.advance(1000);
      assert.equal(informer.synced, true);
      await clock.advance(600_000);
      assert.ok(Math.max(...pausesOf(watches)) <= 1000);
      assert.equal(informer.stats().lists, 1);
      await end();
    });
  }
});
