import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { Turns } from '../../../operator/kube/turns.ts';
import { settle } from '../../kube/manual-clock.ts';

describe('turns', () => {
  /** Work that ends when the test says so. */
  function setUp(atOnce: number) {
    const turns = new Turns(atOnce);
    const begun: string[] = [];
    const ends = new Map<string, PromiseWithResolvers<string>>();
    const run = (name: string, signal = new AbortController().signal) =>
      turns.run(() => {
        begun.push(name);
        const end = Promise.withResolvers<string>();
        ends.set(name, end);
        return end.promise;
      }, signal);
    return { run, begun, ends };
  }

  test('come in the order of asking, as many at a time as there are', async () => {
    const { run, begun, ends } = setUp(2);
    const all = ['a', 'b', 'c', 'd'].map(name => run(name));
    await settle();
    assert.deepEqual(begun, ['a', 'b']);
    ends.get('b')!.resolve('done');
    await settle();
    assert.deepEqual(begun, ['a', 'b', 'c']);
    for (const name of ['a', 'c']) ends.get(name)!.resolve('done');
    await settle();
    ends.get('d')!.resolve('done');
    assert.deepEqual(await Promise.all(all), ['done', 'done', 'done', 'done']);
  });

  test('are passed on by work that failed, and past those that gave up', async () => {
    const { run, begun, ends } = setUp(1);
    const first = run('a');
    const caller = new AbortController();
    const second = run('b', caller.signal);
    const third = run('c');
    await settle();
    caller.abort();
    assert.equal(await second, undefined);
    assert.equal(await run('late', caller.signal), undefined);
    ends.get('a')!.reject(new Error('failed'));
    await assert.rejects(first, /failed/);
    await settle();
    ends.get('c')!.resolve('done');
    assert.equal(await third, 'done');
    assert.deepEqual(begun, ['a', 'c']);
    const fourth = run('d');
    await settle();
    ends.get('d')!.resolve('done');
    assert.equal(await fourth, 'done', 'the turn of one that gave up is not lost');
  });
});
