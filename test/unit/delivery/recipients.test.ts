import assert from 'node:assert/strict';
import { describe as suite, test } from 'node:test';
import fc from 'fast-check';
import type { ResendConfig } from '../../../relay/config/config.ts';
import { expire, pendingIndexes, settlementOf } from '../../../relay/delivery/recipients.ts';
import type { Recipient, RecipientState } from '../../../relay/spool/message.ts';

const minute = 60_000;
const day = 24 * 60 * minute;
const resend: ResendConfig = {
  initialDelayMs: minute,
  maxDelayMs: 60 * minute,
  multiplier: 2,
  jitter: 0.2,
  expireAfterMs: 5 * day,
  deadRetentionMs: 30 * day,
  deadMaxMessages: 1000,
  deadMaxBytes: 1e9,
  bounces: false,
};
const receivedAt = Date.UTC(2026, 0, 1);
const message = { receivedAt, rounds: 0 };
const close = { now: receivedAt + 1000, random: 0.5, resend, reason: '' };

function recipient(state: RecipientState, differences: Partial<Recipient> = {}): Recipient {
  return { address: `${state}@example.com`, state, ...differences };
}

test('those still to be sent to are found by their place in the envelope', () => {
  const recipients = [
    recipient('pending'),
    recipient('delivered'),
    recipient('rejected'),
    recipient('pending'),
  ];
  assert.deepEqual(pendingIndexes(recipients), [0, 3]);
});

suite('settlementOf', () => {
  test('is done when every recipient was delivered', () => {
    const recipients = [recipient('delivered'), recipient('delivered')];
    assert.deepEqual(settlementOf(message, recipients, close), { kind: 'done', recipients });
  });

  test('is dead when nobody is pending and someone was rejected, and says how many and why', () => {
    const recipients = [
      recipient('delivered', { reply: '250 2.0.0 Ok' }),
      recipient('rejected', { reply: '550 5.1.1 No such user' }),
      recipient('delivered'),
    ];
    const settlement = settlementOf(message, recipients, close);
    assert.equal(settlement.kind, 'dead');
    assert.equal(
      'reason' in settlement && settlement.reason,
      '1 of 3 recipients rejected: 550 5.1.1 No such user',
    );
  });

  test('names no address in a reason', () => {
    const dead = settlementOf(
      message,
      [recipient('rejected', { reply: '550 <rejected@example.com>: No' }), recipient('expired')],
      close,
    );
    assert.ok(dead.kind === 'dead');
    assert.doesNotMatch(dead.reason, /@/);
    assert.equal(dead.reason, '1 of 2 recipients rejected: 550 <[address]>: No; 1 of 2 recipients expired');
    const waits = [recipient('pending', { reply: '450 <pending@example.com>: later' })];
    for (const reason of ['', '450 <pending@example.com>: later']) {
      const failed = settlementOf(message, waits, { ...close, reason });
      assert.equal(failed.kind === 'failed' && failed.reason, '450 <[address]>: later');
    }
  });

  test('is failed while someone is pending, due again after a minute, then two, then four', () => {
    const recipients = [recipient('delivered'), recipient('pending', { reply: '451 4.3.0 Later', at: 1 })];
    const waits = [0, 1, 2].map(rounds => {
      const settlement = settlementOf({ receivedAt, rounds }, recipients, close);
      return settlement.kind === 'failed' ? (settlement.dueAt - close.now) / minute : Number.NaN;
    });
    assert.deepEqual(waits, [1, 2, 4]);
  });

  test('gives the reason of the round, else the newest answer of those pending, else that nothing could be tried', () => {
    const pending = [
      recipient('pending', { reply: 'old', at: 1 }),
      recipient('pending', { reply: 'new', at: 2 }),
      recipient('rejected', { reply: 'newest, but over', at: 3 }),
    ];
    const reasonOf = (recipients: readonly Recipient[], reason: string): string => {
      const settlement = settlementOf(message, recipients, { ...close, reason });
      return settlement.kind === 'failed' ? settlement.reason : settlement.kind;
    };
    assert.equal(reasonOf(pending, 'all providers are down'), 'all providers are down');
    assert.equal(reasonOf(pending, ''), 'new');
    assert.equal(reasonOf([recipient('pending')], ''), 'no provider could be used');
  });

  test('never puts the next round later than expiry', () => {
    const old = { receivedAt, rounds: 50 };
    const settlement = settlementOf(old, [recipient('pending')], {
      ...close,
      now: receivedAt + 5 * day - minute,
    });
    assert.equal(settlement.kind === 'failed' && settlement.dueAt, receivedAt + 5 * day + 1);
    const last = settlementOf(old, [recipient('pending')], { ...close, now: receivedAt + 5 * day + 1 });
    assert.equal(last.kind, 'dead');
  });
});

suite('expire', () => {
  const late = receivedAt + 5 * day + 1;

  test('gives up those pending once the message is older than allowed, and keeps their last answer', () => {
    const recipients = [
      recipient('pending', { reply: '451 4.3.0 Later', at: 7, provider: 'ses' }),
      recipient('delivered', { reply: '250 Ok' }),
    ];
    assert.equal(expire(message, recipients, receivedAt + 5 * day, 5 * day), recipients);
    assert.deepEqual(expire(message, recipients, late, 5 * day), [
      { ...recipients[0], state: 'expired' },
      recipients[1],
    ]);
  });

  test('says so when nothing was ever answered', () => {
    const [only] = expire(message, [recipient('pending')], late, 5 * day);
    assert.deepEqual([only?.reply, only?.at], ['no provider could be used', late]);
  });

  test('notes that mail may have arrived where a final dot was left unanswered', () => {
    const noteOf = (ambiguous: number): string =>
      expire(message, [recipient('pending', { reply: 'dot: timeout', ambiguous })], late, 5 * day)[0]
        ?.reply ?? '';
    assert.equal(
      noteOf(1),
      'dot: timeout; it may have arrived: 1 time the message was sent whole and no answer came',
    );
    assert.match(noteOf(2), /2 times/);
  });

  test('gives up nothing when the clock has stepped back', () => {
    const recipients = [recipient('pending')];
    assert.equal(expire(message, recipients, receivedAt - day, 5 * day), recipients);
  });
});

test('whatever the recipients, one settlement fits: none is lost, none that ended changes, the kind follows from the states', () => {
  const anyRecipient = fc.record(
    {
      address: fc.emailAddress(),
      state: fc.constantFrom<RecipientState>('pending', 'delivered', 'rejected', 'expired'),
      reply: fc.string(),
      at: fc.nat(),
      ambiguous: fc.nat(3),
    },
    { requiredKeys: ['address', 'state'] },
  );
  fc.assert(
    fc.property(
      fc.array(anyRecipient, { minLength: 1 }),
      fc.integer({ min: -day, max: 10 * day }),
      fc.nat(100),
      (recipients, age, rounds) => {
        const now = receivedAt + age;
        const settlement = settlementOf({ receivedAt, rounds }, recipients, { ...close, now });
        const after = settlement.recipients;
        assert.deepEqual(
          after.map(({ address }) => address),
          recipients.map(({ address }) => address),
        );
        recipients.forEach((before, index) => {
          if (before.state !== 'pending') assert.deepEqual(after[index], before);
        });
        const pending = after.some(({ state }) => state === 'pending');
        const all = after.every(({ state }) => state === 'delivered');
        assert.equal(settlement.kind, all ? 'done' : pending ? 'failed' : 'dead');
        if (settlement.kind === 'failed') assert.ok(settlement.dueAt > now);
      },
    ),
  );
});
