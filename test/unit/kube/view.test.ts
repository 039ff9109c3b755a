import assert from 'node:assert/strict';
import { beforeEach, describe, test } from 'node:test';
import type { KubeObject } from '../../../operator/kube/object.ts';
import { Store } from '../../../operator/kube/store.ts';
import { View } from '../../../operator/kube/view.ts';
import { ManualClock } from '../../kube/manual-clock.ts';

type Thing = KubeObject & { uses?: string[] };

function thing(name: string, resourceVersion: number, more: { uid?: string; uses?: string[] } = {}): Thing {
  const { uid = `uid-${name}`, uses = [] } = more;
  return { metadata: { namespace: 'n', name, uid, resourceVersion: String(resourceVersion) }, uses };
}

describe('the view of objects from LIST, watch and own writes', () => {
  let told: string[];
  /** What each update was from and to. */
  let changes: unknown[];
  let store: Store<Thing>;
  let view: View<Thing>;
  let clock: ManualClock;

  beforeEach(() => {
    told = [];
    changes = [];
    clock = new ManualClock();
    store = new Store<Thing>({ uses: object => object.uses ?? [] });
    view = new View(store, clock, event => {
      const { type, object } = event;
      told.push(`${type} ${object.metadata.name} ${object.metadata.resourceVersion}`);
      if (type === 'updated') changes.push([event.previous.uses, object.uses]);
    });
  });
  const version = (name: string) => store.get(`n/${name}`)?.metadata.resourceVersion;

  test('tells each change once', () => {
    view.upsert(thing('a', 1));
    view.upsert(thing('a', 1));
    view.upsert(thing('a', 2));
    view.remove('n/a', '3');
    view.remove('n/a', '3');
    assert.deepEqual(told, ['added a 1', 'updated a 2', 'deleted a 2']);
  });

  test('tells a deletion between when the same name comes with another uid', () => {
    view.upsert(thing('a', 1));
    view.upsert(thing('a', 5, { uid: 'another' }));
    assert.deepEqual(told, ['added a 1', 'deleted a 1', 'added a 5']);
  });

  test('shows an own write at once and does not tell it when the watch brings it', () => {
    view.upsert(thing('a', 1));
    view.observe(thing('a', 2));
    view.observe(thing('a', 3));
    assert.equal(version('a'), '3');
    for (const brought of [1, 2, 3, 4]) view.upsert(thing('a', brought));
    assert.deepEqual(told, ['added a 1', 'updated a 4']);
  });

  test('tells what somebody else did just before our write, although the watch brings it after the answer', async () => {
    view.upsert(thing('a', 1, { uses: ['old'] }));
    view.observe(thing('a', 4, { uses: ['new'] }));
    assert.deepEqual(told, ['added a 1']);
    view.upsert(thing('a', 2, { uses: ['new'] }));
    assert.equal(version('a'), '4', 'the store does not go back');
    view.upsert(thing('a', 3, { uses: ['new'] }));
    view.upsert(thing('a', 4, { uses: ['new'] }));
    assert.deepEqual(told, ['added a 1', 'updated a 4']);
    assert.deepEqual(changes, [[['old'], ['new']]]);
    await view.whileWriting('n/a', async () => {
      view.upsert(thing('a', 5, { uses: ['newer'] }));
      view.observe(thing('a', 6, { uses: ['newer'] }));
    });
    assert.deepEqual(told.slice(2), ['updated a 6']);
    assert.deepEqual(changes.slice(1), [[['new'], ['newer']]]);
  });

  test('does not tell an own write that the watch brings before its answer, and what others did after it', async () => {
    view.upsert(thing('a', 1));
    await view.whileWriting('n/a', async () => {
      view.upsert(thing('a', 3));
      view.upsert(thing('b', 4));
      view.upsert(thing('a', 5));
      view.observe(thing('a', 3));
    });
    assert.deepEqual(told, ['added a 1', 'added b 4', 'updated a 5']);
    await view.whileWriting('n/a', async () => {
      view.remove('n/a', '7');
      view.observe(thing('a', 6));
    });
    assert.equal(version('a'), undefined);
    const failed = view.whileWriting('n/b', async () => {
      view.upsert(thing('b', 8));
      throw new Error('refused');
    });
    await assert.rejects(failed, /refused/);
    assert.deepEqual(told.slice(3), ['deleted a 6', 'updated b 8']);
  });

  test('gives a value of his own to whoever asks', () => {
    view.upsert(thing('a', 1));
    store.get('n/a')!.metadata.name = 'changed';
    assert.equal(store.get('n/a')?.metadata.name, 'a');
  });

  test('ignores an own write that the watch has overtaken', () => {
    view.upsert(thing('a', 5));
    view.observe(thing('a', 3));
    assert.equal(version('a'), '5');
  });

  test('does not bring back what was deleted before the answer to our write came', () => {
    view.upsert(thing('a', 1));
    view.remove('n/a', '4');
    view.observe(thing('a', 3));
    assert.equal(version('a'), undefined);
    view.observe(thing('a', 6));
    assert.equal(version('a'), '6');
  });

  test('keeps an own write that a LIST from before does not show, but not for ever', () => {
    view.observe(thing('a', 10));
    view.removeUnseen(new Set(), () => true, '9');
    assert.equal(version('a'), '10');
    clock.stall(60_000);
    view.removeUnseen(new Set(), () => true, '9');
    assert.equal(version('a'), undefined, 'an etcd restored from a backup counts from less');
  });

  test('removes what a LIST does not show, in its scope only', () => {
    for (const name of ['a', 'b', 'c']) view.upsert(thing(name, 1));
    view.removeUnseen(new Set(['n/b']), key => key !== 'n/c', '9');
    assert.deepEqual([...store.keys()], ['n/b', 'n/c']);
    assert.deepEqual(told.slice(3), ['deleted a 1']);
  });

  test('takes a LIST with smaller versions, as after a restore from a backup', () => {
    view.upsert(thing('a', 100));
    view.upsert(thing('a', 7));
    assert.equal(version('a'), '7');
  });

  test('finds objects by index through changes and deletions', () => {
    view.upsert(thing('a', 1, { uses: ['s1', 's2'] }));
    view.upsert(thing('b', 2, { uses: ['s2'] }));
    const users = (value: string) => store.byIndex('uses', value).map(({ metadata }) => metadata.name);
    assert.deepEqual(users('s2'), ['a', 'b']);
    view.upsert(thing('a', 3, { uses: ['s3'] }));
    assert.deepEqual([users('s1'), users('s2'), users('s3')], [[], ['b'], ['a']]);
    view.remove('n/b', '4');
    assert.deepEqual(users('s2'), []);
    assert.throws(() => store.byIndex('typo', 'x'), /index "typo" is not one of: uses/);
  });
});
