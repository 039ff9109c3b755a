import assert from 'node:assert/strict';
import { describe as suite, test } from 'node:test';
import fc from 'fast-check';
import {
  type FailedAt,
  type Health,
  initial,
  onDelivered,
  onFailure,
  onLoggedIn,
  onProbeFailed,
  onRefused,
  onTick,
  softStrikesToOpen,
  trialMessages,
  usable,
  wakesAt,
} from '../../../relay/delivery/breaker.ts';
import type { ProviderEffect, Verdict } from '../../../relay/delivery/verdict.ts';

function failing(effect: ProviderEffect, differences: Partial<Verdict> = {}): Verdict {
  const plain = { again: 'retry', next: true, refused: false, ends: false, ambiguous: false } as const;
  return { class: 'network', ...plain, effect, ...differences };
}

/** random 0.5 = no jitter. */
function at(now: number, messageId?: string): FailedAt {
  const moment = { now, message: `failed at ${now}`, random: 0.5 };
  return messageId === undefined ? moment : { ...moment, messageId };
}

const strike = failing('strike');
const soft = failing('soft-strike');
const suspend = failing('suspend', { class: 'authentication', again: 'no' });
const minute = 60_000;

function opened(now = 0): Health {
  let health = initial();
  for (let count = 0; count < 3; count += 1) health = onFailure(health, strike, at(now));
  return health;
}

suite('strikes', () => {
  test('three provider-level failures in a row open the breaker, and it says why', () => {
    let health = onFailure(onFailure(initial(), strike, at(1)), strike, at(2));
    assert.equal(usable(health, 2), true);
    health = onFailure(health, strike, at(3));
    assert.deepEqual(health, {
      kind: 'open',
      since: 3,
      probeAt: 5003,
      urgentAt: 2503,
      probes: 0,
      trials: 0,
      reason: 'network',
      message: 'failed at 3',
    });
    assert.equal(usable(health, 10_000), false);
  });

  test('a success in between starts the count again', () => {
    let health = onFailure(onFailure(initial(), strike, at(1)), strike, at(2));
    health = onDelivered(health);
    health = onFailure(onFailure(health, strike, at(3)), strike, at(4));
    assert.equal(health.kind, 'closed');
  });

  test('a failure that another try would only repeat opens it at once', () => {
    const certificate = failing('strike', { class: 'tls', again: 'no' });
    const health = onFailure(initial(), certificate, at(0));
    assert.equal(health.kind === 'open' && health.reason, 'tls');
  });

  test('failures that are about the message or the recipient change nothing', () => {
    const health = onFailure(initial(), failing('none', { refused: true }), at(0));
    assert.deepEqual(health, initial());
  });

  test('an open breaker is not moved by failures that were under way', () => {
    const health = opened();
    assert.equal(onFailure(health, strike, at(4000)), health);
    assert.equal(onFailure(health, soft, at(4000, 'a')), health);
    assert.equal(onFailure(health, failing('cool-down', { waitMs: minute }), at(4000)), health);
  });

  test('a message under way that succeeds closes it', () => {
    assert.deepEqual(onDelivered(opened()), initial());
  });
});

suite('soft strikes', () => {
  test('one message that fails for ever never opens the breaker', () => {
    let health = initial();
    for (let count = 0; count < 100; count += 1) health = onFailure(health, soft, at(count, 'poison'));
    assert.equal(health.kind, 'closed');
  });

  test('two that take turns do not either', () => {
    let health = initial();
    for (let count = 0; count < 100; count += 1) health = onFailure(health, soft, at(count, `m${count % 2}`));
    assert.equal(health.kind, 'closed');
  });

  test('ten different messages in a row open it, nine do not', () => {
    let health = initial();
    for (let count = 1; count < softStrikesToOpen; count += 1)
      health = onFailure(health, soft, at(0, `m${count}`));
    assert.equal(health.kind, 'closed');
    assert.equal(onFailure(health, soft, at(0, 'last')).kind, 'open');
    assert.equal(onFailure(onDelivered(health), soft, at(0, 'last')).kind, 'closed');
  });
});

suite('probes', () => {
  test('come after 5, 10, 20 … seconds and at most every five minutes', () => {
    let health = opened();
    const waits: number[] = [];
    for (let count = 0, now = 0; count < 9; count += 1) {
      assert.ok(health.kind === 'open');
      waits.push((health.probeAt - now) / 1000);
      now = health.probeAt;
      health = onProbeFailed(health, strike, at(now));
    }
    assert.deepEqual(waits, [5, 10, 20, 40, 80, 160, 300, 300, 300]);
  });

  test('are spread by a fifth either way', () => {
    const probeAt = (random: number): number => {
      const health = onFailure(initial(), failing('strike', { again: 'no' }), { ...at(0), random });
      return health.kind === 'open' ? health.probeAt : Number.NaN;
    };
    assert.deepEqual([probeAt(0), probeAt(0.5), probeAt(1)], [4000, 5000, 6000]);
  });

  test('keep since when it is down, and tell the newest failure', () => {
    const health = onProbeFailed(opened(7), strike, at(6000));
    assert.ok(health.kind === 'open');
    assert.deepEqual([health.since, health.probes, health.message], [7, 1, 'failed at 6000']);
  });

  test('wait as long as the provider asks, when that is longer', () => {
    const busy = failing('cool-down', { class: 'rate', waitMs: 10 * minute });
    const health = onProbeFailed(opened(), busy, at(5000));
    assert.equal(health.kind === 'open' && health.probeAt, 5000 + 10 * minute);
  });

  test('that meet refused credentials suspend the provider', () => {
    assert.equal(onProbeFailed(opened(), suspend, at(5000)).kind, 'suspended');
  });

  test('of a provider in use count like any failure', () => {
    assert.deepEqual(onProbeFailed(initial(), strike, at(1)), onFailure(initial(), strike, at(1)));
  });

  test('that succeed put it on trial, and change nothing where it is in use', () => {
    for (const out of [opened(), onFailure(initial(), suspend, at(0))]) {
      const health = onLoggedIn(out);
      assert.equal(health.kind, 'trial');
      assert.equal(usable(health, 0), true);
      assert.equal(onLoggedIn(health), health);
    }
    const struck = onFailure(initial(), soft, at(0, 'm'));
    assert.equal(onLoggedIn(struck), struck);
  });

  test('come every 2.5 s when mail waits for a provider that is not there', () => {
    let health = opened();
    for (let count = 0, now = 0; count < 9; count += 1) {
      assert.equal(wakesAt(health, true), now + 2500);
      now += 2500;
      health = onProbeFailed(health, strike, at(now));
    }
  });

  test('come no sooner for it when the provider answers, or names a time', () => {
    const times = (health: Health): unknown => health.kind === 'open' && [health.urgentAt, health.probeAt];
    const service = failing('strike', { class: 'service' });
    const slow = failing('strike', { waitMs: 4000 });
    assert.deepEqual(times(onProbeFailed(opened(), service, at(0))), [10_000, 10_000]);
    assert.deepEqual(times(onProbeFailed(opened(), slow, at(0))), [4000, 10_000]);
    const suspended = onFailure(initial(), suspend, at(0));
    assert.equal(wakesAt(suspended, true), wakesAt(suspended, false));
  });
});

suite('a trial', () => {
  const failed = (health: Health): Health => {
    let next = onLoggedIn(health);
    for (let count = 0; count < trialMessages; count += 1) next = onFailure(next, soft, at(0, `m${count}`));
    return next;
  };

  test('ends with the first mail that is taken, and all is forgotten', () => {
    assert.deepEqual(onDelivered(onLoggedIn(failed(opened()))), initial());
  });

  test('is failed by a few messages, and each one failed makes the next probe wait longer', () => {
    let health = opened();
    const waits: number[] = [];
    for (let count = 0; count < 8; count += 1) {
      health = failed(health);
      assert.ok(health.kind === 'open');
      waits.push(health.probeAt / 1000);
      assert.equal(health.urgentAt, health.probeAt, 'however urgent');
    }
    assert.deepEqual(waits, [10, 20, 40, 80, 160, 300, 300, 300]);
  });

  test('is not failed by one message alone, nor by fewer connections lost than open a breaker', () => {
    let health = onLoggedIn(opened());
    for (let count = 0; count < 20; count += 1) health = onFailure(health, soft, at(0, 'poison'));
    health = onFailure(onFailure(health, strike, at(0)), strike, at(0));
    assert.equal(health.kind, 'trial');
    assert.equal(onFailure(health, strike, at(0)).kind, 'open');
  });

  test('ends when three messages were refused for what they are: one message alone proves nothing', () => {
    const refused = (health: Health, ...ids: string[]): Health => ids.reduce(onRefused, health);
    const trial = onLoggedIn(failed(opened()));
    assert.equal(refused(trial, 'a', 'b', 'a', 'b').kind, 'trial');
    assert.deepEqual(refused(trial, 'a', 'b', 'c'), initial());
    assert.deepEqual(refused(opened(), 'a', 'b', 'c'), opened(), 'what is out of use stays so');
    const struck = onFailure(initial(), strike, at(0));
    assert.deepEqual(refused(struck, 'a', 'b', 'c'), struck);
  });

  test('of a provider that logs us in and refuses us at MAIL: asked again after 20, 40, 60 minutes', () => {
    let health = onFailure(initial(), suspend, at(0));
    const waits: number[] = [];
    for (let count = 0; count < 3; count += 1) {
      health = onFailure(onLoggedIn(health), suspend, at(0));
      assert.ok(health.kind === 'suspended');
      waits.push(health.probeAt / minute);
    }
    assert.deepEqual(waits, [20, 40, 60]);
  });
});

suite('suspension', () => {
  const suspended = onFailure(initial(), suspend, at(0));

  test('one refusal of the credentials is enough, also while the breaker is open or cooling', () => {
    assert.equal(suspended.kind, 'suspended');
    assert.equal(usable(suspended, 30 * 24 * 60 * minute), false);
    assert.equal(onFailure(opened(), suspend, at(1)).kind, 'suspended');
    const cooling = onFailure(initial(), failing('cool-down', { waitMs: minute }), at(0));
    assert.equal(onFailure(cooling, suspend, at(1)).kind, 'suspended');
  });

  test('asks again with the same password after 10, 20, 40 and 60 minutes, not more often', () => {
    let health = suspended;
    const waits: number[] = [];
    for (let count = 0, now = 0; count < 5; count += 1) {
      assert.ok(health.kind === 'suspended');
      waits.push((health.probeAt - now) / minute);
      now = health.probeAt;
      health = onProbeFailed(health, suspend, at(now));
    }
    assert.deepEqual(waits, [10, 20, 40, 60, 60]);
  });

  test('stays while the provider cannot be reached at all', () => {
    assert.equal(onProbeFailed(suspended, strike, at(600_000)).kind, 'suspended');
  });

  test('is not moved by more refusals, failures or throttles', () => {
    for (const verdict of [suspend, strike, soft, failing('cool-down', { waitMs: 1000 })]) {
      assert.equal(onFailure(suspended, verdict, at(5)), suspended);
    }
  });

  test('outlives a message on a connection that logged in before', () => {
    assert.equal(onDelivered(suspended), suspended);
  });
});

suite('cool-down', () => {
  const cool = (waitMs?: number): Verdict =>
    failing('cool-down', { class: 'rate', ...(waitMs === undefined ? {} : { waitMs }) });

  test('lasts as long as was named, then the provider is in use again', () => {
    const health = onFailure(initial(), cool(30_000), at(1000));
    assert.equal(usable(health, 30_999), false);
    assert.equal(onTick(health, 30_999), health);
    assert.equal(usable(health, 31_000), true);
    assert.deepEqual(onTick(health, 31_000), initial());
  });

  test('lasts a minute when nothing says how long', () => {
    const health = onFailure(initial(), cool(), at(0));
    assert.equal(health.kind === 'cooling' && health.until, minute);
  });

  test('is prolonged but never shortened', () => {
    const health = onFailure(initial(), cool(30_000), at(0));
    assert.equal(onFailure(health, cool(1000), at(1000)), health);
    const longer = onFailure(health, cool(60_000), at(1000));
    assert.ok(longer.kind === 'cooling');
    assert.deepEqual([longer.since, longer.until], [0, 61_000]);
  });

  test('is not cancelled by a message that was under way on another connection', () => {
    const health = onFailure(initial(), cool(30_000), at(0));
    assert.equal(onDelivered(health), health);
    assert.equal(onLoggedIn(health), health);
  });

  test('takes no strikes', () => {
    const health = onFailure(initial(), cool(30_000), at(0));
    assert.equal(onFailure(onFailure(health, strike, at(1)), soft, at(2, 'a')), health);
  });
});

suite('a throttle that may be of one recipient domain', () => {
  const limited = failing('soft-cool-down', { class: 'rate', again: 'no', waitMs: 30_000 });
  const answeredTo = (health: Health, now: number, ...domains: string[]): Health =>
    onFailure(health, limited, { ...at(now, `m${now}`), domains });

  test('cools the provider down when three domains were answered so within a minute', () => {
    let health = answeredTo(answeredTo(initial(), 0, 'a.example'), 1000, 'b.example');
    assert.equal(health.kind, 'closed');
    health = answeredTo(health, 59_999, 'c.example');
    assert.ok(health.kind === 'cooling');
    assert.deepEqual([health.since, health.until], [59_999, 89_999]);
    assert.deepEqual(onTick(health, 89_999), initial(), 'and begins to count anew');
  });

  test('never does for one domain, however often, nor for two, nor for three in more than a minute', () => {
    let health = initial();
    for (let now = 0; now < 10 * minute; now += 1000) {
      health = answeredTo(health, now, now % 2000 === 0 ? 'a.example' : 'b.example');
    }
    assert.equal(health.kind, 'closed');
    health = answeredTo(answeredTo(initial(), 0, 'a.example'), 30_000, 'b.example');
    assert.equal(answeredTo(health, 60_000, 'c.example').kind, 'closed');
  });

  test('does for the domains of one message, too', () => {
    assert.equal(answeredTo(initial(), 0, 'a.example', 'b.example', 'c.example').kind, 'cooling');
  });

  test('is counted anew once mail was taken', () => {
    const health = onDelivered(answeredTo(answeredTo(initial(), 0, 'a.example'), 1, 'b.example'));
    assert.deepEqual(health, initial());
    assert.equal(answeredTo(health, 2, 'c.example').kind, 'closed');
  });

  test('changes nothing about a provider that is out of use', () => {
    for (const health of [opened(), onFailure(initial(), suspend, at(0))]) {
      assert.equal(answeredTo(health, 1, 'a.example', 'b.example', 'c.example'), health);
    }
  });
});

test('a tick changes nothing but a cool-down that is over', () => {
  for (const health of [initial(), opened(), onFailure(initial(), suspend, at(0))]) {
    assert.equal(onTick(health, 1e12), health);
  }
});

suite('properties', () => {
  const anyVerdict: fc.Arbitrary<Verdict> = fc
    .record(
      {
        effect: fc.constantFrom<ProviderEffect>(
          'none',
          'strike',
          'soft-strike',
          'suspend',
          'cool-down',
          'soft-cool-down',
        ),
        again: fc.constantFrom<Verdict['again']>('retry', 'no'),
        waitMs: fc.integer({ min: 1000, max: 86_400_000 }),
      },
      { requiredKeys: ['effect', 'again'] },
    )
    .map(({ effect, ...rest }) => failing(effect, rest));
  type Step = (health: Health, now: number) => Health;
  const anyStep: fc.Arbitrary<Step> = fc.oneof(
    fc.constant<Step>(health => onDelivered(health)),
    fc.constant<Step>(onTick),
    fc.constant<Step>(onLoggedIn),
    fc.tuple(anyVerdict, fc.nat(20), fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true })).map(
      ([verdict, id, random]): Step =>
        (health, now) =>
          onFailure(health, verdict, {
            now,
            random,
            message: 'x',
            messageId: `m${id}`,
            domains: [`d${id % 5}`],
          }),
    ),
    fc.tuple(anyVerdict, fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true })).map(
      ([verdict, random]): Step =>
        (health, now) =>
          onProbeFailed(health, verdict, { now, random, message: 'x' }),
    ),
  );
  const anyStory = fc.array(fc.tuple(anyStep, fc.nat(600_000)), { maxLength: 60 });

  function everyMoment(claim: (health: Health, now: number, before: Health) => boolean): void {
    const holds = (story: readonly (readonly [Step, number])[]): boolean => {
      let health = initial();
      let now = 0;
      return story.every(([step, elapsed]) => {
        now += elapsed;
        const before = health;
        health = step(before, now);
        return claim(health, now, before);
      });
    };
    fc.assert(fc.property(anyStory, holds), { numRuns: 500 });
  }

  test('never usable while open or suspended, always while closed or on trial', () => {
    everyMoment((health, now) => {
      if (health.kind === 'cooling') return usable(health, now) === now >= health.until;
      return usable(health, now) === (health.kind === 'closed' || health.kind === 'trial');
    });
  });

  test('there is always a finite moment at which it is tried again', () => {
    everyMoment(health => {
      const [urgent, usual] = [wakesAt(health, true), wakesAt(health, false)];
      if (usable(health, Number.NEGATIVE_INFINITY)) return urgent === undefined && usual === undefined;
      return Number.isFinite(usual) && Number(urgent) <= Number(usual);
    });
  });

  test('a closed breaker is always below its limits', () => {
    everyMoment(health => health.kind !== 'closed' || (health.strikes < 3 && health.softStrikes < 10));
  });

  test('a cool-down that is still running is never cut short but by a graver state', () => {
    everyMoment((health, now, before) => {
      if (before.kind !== 'cooling' || now >= before.until) return true;
      return health.kind === 'cooling' ? health.until >= before.until : health.kind === 'suspended';
    });
  });

  test('no state is changed in place', () => {
    const frozen = (health: Health): Health => Object.freeze(structuredClone(health));
    fc.assert(
      fc.property(anyStory, story => {
        story.reduce((health, [step, now]) => frozen(step(health, now)), frozen(initial()));
      }),
    );
  });
});
