import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { judge } from '../../../relay/delivery/judge.ts';
import { type Grant, Provider } from '../../../relay/delivery/provider.ts';
import { providerConfig } from '../../smtp/provider-config.ts';
import { gate, until } from '../../smtp/wait.ts';
import { FakeSession, openFailure, surroundings } from './fake-session.ts';

const config = providerConfig({ host: 'p.test', port: 25 }, { name: 'p', limits: { maxConnections: 4 } });
const nowhereElse = (): boolean => false;
const refused = openFailure({ stage: 'connect', fault: 'lost' });
const tooMany = openFailure({
  stage: 'greeting',
  fault: 'reply',
  reply: { code: 421, text: 'too many connections' },
});
const wrongPassword = openFailure({ stage: 'auth', fault: 'reply', reply: { code: 535, text: 'no' } });

type Granted = Extract<Grant, { kind: 'granted' }>;

async function granted(provider: Provider, lane: 'fresh' | 'resend' = 'fresh'): Promise<Granted> {
  const grant = await provider.acquire(lane, nowhereElse);
  assert.equal(grant.kind, 'granted');
  return grant as Granted;
}

describe('connections of a provider', { concurrency: true }, () => {
  test('are opened when needed, given back, and used again', async () => {
    const { deps, sessions } = surroundings();
    const provider = new Provider(config, deps);
    const first = await granted(provider);
    first.release();
    const second = await granted(provider);
    assert.equal(second.session, first.session);
    assert.equal(sessions.length, 1);
    provider.destroy();
  });

  test('are opened one at a time until the first works, and never more than maxConnections', async () => {
    const held = gate();
    let together = 0;
    let most = 0;
    const { deps, sessions } = surroundings(async () => {
      together += 1;
      most = Math.max(most, together);
      await held.opened;
      together -= 1;
      return new FakeSession();
    });
    const provider = new Provider(config, deps);
    const grants = Array.from({ length: 10 }, () => granted(provider));
    await new Promise(resolve => setImmediate(resolve));
    assert.equal(together, 1);
    held.open();
    for (const grant of grants) (await grant).release();
    assert.equal(sessions.length, 4);
    assert.ok(most <= 4);
    provider.destroy();
  });

  test('that fail are tried three times for all who wait together, then everyone is told', async () => {
    const { deps, events } = surroundings(() => Promise.reject(refused));
    const provider = new Provider(config, deps);
    const grants = await Promise.all(
      Array.from({ length: 20 }, () => provider.acquire('fresh', nowhereElse)),
    );
    assert.ok(grants.every(({ kind }) => kind === 'unavailable'));
    assert.deepEqual(
      events.map(event => (event.event === 'attempt' ? [event.try, event.retryInMs] : [])),
      [
        [1, 1],
        [2, 2],
        [3, undefined],
      ],
    );
    assert.equal(provider.health.kind, 'open');
    assert.equal((await provider.acquire('fresh', nowhereElse)).kind, 'unavailable');
    assert.equal(events.length, 3, 'an open provider is asked nothing');
    provider.destroy();
  });

  test('with a refused password are tried once', async () => {
    const { deps, events } = surroundings(() => Promise.reject(wrongPassword));
    const provider = new Provider(config, deps);
    const grants = await Promise.all([1, 2, 3].map(() => provider.acquire('fresh', nowhereElse)));
    assert.ok(grants.every(({ kind }) => kind === 'unavailable'));
    assert.equal(events.length, 1);
    assert.equal(provider.health.kind, 'suspended');
    provider.destroy();
  });

  test('with a login that is put off are tried three times, and then the provider cools down', async () => {
    const putOff = openFailure({ stage: 'auth', fault: 'reply', reply: { code: 454, text: 'not now' } });
    const { deps, events } = surroundings(() => Promise.reject(putOff));
    const provider = new Provider(config, deps);
    assert.equal((await provider.acquire('fresh', nowhereElse)).kind, 'unavailable');
    assert.equal(events.length, 3);
    assert.equal(provider.health.kind, 'cooling');
    provider.destroy();
  });

  test('with a login that works at the second try cost the provider nothing', async () => {
    const putOff = openFailure({ stage: 'auth', fault: 'reply', reply: { code: 454, text: 'not now' } });
    const { deps } = surroundings((_, count) => (count === 1 ? Promise.reject(putOff) : new FakeSession()));
    const provider = new Provider(config, deps);
    (await granted(provider)).release();
    assert.equal(provider.health.kind, 'closed');
    provider.destroy();
  });

  test('with a login that is put off for a named time are tried once', async () => {
    for (const text of ['try again in 30 seconds', 'too many login attempts, please try again later']) {
      const putOff = openFailure({ stage: 'auth', fault: 'reply', reply: { code: 454, text } });
      const { deps, events } = surroundings(() => Promise.reject(putOff));
      const provider = new Provider(config, deps);
      await provider.acquire('fresh', nowhereElse);
      assert.equal(events.length, 1, text);
      assert.equal(provider.health.kind, 'cooling');
      provider.destroy();
    }
  });

  test('beyond what the provider allows are not asked for again soon, and do not count against it', async () => {
    let opened = 0;
    const { deps, events } = surroundings((_, count) => {
      if (count > 2) throw tooMany;
      opened += 1;
      return new FakeSession();
    });
    const provider = new Provider(config, deps);
    const grants = [granted(provider), granted(provider), granted(provider), granted(provider)];
    const [a, b] = await Promise.all(grants.slice(0, 2));
    await until(() => events.length > 0, 'the refusal');
    assert.equal(provider.usable, true);
    a?.release();
    b?.release();
    await Promise.all(grants.slice(2));
    assert.equal(opened, 2);
    assert.ok(events.length <= 2, `${events.length} refused connections`);
    provider.destroy();
  });

  for (const [how, failure] of Object.entries({
    'closing them': refused,
    'saying nothing': openFailure({ stage: 'greeting', fault: 'timeout' }),
    'breaking TLS': openFailure({ stage: 'tls', fault: 'lost' }),
  })) {
    test(`that a provider refuses by ${how} while others work do not count against it`, async () => {
      const { deps, events } = surroundings((_, count) =>
        count === 1 ? new FakeSession() : Promise.reject(failure),
      );
      const provider = new Provider({ ...config, limits: { ...config.limits, maxConnections: 10 } }, deps);
      const grants = Array.from({ length: 6 }, () => granted(provider));
      const first = await grants[0];
      await until(() => events.length > 0, 'the refusals');
      first?.release();
      for (const grant of grants.slice(1)) (await grant).release();
      assert.deepEqual(provider.health, { kind: 'closed', strikes: 0, softStrikes: 0 });
      assert.ok(events.length <= 4, `${events.length} refused connections`);
      provider.destroy();
    });
  }

  test('that were begun while another worked do not count against the provider when that one has ended', async () => {
    const doors = [gate(), gate(), gate(), gate()];
    const { deps, sessions, events } = surroundings(async (_, count) => {
      const door = count === 1 ? undefined : doors[count - 2];
      if (door === undefined) return new FakeSession();
      await door.opened;
      throw refused;
    });
    const provider = new Provider({ ...config, limits: { ...config.limits, maxConnections: 10 } }, deps);
    const grants = Array.from({ length: 6 }, () => granted(provider));
    const first = await grants[0];
    await until(() => provider.connections === 5, 'four more to be opened');
    sessions[0]!.usable = false;
    first?.release();
    for (const door of doors) door.open();
    for (const grant of grants.slice(1)) (await grant).release();
    assert.equal(events.length, 4);
    assert.deepEqual(provider.health, { kind: 'closed', strikes: 0, softStrikes: 0 });
    provider.destroy();
  });

  test('that are refused while nothing has moved on the others for long do count', async () => {
    let clock = 0;
    const { deps, sessions } = surroundings((_, count) =>
      count === 1 ? new FakeSession() : Promise.reject(refused),
    );
    const provider = new Provider(config, { ...deps, now: () => clock });
    await granted(provider);
    clock = sessions[0]!.quietMs = 10_000;
    assert.equal((await provider.acquire('fresh', nowhereElse)).kind, 'unavailable');
    assert.equal(provider.health.kind, 'open');
    provider.destroy();
  });

  test('that end while idle are replaced when the next message comes', async () => {
    const { deps, sessions } = surroundings();
    const provider = new Provider(config, deps);
    (await granted(provider)).release();
    sessions[0]?.end();
    assert.equal(provider.connections, 0);
    const next = await granted(provider);
    assert.equal(next.session, sessions[1]);
    provider.destroy();
  });

  test('an unforeseen error of the opener counts as a lost connection', async () => {
    const { deps, events } = surroundings(() => Promise.reject(new Error('surprise')));
    const provider = new Provider(config, deps);
    await provider.acquire('fresh', nowhereElse);
    assert.equal(events[0]?.event === 'attempt' && events[0].reply, 'surprise');
    provider.destroy();
  });
});

describe('patience', { concurrency: true }, () => {
  const silent = (): Promise<FakeSession> => new Promise(() => undefined);

  test('ends for those who may go elsewhere; the others go on waiting', async () => {
    const { deps } = surroundings(silent, { patienceMs: 20 });
    const provider = new Provider(config, deps);
    const stays = provider.acquire('fresh', nowhereElse);
    const goes = await provider.acquire('fresh', () => true);
    assert.equal(goes.kind, 'impatient');
    assert.equal(provider.inviting, false);
    assert.equal((await provider.acquire('fresh', () => true)).kind, 'impatient', 'at once');
    provider.close();
    assert.equal((await stays).kind, 'replaced');
  });

  const one = { ...config, limits: { ...config.limits, maxConnections: 1 } };

  /** A provider with patience of 10 ms by the test's clock, by which all its connections stand still. */
  function standing(
    limited: typeof config,
    open: (count: number) => FakeSession | Promise<FakeSession> = () => new FakeSession(),
  ): { provider: Provider; sessions: FakeSession[]; stand: (ms: number) => void } {
    let clock = 0;
    const { deps, sessions } = surroundings((_, count) => open(count), { patienceMs: 10 });
    const provider = new Provider(limited, { ...deps, now: () => clock });
    const stand = (ms: number): void => {
      clock += ms;
      for (const session of sessions) session.quietMs += ms;
    };
    return { provider, sessions, stand };
  }

  test('has no end while anything moves on a connection, however long the line', async () => {
    const { deps } = surroundings(() => new FakeSession(), { patienceMs: 1 });
    const provider = new Provider(one, deps);
    const first = await granted(provider);
    let looks = 0;
    const second = provider.acquire('fresh', () => {
      looks += 1;
      return true;
    });
    await new Promise(resolve => setTimeout(resolve, 20));
    assert.equal(provider.inviting, true);
    first.release();
    assert.equal((await second).kind, 'granted');
    assert.equal(looks, 0, 'nobody was asked to leave');
    provider.destroy();
  });

  test('ends where nothing moves on any connection, for those in the line and for those who come', async () => {
    const { provider, sessions, stand } = standing(one);
    const first = await granted(provider);
    const stays = provider.acquire('fresh', nowhereElse);
    let isElsewhere = false;
    const goes = provider.acquire('fresh', () => isElsewhere);
    stand(10);
    assert.equal(provider.inviting, false);
    assert.equal((await provider.acquire('fresh', () => true)).kind, 'impatient', 'at once');
    isElsewhere = true;
    assert.equal((await goes).kind, 'impatient', 'also when there is somewhere to go only later');
    sessions[0]!.quietMs = 0;
    assert.equal(provider.inviting, true);
    first.release();
    assert.equal((await stays).kind, 'granted');
    provider.destroy();
  });

  test('has no end while one connection more can be opened, however long the others stand still', async () => {
    const { provider, sessions, stand } = standing(config);
    await granted(provider);
    stand(60_000);
    assert.equal(provider.inviting, true);
    const grant = await provider.acquire('fresh', () => true);
    assert.equal(grant.kind === 'granted' && grant.session, sessions[1]);
    provider.destroy();
  });

  test('ends where all stand still and one more has been opened for as long, not sooner', async () => {
    const { provider, stand } = standing(config, count => (count === 1 ? new FakeSession() : silent()));
    await granted(provider);
    stand(60_000);
    let looks = 0;
    const goes = provider.acquire('fresh', () => {
      looks += 1;
      return true;
    });
    stand(9);
    assert.equal(provider.inviting, true);
    assert.equal(looks, 0);
    stand(1);
    assert.equal((await goes).kind, 'impatient');
    assert.equal((await provider.acquire('fresh', () => true)).kind, 'impatient', 'at once');
    provider.destroy();
  });

  test('ends where the last connection was lost while another is opened without end', async () => {
    const { provider, sessions, stand } = standing(config, count =>
      count === 1 ? new FakeSession() : silent(),
    );
    const first = await granted(provider);
    const goes = provider.acquire('fresh', () => true);
    sessions[0]!.usable = false;
    first.release();
    assert.equal(provider.inviting, true);
    stand(10);
    assert.equal((await goes).kind, 'impatient');
    provider.destroy();
  });

  test('is not needed where one more was refused beside one that hangs: it is tried again when nothing has moved for ten seconds', async () => {
    const { provider, stand } = standing(config, count =>
      count === 2 ? Promise.reject(refused) : new FakeSession(),
    );
    await granted(provider);
    const waiting = granted(provider);
    await until(() => provider.connections === 1, 'the refusal');
    stand(9000);
    provider.reconfigure(config);
    assert.equal(provider.connections, 1, 'it may want no more of them');
    stand(1000);
    (await waiting).release();
    assert.equal(provider.connections, 2);
    provider.destroy();
  });

  test('begins when a connection is taken, however long it was idle before', async () => {
    const { provider, stand } = standing(one);
    (await granted(provider)).release();
    stand(60_000);
    const second = await granted(provider);
    assert.equal(provider.inviting, true);
    stand(9);
    assert.equal(provider.inviting, true);
    const third = provider.acquire('fresh', () => true);
    second.release();
    assert.equal((await third).kind, 'granted');
    provider.destroy();
  });

  test('ends on trial, too, where nothing moves on the few connections that it has', async () => {
    let down = true;
    const { provider, stand } = standing(config, () => (down ? Promise.reject(refused) : new FakeSession()));
    await provider.acquire('fresh', nowhereElse);
    down = false;
    await provider.probe();
    await Promise.all([granted(provider), granted(provider), granted(provider)]);
    let isElsewhere = false;
    const goes = provider.acquire('fresh', () => isElsewhere);
    stand(10);
    isElsewhere = true;
    assert.equal((await goes).kind, 'impatient');
    provider.destroy();
  });
});

describe('on trial, since it could be logged in to again', { concurrency: true }, () => {
  const refusedAtMail = judge(
    { stage: 'mail', fault: 'reply', reply: { code: 451, text: 'not now' }, message: '' },
    { acceptedBefore: 0 },
    [],
  );
  async function onTrial(): Promise<Provider> {
    let down = true;
    const { deps } = surroundings(() => (down ? Promise.reject(refused) : new FakeSession()));
    const provider = new Provider(config, deps);
    await provider.acquire('fresh', nowhereElse);
    down = false;
    assert.equal(await provider.probe(), undefined);
    assert.equal(provider.health.kind, 'trial');
    return provider;
  }

  test('it gets three messages at a time; who may goes elsewhere, the others wait for the first success', async () => {
    const provider = await onTrial();
    const three = await Promise.all([granted(provider), granted(provider), granted(provider)]);
    assert.equal(provider.inviting, false);
    const waiting = Promise.all([granted(provider), granted(provider)]);
    assert.equal((await provider.acquire('fresh', () => true)).kind, 'impatient');
    assert.equal(provider.connections, 3);
    provider.succeeded();
    three[0]?.release();
    await waiting;
    assert.equal(provider.connections, 4);
    provider.destroy();
  });

  test('it gets three messages besides those that were under way before, which may hang for long', async () => {
    let down = false;
    let clock = 0;
    const { deps, sessions } = surroundings(() => (down ? Promise.reject(refused) : new FakeSession()));
    const limited = { ...config, limits: { ...config.limits, maxConnections: 10 } };
    const provider = new Provider(limited, { ...deps, now: () => clock });
    await Promise.all([granted(provider), granted(provider), granted(provider), granted(provider)]);
    clock = 20_000;
    for (const session of sessions) session.quietMs = clock;
    down = true;
    assert.equal((await provider.acquire('fresh', nowhereElse)).kind, 'unavailable');
    down = false;
    await provider.probe();
    assert.equal(provider.health.kind, 'trial');
    await Promise.all([granted(provider), granted(provider), granted(provider)]);
    assert.equal((await provider.acquire('fresh', () => true)).kind, 'impatient');
    assert.equal(provider.connections, 7);
    provider.destroy();
  });

  test('it is out of use again when the three fail, and who waits is told', async () => {
    const provider = await onTrial();
    const three = await Promise.all([granted(provider), granted(provider), granted(provider)]);
    const waiting = provider.acquire('fresh', nowhereElse);
    for (const index of three.keys()) provider.failed(refusedAtMail, '451 not now', `m${index}`);
    for (const { release } of three) release();
    assert.deepEqual(await waiting, { kind: 'unavailable', reason: '451 not now' });
    assert.equal(provider.health.kind, 'open');
    provider.destroy();
  });
});

describe('a provider', { concurrency: true }, () => {
  test('out of use tells everyone who waits why', async () => {
    const { deps } = surroundings();
    const provider = new Provider({ ...config, limits: { ...config.limits, maxConnections: 1 } }, deps);
    const working = await granted(provider);
    const waiting = provider.acquire('fresh', nowhereElse);
    const verdict = judge(
      { stage: 'mail', fault: 'reply', reply: { code: 454, text: 'slow down' }, message: '' },
      { acceptedBefore: 0 },
      [],
    );
    provider.failed(verdict, '454 slow down', 'm');
    assert.deepEqual(await waiting, { kind: 'unavailable', reason: '454 slow down' });
    working.release();
    provider.destroy();
  });

  test('that was found to take fewer recipients gets fewer, until its limit is set anew', () => {
    const { deps, events } = surroundings();
    const config = providerConfig({ host: 'p.test', port: 25 }, { limits: { maxRecipientsPerMessage: 100 } });
    const provider = new Provider(config, deps);
    assert.equal(provider.recipientsPerMessage, 100);
    provider.tookOnly(25, '554 too many');
    provider.tookOnly(30, '554 too many');
    assert.equal(provider.recipientsPerMessage, 25);
    assert.equal(events.length, 1, 'what is known is not told again');
    provider.reconfigure({ ...config, priority: 7 });
    assert.equal(provider.recipientsPerMessage, 25);
    provider.reconfigure({ ...config, limits: { ...config.limits, maxRecipientsPerMessage: 50 } });
    assert.equal(provider.recipientsPerMessage, 50);
    provider.close();
  });

  test('that is misconfigured opens nothing and says why', async () => {
    const { deps, sessions } = surroundings();
    const provider = new Provider({ ...config, misconfigured: 'password file missing' }, deps);
    assert.deepEqual(await provider.acquire('fresh', nowhereElse), {
      kind: 'unavailable',
      reason: 'password file missing',
    });
    assert.equal(sessions.length, 0);
  });

  test('closed lets what runs finish, keeps no connection, and answers replaced', async () => {
    const { deps, sessions } = surroundings();
    const provider = new Provider(config, deps);
    const working = await granted(provider);
    provider.close();
    assert.equal((await provider.acquire('fresh', nowhereElse)).kind, 'replaced');
    assert.equal(sessions[0]?.closedBy, undefined);
    working.release();
    assert.equal(sessions[0]?.closedBy, 'quit');
  });

  test('destroyed cuts what runs', async () => {
    const { deps, sessions } = surroundings();
    const provider = new Provider(config, deps);
    await granted(provider);
    provider.destroy();
    assert.equal(sessions[0]?.closedBy, 'destroy');
  });

  test('interrupted sends those who wait to look again, and serves on', async () => {
    const { deps } = surroundings();
    const provider = new Provider({ ...config, limits: { ...config.limits, maxConnections: 1 } }, deps);
    const working = await granted(provider);
    const waiting = provider.acquire('fresh', nowhereElse);
    provider.interrupt();
    assert.equal((await waiting).kind, 'replaced');
    working.release();
    (await granted(provider)).release();
    provider.destroy();
  });

  test('probed: logs in, says NOOP, quits, and sends nothing', async () => {
    const { deps, sessions } = surroundings();
    const provider = new Provider(config, deps);
    assert.equal(await provider.probe(), undefined);
    assert.deepEqual([sessions[0]?.transactions, sessions[0]?.closedBy], [0, 'quit']);
    assert.equal(provider.connections, 0);
  });

  test('probed: a NOOP without an answer is a failure', async () => {
    const session = new FakeSession();
    session.answersNoop = false;
    const { deps } = surroundings(() => session);
    assert.match((await new Provider(config, deps).probe()) ?? '', /NOOP was not answered/);
  });

  test('held to messagesPerSecond opens no connection for what must wait anyway', async () => {
    let clock = 0;
    const { deps, sessions } = surroundings();
    const slow = { ...config, limits: { ...config.limits, messagesPerSecond: 1 } };
    const provider = new Provider(slow, { ...deps, now: () => clock });
    const first = await granted(provider);
    const waiting = [granted(provider), granted(provider), granted(provider)];
    await new Promise(resolve => setImmediate(resolve));
    first.release();
    assert.equal(sessions.length, 1);
    for (const grant of waiting) {
      clock += 1000;
      (await grant).release();
    }
    assert.equal(sessions.length, 1);
    provider.destroy();
  });

  test('held to messagesPerSecond gives no connection before its time, though one is idle', async () => {
    let clock = 0;
    const { deps } = surroundings();
    const slow = { ...config, limits: { ...config.limits, messagesPerSecond: 10 } };
    const provider = new Provider(slow, { ...deps, now: () => clock });
    for (let count = 0; count < 10; count++) (await granted(provider)).release();
    let given = false;
    const eleventh = granted(provider).then(grant => {
      given = true;
      return grant;
    });
    await new Promise(resolve => setImmediate(resolve));
    assert.equal(given, false);
    clock = 100;
    (await eleventh).release();
    provider.destroy();
  });
});
