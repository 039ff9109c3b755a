import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Channel } from '../../../relay/spool/channel.ts';
import { ArrivingMessage, Flow } from '../../../relay/spool/draft.ts';
import type { MessageId } from '../../../relay/spool/message.ts';
import { SpoolError } from '../../../relay/spool/spool.ts';
import { text } from './fixture.ts';

test('a chunk of a large message that finds no room is told of like a whole small one', async () => {
  const full = new SpoolError('disk-full', 'no room');
  const refused: unknown[] = [];
  const draft = new ArrivingMessage({
    n: 1,
    id: '0mws84nutqs2gr9mg' as MessageId,
    channel: { call: () => Promise.reject(full) } as unknown as Channel,
    flow: new Flow(),
    put: () => assert.fail('its row must not follow'),
    wrote: () => undefined,
    refused: error => refused.push(error),
  });
  const envelope = { sender: 'a', recipients: ['b'], eightBit: false, smtpUtf8: false };
  await assert.rejects(async () => {
    await draft.write(text(600_000));
    await draft.commit({ envelope, receivedAt: 1 });
  }, full);
  assert.deepEqual(new Set(refused), new Set([full]));
});
