import assert from 'node:assert/strict';
import { beforeEach, describe, test } from 'node:test';
import { Registry } from 'prom-client';
import { RelayGauges } from '../../../operator/reconcile/relay-gauges.ts';
import { ManualClock } from '../../kube/manual-clock.ts';

const minuteMs = 60_000;

describe('the gauges of MailRelays', () => {
  let registry: Registry;
  let clock: ManualClock;
  let leads: boolean;
  let gauges: RelayGauges;
  beforeEach(() => {
    registry = new Registry();
    clock = new ManualClock();
    leads = true;
    gauges = new RelayGauges(registry, { clock, leads: () => leads });
  });

  const series = async (): Promise<string[]> =>
    (await registry.metrics()).split('\n').filter(line => line !== '' && !line.startsWith('#'));
  const pods = (labels: string, value: number): string =>
    `mailrelay_operator_relay_expected_pods{${labels}} ${value}`;
  const state = (labels: string, name: string): string =>
    `mailrelay_operator_relay_state{${labels},state="${name}"} 1`;
  const mail = 'relay_namespace="apps",relay="mail"';

  test('say of each how many pods there should be and how it stands', async () => {
    gauges.expect('apps/mail', 2);
    gauges.become('apps/mail', 'ready');
    gauges.expect('shop/mail', 0);
    gauges.become('shop/mail', 'suspended');
    const shop = 'relay_namespace="shop",relay="mail"';
    assert.deepEqual(await series(), [
      pods(mail, 2),
      pods(shop, 0),
      state(mail, 'ready'),
      state(shop, 'suspended'),
    ]);
  });

  test('say one state of each, the newest', async () => {
    gauges.become('apps/mail', 'failing');
    gauges.become('apps/mail', 'ready');
    assert.deepEqual(await series(), [state(mail, 'ready')]);
  });

  test('say of one that is gone for a quarter of an hour that it has no pods, and then nothing', async () => {
    gauges.expect('apps/mail', 1);
    gauges.become('apps/mail', 'ready');
    gauges.forget('apps/mail');
    gauges.forget('apps/never-seen');
    await clock.advance(14 * minuteMs);
    gauges.forget('apps/mail');
    assert.deepEqual(await series(), [pods(mail, 0)]);
    await clock.advance(2 * minuteMs);
    assert.deepEqual(await series(), []);
  });

  test('say of one that has come again what it is like now', async () => {
    gauges.expect('apps/mail', 1);
    gauges.forget('apps/mail');
    gauges.expect('apps/mail', 3);
    assert.deepEqual(await series(), [pods(mail, 3)]);
    await clock.advance(20 * minuteMs);
    assert.deepEqual(await series(), [pods(mail, 3)]);
  });

  test('say nothing while another process leads, and afterwards only what was told since', async () => {
    gauges.expect('apps/mail', 1);
    leads = false;
    assert.deepEqual(await series(), []);
    gauges.forgetAll();
    leads = true;
    assert.deepEqual(await series(), []);
    gauges.become('apps/mail', 'ready');
    assert.deepEqual(await series(), [state(mail, 'ready')]);
  });
});
