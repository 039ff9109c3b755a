import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { resync } from '../../../operator/triggers.ts';
import { ManualClock } from '../../kube/manual-clock.ts';

const halfHour = 30 * 60_000;

function rig() {
  const clock = new ManualClock();
  const relays = ['apps/mail', 'apps/b'];
  const added: string[] = [];
  const queue = { add: (key: string, priority?: string) => void added.push(`${key} ${priority}`) };
  const end = resync({ relays: { keys: () => relays.values() } }, queue, clock);
  return { clock, relays, end, taken: () => added.splice(0) };
}

describe('a resync', () => {
  test('looks at every MailRelay at the start and every 30 minutes, after what somebody waits for', async () => {
    const { clock, relays, taken } = rig();
    assert.deepEqual(taken(), ['apps/mail low', 'apps/b low']);
    await clock.advance(halfHour - 1);
    assert.deepEqual(taken(), []);
    relays.pop();
    await clock.advance(1);
    assert.deepEqual(taken(), ['apps/mail low']);
    await clock.advance(halfHour);
    assert.deepEqual(taken(), ['apps/mail low']);
  });

  test('looks no more once it has ended', async () => {
    const { clock, end, taken } = rig();
    await clock.advance(halfHour);
    taken();
    end();
    await clock.advance(10 * halfHour);
    assert.deepEqual(taken(), []);
    assert.equal(clock.timers, 0);
  });
});
