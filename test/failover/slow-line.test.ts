/** A provider behind a slow line: what the kernel still holds goes out though nothing is seen to move. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { startSlowLine } from '../smtp/slow-line.ts';
import { until } from '../smtp/wait.ts';
import { withRelay } from './relay-under-test.ts';

const LINE = `${'x'.repeat(76)}\r\n`;
const THREE_MB = `Subject: large\r\n\r\n${LINE.repeat((3 * 1024 * 1024) / LINE.length)}`;

test('a large mail that leaves over a slow line keeps the mail behind it at its provider', async t => {
  const line = await startSlowLine(768 * 1024);
  t.after(() => line.close());
  const entry = { port: line.port, limits: { maxConnections: 1 } };
  await withRelay({ providers: [{ entry }, {}], config: { retry: { patienceSeconds: 2 } } }, async relay => {
    line.leadTo(relay.provider(0).port);
    const large = await relay.send({ content: THREE_MB });
    await until(() => relay.provider(0).transactions.length === 1, 'the large mail to begin');
    const small = await relay.send();
    await relay.until('recipient-delivered', 1, small, 60_000);
    await relay.until('recipient-delivered', 1, large, 60_000);
    assert.equal(relay.provider(0).messages.length, 2);
    assert.equal(relay.provider(1).messages.length, 0);
  });
});
