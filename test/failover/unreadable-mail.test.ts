/** Mail whose body somebody took away while it waited in emails/failed: our own trouble, and nobody else's. */
import assert from 'node:assert/strict';
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { until } from '../smtp/wait.ts';
import { withRelay } from './relay-under-test.ts';

const DAY = 24 * 3_600_000;
const later = { script: { mail: '451 4.3.0 later' } };

test('a bounce says that the message could not be read, and names no file of the relay', async () => {
  await withRelay({ providers: [later], config: { resend: { bounces: true } } }, async relay => {
    const id = await relay.send();
    await relay.roundEnd(id);
    await rm(join(relay.directory, 'emails', 'failed', `${id}.eml`));
    await relay.provider().follow({});
    relay.pass(6 * DAY);
    await until(() => relay.provider().messages.length === 1, 'the bounce');
    const bounce = relay.provider().messages[0]?.body.toString() ?? '';
    assert.match(bounce, /given up\r\n {4}the stored message could not be read\r\n/);
    assert.doesNotMatch(bounce, /emails|ENOENT|\.eml/);
    await relay.until('spool-trouble');
    const [trouble] = relay.heard('spool-trouble');
    assert.ok(trouble?.message.includes(join('emails', 'failed', `${id}.eml`)), 'the log has it');
  });
});
