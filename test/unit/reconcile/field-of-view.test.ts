import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { ScopeState } from '../../../operator/kube/scopes.ts';
import { FieldOfView } from '../../../operator/reconcile/field-of-view.ts';
import { settle } from '../../kube/manual-clock.ts';

type States = Readonly<Record<string, ScopeState>>;

/** Pods and monitors, the latter optional, each with the states of its namespaces; '' = all namespaces. */
function viewOf(
  pods: States,
  monitors: States = Object.fromEntries(Object.keys(pods).map(at => [at, 'in-view'])),
) {
  const scopes = (states: States) =>
    Object.entries(states).map(([at, state]) => ({ namespace: at === '' ? undefined : at, state }));
  return new FieldOfView([
    { kind: 'Pod', optional: false, scopes: scopes(pods) },
    { kind: 'Monitor', optional: true, scopes: scopes(monitors) },
  ]);
}

/** Whether it has come about when the informers have told this. */
async function hasCome(view: FieldOfView, what: 'begun' | 'opened' | 'whole'): Promise<boolean> {
  let come = false;
  void view[what].then(() => {
    come = true;
  });
  view.changed(undefined);
  await settle();
  return come;
}

const starts: readonly (readonly [
  what: string,
  pods: States,
  monitors: States | undefined,
  closed: RegExp | undefined,
])[] = [
  ['everything is in view', { a: 'in-view', b: 'in-view' }, undefined, undefined],
  ['all namespaces are one scope, in view', { '': 'in-view' }, undefined, undefined],
  [
    'a namespace is forbidden beside one that is in view',
    { a: 'in-view', b: 'forbidden' },
    undefined,
    undefined,
  ],
  ['a namespace is slow', { a: 'in-view', b: 'unread' }, undefined, /not synced yet: Pod in b$/],
  [
    'every namespace is forbidden',
    { a: 'forbidden' },
    undefined,
    /no namespace that may be read: Pod in a \(forbidden\)$/,
  ],
  [
    'a kind that is needed is not served',
    { '': 'not-served' },
    undefined,
    /may be read: Pod \(not-served\)$/,
  ],
  ['a kind that need not be there is not', { a: 'in-view' }, { a: 'not-served' }, undefined],
  ['a kind that need not be there is forbidden', { a: 'in-view' }, { a: 'forbidden' }, undefined],
  ['a kind that need not be there is slow', { a: 'in-view' }, { a: 'unread' }, undefined],
  ['a kind that need not be there fails', { a: 'in-view' }, { a: 'failing' }, undefined],
  ['a namespace fails', { a: 'in-view', b: 'failing' }, undefined, /not synced yet: Pod in b$/],
];

describe('the field of view', () => {
  for (const [what, pods, monitors, closed] of starts) {
    test(`${closed === undefined ? 'lets work begin' : 'lets work wait'} when ${what}`, async () => {
      const view = viewOf(pods, monitors);
      assert.equal(await hasCome(view, 'opened'), closed === undefined);
      if (closed === undefined) assert.equal(view.closed, undefined);
      else assert.match(view.closed ?? '', closed);
    });
  }

  test('has begun when one namespace is in view, whatever the others are', async () => {
    assert.equal(await hasCome(viewOf({ a: 'failing', b: 'unread' }), 'begun'), false);
    assert.equal(await hasCome(viewOf({ a: 'failing', b: 'in-view' }), 'begun'), true);
  });

  const patience: readonly (readonly [what: string, pods: States, opens: boolean])[] = [
    ['a namespace fails beside one in view', { a: 'in-view', b: 'failing' }, true],
    ['one fails and another is slow', { a: 'in-view', b: 'failing', c: 'unread' }, false],
    ['none is in view', { a: 'failing', b: 'forbidden' }, false],
  ];
  for (const [what, pods, opens] of patience) {
    test(`${opens ? 'lets work begin' : 'lets work wait on'} when nobody waits for what fails, and ${what}`, async () => {
      const view = viewOf(pods);
      view.leaveOutFailing();
      assert.equal(await hasCome(view, 'opened'), opens);
      assert.equal(view.closed === undefined, opens);
    });
  }

  test('tells what fails as out of view as soon as nobody waits for it, but for kinds that need not be there', () => {
    const view = viewOf({ a: 'in-view', b: 'failing' }, { a: 'failing', b: 'failing' });
    assert.deepEqual(view.outOfView(), []);
    view.leaveOutFailing();
    assert.deepEqual(view.outOfView(), [{ kind: 'Pod', namespace: 'b', why: 'failing' }]);
    assert.deepEqual([view.includes('a'), view.includes('b')], [true, false]);
  });

  test('is whole when nothing is unread any more, also of what need not be there', async () => {
    assert.equal(await hasCome(viewOf({ a: 'in-view' }, { a: 'unread' }), 'whole'), false);
    assert.equal(await hasCome(viewOf({ a: 'unread' }, { a: 'in-view' }), 'whole'), false);
    assert.equal(await hasCome(viewOf({ a: 'in-view' }, { a: 'not-served' }), 'whole'), true);
  });

  test('names a few of many that are waited for, and how many more there are', () => {
    const view = viewOf(Object.fromEntries(Array.from({ length: 9 }, (_, at) => [`n${at}`, 'unread'])));
    assert.equal(
      view.closed,
      'the caches are not synced yet: Pod in n0, Pod in n1, Pod in n2, Pod in n3, Pod in n4 and 4 more',
    );
  });

  test('includes a namespace when every kind that is needed is in view there, and no other', () => {
    const view = viewOf(
      { a: 'in-view', b: 'forbidden', c: 'unread' },
      { a: 'not-served', b: 'in-view', c: 'in-view' },
    );
    assert.deepEqual(
      ['a', 'b', 'c', 'unknown'].map(namespace => view.includes(namespace)),
      [true, false, false, false],
    );
    assert.equal(viewOf({ '': 'in-view' }).includes('any'), true);
  });

  test('shows a kind where it is in view', () => {
    const view = viewOf({ a: 'in-view', b: 'in-view' }, { a: 'in-view', b: 'not-served' });
    assert.equal(view.shows('Monitor', 'a'), true);
    assert.equal(view.shows('Monitor', 'b'), false);
    assert.equal(view.shows('Unknown', 'a'), false);
  });

  test('tells what is out of view, but for kinds that need not be there', () => {
    const view = viewOf(
      { a: 'in-view', b: 'forbidden', c: 'unread' },
      { a: 'not-served', b: 'forbidden', c: 'in-view' },
    );
    assert.deepEqual(view.outOfView(), [{ kind: 'Pod', namespace: 'b', why: 'forbidden' }]);
    assert.deepEqual(viewOf({ '': 'not-served' }).outOfView(), [
      { kind: 'Pod', namespace: undefined, why: 'not-served' },
    ]);
  });

  test('tells where something has changed, until nobody listens', () => {
    const view = viewOf({ a: 'in-view' });
    const told: (string | undefined)[] = [];
    const end = view.subscribe(namespace => told.push(namespace));
    view.changed('a');
    view.changed(undefined);
    end();
    view.changed('a');
    assert.deepEqual(told, ['a', undefined]);
  });
});
