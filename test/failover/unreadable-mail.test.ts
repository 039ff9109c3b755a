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

test('bodies that are gone cost the provider nothing and the log ten lines, however many', async () => {
  const many = 60;
  await withRelay({ providers: [later] }, async relay => {
    await relay.sendMany(many);
    const { spool, delivery } = relay.relay.parts;
    await until(() => spool.counts().failed.messages === many, 'all to wait in emails/failed', 60_000);
    await rm(join(relay.directory, 'emails', 'failed'), { recursive: true });
    await relay.provider().follow({});
    const { connections, transactions } = relay.provider().counters;
    const lines = relay.log.length;
    await relay.relay.queue.resend({ state: 'failed' });
    delivery.look();
    await until(() => relay.heard('spool-trouble').length === many, 'a round of each', 60_000);
    assert.equal(relay.provider().counters.transactions, transactions);
    assert.ok(relay.provider().counters.connections < connections + many / 2, 'they are kept');
    assert.equal(relay.status('first').state, 'active');
    const told = relay.log.slice(lines).filter(line => line.includes('"spool-trouble"'));
    assert.ok(told.length >= 10 && told.length < 15, `${told.length} lines`);
  });
});
