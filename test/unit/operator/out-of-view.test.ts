import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { Registry } from 'prom-client';
import { gaugeOutOfView, withinView } from '../../../operator/out-of-view.ts';
import type { OutOfView } from '../../../operator/reconcile/field-of-view.ts';

describe('a MailRelay', () => {
  const done: string[] = [];
  const handler = withinView(
    async key => {
      done.push(`reconciled ${key}`);
      return { requeueAfterMs: 1 };
    },
    {
      caches: {
        relays: { has: key => !key.endsWith('/gone') },
        view: { includes: namespace => namespace === 'seen' },
      },
      leave: key => done.push(`left ${key}`),
    },
  );

  test('is worked on where all that it needs can be seen, and left alone elsewhere until that changes', async () => {
    done.length = 0;
    assert.deepEqual(await handler('seen/mail'), { requeueAfterMs: 1 });
    assert.equal(await handler('hidden/mail'), undefined);
    assert.deepEqual(done, ['reconciled seen/mail', 'left hidden/mail']);
  });

  test('that is gone is forgotten wherever it was', async () => {
    done.length = 0;
    await handler('hidden/gone');
    assert.deepEqual(done, ['reconciled hidden/gone']);
  });
});

test('the metric of what is out of view has a series for each, for as long as it is', async () => {
  const registry = new Registry();
  let hidden: OutOfView[] = [
    { kind: 'Pod', namespace: 'apps', why: 'forbidden' },
    { kind: 'MailRelay', namespace: undefined, why: 'not-served' },
  ];
  gaugeOutOfView(registry, { outOfView: () => hidden });
  const series = async () =>
    (await registry.metrics()).split('\n').filter(line => line.startsWith('mailrelay'));
  assert.deepEqual(await series(), [
    'mailrelay_operator_scope_out_of_view{namespace="apps",kind="Pod"} 1',
    'mailrelay_operator_scope_out_of_view{namespace="",kind="MailRelay"} 1',
  ]);
  hidden = [];
  assert.deepEqual(await series(), []);
});
