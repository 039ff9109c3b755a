import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { MessageId } from '../../../relay/spool/message.ts';
import { isMessageId, messageIds, timeOfId } from '../../../relay/spool/message-id.ts';

describe('message ids', () => {
  const chance = (limit: number) => Math.floor(Math.random() * limit);

  test('are 17 characters that can be a file name and hold the time', () => {
    const id = messageIds(() => 1_767_225_600_000, chance)();
    assert.ok(isMessageId(id));
    assert.equal(id.length, 17);
    assert.equal(timeOfId(id), 1_767_225_600_000);
  });

  test('grow when the clock stands still, goes on, and steps back and forth', () => {
    const times = [5000, 5000, 5000, 1000, 900, 7000, 6999, 7000, 7001, 1];
    let at = 0;
    const next = messageIds(() => times[at++ % times.length] ?? 0, chance);
    let last = '';
    for (let i = 0; i < 10_000; i++) {
      const id = next();
      assert.ok(id > last, `${id} after ${last}`);
      last = id;
    }
  });

  test('go on after the greatest id of an earlier run, though the clock is behind', () => {
    const last = messageIds(() => 9000, chance)();
    assert.ok(messageIds(() => 10, chance, last)() > last);
  });

  test('stay 17 characters when chance runs out within a millisecond', () => {
    const next = messageIds(
      () => 5,
      limit => limit - 1,
      '000000005zzzzzzzz' as MessageId,
    );
    const id = next();
    assert.ok(isMessageId(id));
    assert.equal(timeOfId(id), 6);
  });

  test('take nothing for an id that could leave a directory', () => {
    for (const text of [
      '',
      '..',
      '../../etc/passwd',
      'a'.repeat(16),
      'A'.repeat(17),
      `${'a'.repeat(16)}/`,
      `${'a'.repeat(17)}\n`,
    ]) {
      assert.equal(isMessageId(text), false, JSON.stringify(text));
    }
  });
});
