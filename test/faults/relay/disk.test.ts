/**
 * A volume that fills up under the whole relay (a small tmpfs): new mail is
 * refused in time, what was promised is sent, and all is well again when there
 * is room. Needs root to mount.
 */
import assert from 'node:assert/strict';
import { rm } from 'node:fs/promises';
import { describe, test } from 'node:test';
import { until } from '../../smtp/wait.ts';
import { mountingMissing, occupyBytes } from '../volume.ts';
import { fill, offer, openRig, recovers } from './volume-rig.ts';

describe('a volume that fills up', { skip: mountingMissing }, () => {
  test('at the reserve MAIL gets 452 4.3.1, readiness 503, and what waits is sent when it can be', async t => {
    const rig = await openRig(t);
    await rig.provider.down();
    const refused = await fill(rig);
    assert.match(refused.text, /^452 4\.3\.1 /);
    await until(async () => (await rig.relay.http('/readyz')).status === 503, 'the relay not to be ready');
    assert.match((await rig.relay.http('/readyz')).text, /disk/);
    assert.equal((await rig.relay.http('/livez')).status, 200);
    assert.deepEqual(rig.relay.run.heard('spool-failed'), []);
    const low = await rig.relay.run.until('disk-low');
    assert.match(String(low['message']), /\d/);
    const client = await rig.relay.connect();
    assert.match((await client.command('MAIL FROM:<a@example.com>')).text, /^452 4\.3\.1 /);
    await client.quit();
    await rig.provider.up();
    await recovers(rig);
    await rig.relay.run.until('disk-recovered');
  });

  test('filled by someone else it refuses, goes on sending, and recovers when there is room', async t => {
    const rig = await openRig(t);
    await rig.provider.down();
    const client = await rig.relay.connect();
    for (let count = 0; count < 5; count++) assert.equal(await offer(client, rig.ledger), undefined);
    const other = await occupyBytes(rig.volume);
    await until(async () => (await rig.relay.http('/readyz')).status === 503, 'the relay not to be ready');
    assert.match((await client.command('MAIL FROM:<a@example.com>')).text, /^452 4\.3\.1 /);
    await client.quit();
    await rig.provider.up();
    await until(() => rig.ledger.missing.length === 0, 'what waits to be sent from a full volume', 60_000);
    await rm(other);
    await recovers(rig);
  });

  test('without a reserve the volume is really full: never a false 250, and all that was promised arrives', async t => {
    const rig = await openRig(t, { config: { diskReserveBytes: 0 } });
    await rig.provider.down();
    const refused = await fill(rig);
    assert.match(refused.text, /^45[12] 4\.3\./);
    await rig.relay.kill();
    await rig.provider.up();
    await rig.relay.start();
    await recovers(rig);
  });
});
