import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { secrets } from '../../operator/reconcile/secret-facts.ts';
import { sentence } from './audit.ts';
import { Rig } from './rig.ts';

const COUNT = 20;
const MEGABYTE = 1_000_000;

/** Bytes that the API server has sent in answer to every LIST of Secrets so far. */
async function listed(rig: Rig): Promise<number> {
  const text = await rig.server.kubectl(['get', '--raw', '/metrics']);
  const series = /^apiserver_response_sizes_sum\{([^}]*)\} (\S+)$/gm;
  const ofSecrets = [...text.matchAll(series)].filter(
    ([, labels = '']) => labels.includes('resource="secrets"') && labels.includes('verb="LIST"'),
  );
  return ofSecrets.reduce((sum, [, , value]) => sum + Number(value), 0);
}

describe('large Secrets that no MailRelay names', () => {
  let rig: Rig;
  before(async () => {
    rig = await Rig.start();
  });
  after(() => rig?.stop());

  test('cost the operator their metadata, and a change of their content costs nothing', async () => {
    const namespace = await rig.namespace('foreign');
    const blob = 'x'.repeat(MEGABYTE);
    for (let index = 0; index < COUNT; index++) await rig.createSecret(namespace, `big-${index}`, { blob });
    const before = await listed(rig);
    const everything = await rig.client.list(secrets, { namespace });
    assert.equal(everything.items.length, COUNT);
    const whole = (await listed(rig)) - before;
    assert.ok(whole > COUNT * MEGABYTE, `the measure sees what a whole LIST takes: ${whole} bytes`);

    const start = await listed(rig);
    await rig.operator();
    const cost = (await listed(rig)) - start;
    assert.ok(cost > 0 && cost < COUNT * 2000, `${cost} bytes`);

    const mark = await rig.audit.mark();
    const data = { blob: btoa('y'.repeat(MEGABYTE)) };
    await rig.client.mergePatch(secrets, { namespace, name: 'big-0' }, { data });
    assert.deepEqual(await rig.settled(mark), []);
    const asked = (await rig.audit.since(mark)).filter(
      ({ userAgent = '', objectRef }) =>
        userAgent.startsWith('mailrelay-operator/') && objectRef?.resource === 'secrets',
    );
    assert.deepEqual(asked.map(sentence), []);
  });
});
