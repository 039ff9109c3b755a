import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Route } from '../../../relay/delivery/route.ts';

test('providers are visited once each, in order', () => {
  const route = new Route(['a', 'b', 'c']);
  assert.deepEqual([route.next(), route.next(), route.next(), route.next()], ['a', 'b', 'c', undefined]);
});

const none = (): boolean => false;

test('a provider left for lack of patience is visited again after the others', () => {
  const route = new Route(['a', 'b']);
  route.next();
  route.postpone('a', none);
  assert.deepEqual([route.next(), route.next(), route.next()], ['b', 'a', undefined]);
});

test('nothing is left untried on the last visit, so that nobody is sent on in circles', () => {
  const route = new Route(['a', 'b']);
  route.next();
  route.postpone('a', none);
  route.next();
  assert.deepEqual(route.untried, []);
});

test('a provider that was out of use is visited first of all when it is back and patience ends elsewhere', () => {
  const route = new Route(['a', 'b', 'c', 'd']);
  for (const name of ['a', 'b']) {
    assert.equal(route.next(), name);
    route.skip(name);
  }
  assert.equal(route.next(), 'c');
  assert.deepEqual(route.untried, ['a', 'b', 'd']);
  route.postpone('c', name => name === 'b');
  assert.deepEqual(route.untried, ['a', 'b', 'd']);
  assert.deepEqual([route.next(), route.next(), route.next(), route.next()], ['b', 'd', 'c', undefined]);
});

test('a failover is told once per provider, with the one left before and why', () => {
  const route = new Route(['a', 'b']);
  route.next();
  assert.equal(route.arrive('a'), undefined);
  route.leave('a', '451 4.3.0 try later');
  route.next();
  assert.deepEqual(route.arrive('b'), { name: 'a', reason: '451 4.3.0 try later' });
  assert.equal(route.arrive('b'), undefined);
});
