import assert from 'node:assert/strict';
import { beforeEach, describe, test } from 'node:test';
import { CacheLog } from '../../../operator/cache-log.ts';
import { ApiError, ConnectionError } from '../../../operator/kube/api-error.ts';
import { ManualClock } from '../../kube/manual-clock.ts';

const refused = new ConnectionError('refused', 'API server: connect ECONNREFUSED 10.0.0.1:443');
const busy = new ApiError({ code: 429, reason: 'TooManyRequests', message: 'too many requests' });
const forbidden = new ApiError({ code: 403, reason: 'Forbidden', message: 'pods is forbidden' });

describe('the log of the caches', () => {
  let clock: ManualClock;
  let lines: { level: string; fields: Record<string, unknown>; msg: string }[];
  let log: CacheLog;
  beforeEach(() => {
    clock = new ManualClock();
    lines = [];
    const at = (level: string) => (fields: object, msg: string) =>
      void lines.push({ level, fields: { ...fields }, msg });
    const logger = { debug: at('debug'), info: at('info'), warn: at('warn'), error: at('error') };
    log = new CacheLog({ log: logger as never, server: 'https://10.0.0.1', clock });
  });
  const fault = (kind: string, error: Error, namespace?: string) =>
    log.fault(kind, { namespace, during: 'list', error, retryInMs: 100 });
  /** Without what is for those who debug. */
  const told = () =>
    lines.filter(({ level }) => level !== 'debug').map(({ level, msg }) => `${level}: ${msg}`);

  test('says once for each cause that the API server is in trouble, with its address, and once that it is over', async () => {
    for (const kind of ['Pod', 'Secret', 'Pod']) fault(kind, refused);
    for (const kind of ['Pod', 'Secret']) fault(kind, busy);
    assert.deepEqual(told(), Array(2).fill('warn: the API server is in trouble; trying again'));
    assert.deepEqual(lines[0]?.fields, {
      ...{ server: 'https://10.0.0.1', cause: 'refused', kind: 'Pod', namespace: undefined, during: 'list' },
      ...{ error: refused.message, retryInMs: 100 },
    });
    assert.equal(lines.at(-2)?.fields['cause'], '429');
    await clock.advance(1500);
    log.answered('Pod', undefined);
    assert.equal(told().length, 2, 'another one still waits');
    log.answered('Secret', undefined);
    log.answered('Secret', undefined);
    assert.deepEqual(lines.at(-1), {
      ...{ level: 'info', msg: 'the API server is well again' },
      fields: { server: 'https://10.0.0.1', afterMs: 1500 },
    });
    fault('Pod', refused);
    assert.equal(told().length, 4, 'the next time is told anew');
  });

  test('says once that a scope is out of view, and that it is back', () => {
    log.scope('Pod', { namespace: 'apps', state: 'forbidden', error: forbidden }, false);
    log.scope('Pod', { namespace: 'apps', state: 'in-view' }, false);
    log.scope('Pod', { namespace: 'other', state: 'in-view' }, false);
    assert.deepEqual(told(), [
      'warn: out of view: it may not be read, and MailRelays that need it are left alone until it may',
      'info: in view again',
    ]);
    assert.deepEqual(lines[0]?.fields, {
      ...{ kind: 'Pod', namespace: 'apps', why: 'forbidden', error: 'pods is forbidden' },
    });
  });

  test('says of a kind that a cluster need not have that it alone is left out, when it is there and forbidden', () => {
    const change = { namespace: undefined, error: forbidden };
    log.scope('ServiceMonitor', { ...change, state: 'forbidden' }, true);
    log.scope('ServiceMonitor', { ...change, state: 'not-served' }, true);
    log.scope('ServiceMonitor', { namespace: undefined, state: 'in-view' }, true);
    log.scope('PrometheusRule', { ...change, state: 'forbidden' }, true);
    log.scope('PrometheusRule', { namespace: undefined, state: 'in-view' }, true);
    const leftOut =
      'left out: it may not be read, and what MailRelays want of this kind is not made until it may';
    assert.deepEqual(told(), [`warn: ${leftOut}`, `warn: ${leftOut}`, 'info: in view again']);
  });

  test("says what is left out since it has failed from the start, and tells the API server's troubles apart from it", () => {
    const broken = new ApiError({ code: 500, reason: 'InternalError', message: 'cannot be decrypted' });
    fault('Secret', broken, 'apps');
    log.scope('Secret', { namespace: 'apps', state: 'failing', error: broken }, false);
    log.leftOut('Secret', 'apps', false);
    fault('Secret', broken, 'apps');
    assert.deepEqual(told(), [
      'warn: the API server is in trouble; trying again',
      'warn: out of view: reading it fails, and MailRelays that need it are left alone until it succeeds',
    ]);
    assert.deepEqual(lines[1]?.fields, {
      ...{ kind: 'Secret', namespace: 'apps', why: 'failing', error: 'cannot be decrypted' },
    });
    fault('Pod', broken);
    fault('Secret', broken, 'apps');
    log.answered('Pod', undefined);
    log.scope('Secret', { namespace: 'apps', state: 'in-view' }, false);
    assert.deepEqual(told().slice(2), [
      'warn: the API server is in trouble; trying again',
      'info: the API server is well again',
      'info: in view again',
    ]);
    fault('Secret', broken, 'apps');
    assert.equal(told().length, 6, 'from then on it counts as any other');
  });

  test('does not speak of a kind that nobody misses, and takes a refusal for an answer', () => {
    fault('ServiceMonitor', refused);
    log.scope('ServiceMonitor', { namespace: undefined, state: 'not-served', error: forbidden }, true);
    log.scope('ServiceMonitor', { namespace: undefined, state: 'in-view' }, true);
    assert.deepEqual(told(), [
      'warn: the API server is in trouble; trying again',
      'info: the API server is well again',
    ]);
  });

  test('says each time that the operator itself has failed at a change', () => {
    for (const _ of [1, 2]) log.fault('Pod', { during: 'handler', error: new Error('bad'), retryInMs: 0 });
    assert.deepEqual(told(), Array(2).fill('error: what a change means could not be worked out'));
  });
});
