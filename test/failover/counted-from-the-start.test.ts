/** What happens while a relay opens is in its metrics, though they can be scraped only later. */
import assert from 'node:assert/strict';
import { rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { withRelay } from './relay-under-test.ts';

test('the first configuration, what went to quarantine and what died at the start are counted', async () => {
  await withRelay({ providers: [{ script: { mail: '451 4.3.0 later' } }] }, async relay => {
    const lost = await relay.send();
    await relay.roundEnd(lost);
    await relay.halt();
    await rm(join(relay.directory, 'emails', 'failed', `${lost}.eml`));
    await writeFile(join(relay.directory, 'emails', 'failed', 'stranger.txt'), 'x');
    await relay.start();
    assert.equal(await relay.metric('mailrelay_config_reloads_total', { result: 'success' }), 1);
    assert.equal(await relay.metric('mailrelay_spool_quarantined_total'), 1);
    assert.equal(await relay.metric('mailrelay_messages_dead_total'), 1);
  });
});
