/**
 * Fills a spool with small messages through the spool's own interface, in a
 * process of its own: `node fill.ts DIRECTORY COUNT`. What a relay finds that
 * starts with a long queue.
 */
import { join } from 'node:path';
import { openSpool } from '../relay/spool/open.ts';

const [directory = '', count = '0'] = process.argv.slice(2);
const AT_ONCE = 500;

const spool = await openSpool({
  directory: join(directory, 'emails'),
  maxMessageBytes: 1024 * 1024,
  reserveBytes: 0,
  retention: { ageMs: 1e12, maxMessages: 1e9, maxBytes: 1e12 },
  now: Date.now,
  emit: () => undefined,
});

let left = Number(count);
await Promise.all(Array.from({ length: AT_ONCE }, one));
await spool.close();

async function one(): Promise<void> {
  while (left-- > 0) {
    const draft = spool.begin();
    await draft.write(Buffer.from(`Subject: ${draft.id}\r\n\r\n${'x'.repeat(200)}\r\n`));
    await draft.commit({
      envelope: {
        sender: 'app@example.com',
        recipients: ['someone@example.net'],
        eightBit: false,
        smtpUtf8: false,
      },
      receivedAt: Date.now(),
    });
  }
}
