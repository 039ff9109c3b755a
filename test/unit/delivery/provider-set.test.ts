import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { ProviderConfig } from '../../../relay/config/config.ts';
import { ProviderSet } from '../../../relay/delivery/provider-set.ts';
import { verdict } from '../../../relay/delivery/verdict.ts';
import { providerConfig } from '../../smtp/provider-config.ts';
import { until } from '../../smtp/wait.ts';
import { FakeSession, openFailure, surroundings } from './fake-session.ts';

const config = (name: string, more: Partial<ProviderConfig> = {}): ProviderConfig => ({
  ...providerConfig({ host: `${name}.test`, port: 25 }),
  name,
  ...more,
});

function setOf(down: Set<string> = new Set()) {
  const around = surroundings(({ name }) => {
    if (down.has(name)) throw openFailure({ stage: 'connect', fault: 'lost' });
    return new FakeSession();
  });
  const recovered: string[] = [];
  const clock = { now: 0 };
  const set = new ProviderSet({
    ...around.deps,
    now: () => clock.now,
    mailWaits: () => false,
    recovered: ({ name }) => recovered.push(name),
  });
  const states = () => set.status().map(({ name, state }) => `${name} ${state}`);
  const open = async (name: string) => {
    down.add(name);
    const provider = set.all.find(one => one.name === name);
    await provider?.acquire('fresh', () => false);
  };
  return { set, events: around.events, sessions: around.sessions, recovered, clock, states, open, down };
}

describe('the providers at work', () => {
  test('the first usable one is active, later ones stand by, each with its reason', async () => {
    const { set, states, open } = setOf();
    set.configure([config('a'), config('b'), config('c', { misconfigured: 'password file missing' })]);
    assert.deepEqual(states(), ['a active', 'b standby', 'c misconfigured']);
    await open('a');
    assert.deepEqual(states(), ['a failing', 'b active', 'c misconfigured']);
    const [a, b, c] = set.status();
    assert.deepEqual([a?.reason, b?.reason, c?.reason], ['NetworkFailure', 'Usable', 'Misconfigured']);
    set.destroy();
  });

  test('every change of state is told once, with what it was', async () => {
    const { set, events, open } = setOf();
    set.configure([config('a'), config('b')]);
    await open('a');
    const told = events.flatMap(event =>
      event.event === 'provider-state' ? [`${event.provider} ${event.previous} ${event.state}`] : [],
    );
    assert.deepEqual(told, ['a active failing', 'b standby active']);
    set.destroy();
  });

  test('a reload keeps those that are reached as before, and replaces those that are not', async () => {
    const { set, open } = setOf();
    set.configure([config('a'), config('b')]);
    await open('a');
    const [a, b] = set.all;
    const changed = set.configure([config('a'), config('b', { port: 26 }), config('c')]);
    assert.equal(changed, true);
    assert.equal(set.all[0], a);
    assert.equal(set.all[0]?.health.kind, 'open');
    assert.notEqual(set.all[1], b);
    assert.equal((await b?.acquire('fresh', () => false))?.kind, 'replaced');
    set.destroy();
  });

  test('what still runs on those that a reload replaced or removed is cut as well when all is cut', async () => {
    const { set, sessions } = setOf();
    set.configure([config('a'), config('b'), config('c')]);
    const grants = await Promise.all(set.all.map(provider => provider.acquire('fresh', () => false)));
    set.configure([config('a', { port: 26 }), config('c')]);
    set.configure([config('c')]);
    assert.deepEqual(
      sessions.map(({ closedBy }) => closedBy),
      [undefined, undefined, undefined],
      'a reload cuts nothing',
    );
    const [replaced] = grants;
    if (replaced?.kind === 'granted') replaced.release();
    set.destroy();
    assert.deepEqual(
      sessions.map(({ closedBy }) => closedBy),
      ['quit', 'destroy', 'destroy'],
    );
  });

  test('another priority or limit changes nothing about health and connections, and holds from then on', async () => {
    const { set, open } = setOf();
    set.configure([config('a'), config('b')]);
    await open('a');
    const granted = await set.all[1]?.acquire('fresh', () => false);
    const { limits } = config('b');
    const before = set.all;
    const next = [config('a', { priority: 9 }), config('b', { limits: { ...limits, maxConnections: 1 } })];
    assert.equal(set.configure(next), true);
    assert.deepEqual(set.all, before);
    assert.equal(set.all[0]?.health.kind, 'open');
    assert.equal(set.status()[0]?.priority, 9);
    assert.equal(granted?.kind, 'granted');
    const waiting = set.all[1]?.acquire('fresh', () => false);
    assert.equal(set.all[1]?.connections, 1);
    if (granted?.kind === 'granted') granted.release();
    assert.equal((await waiting)?.kind, 'granted');
    set.destroy();
  });

  for (const [what, more] of Object.entries<Partial<ProviderConfig>>({
    host: { host: 'elsewhere.test' },
    port: { port: 465 },
    ssl: { ssl: true },
    tls: { tls: { ...config('a').tls, serverName: 'other.test' } },
    'tls.required': { tls: { ...config('a').tls, required: true } },
    credentials: { credentials: { username: 'u', password: 'new' } },
    timeouts: { timeouts: { ...config('a').timeouts, connectMs: 1 } },
  })) {
    test(`another ${what} is worth another try at once`, async () => {
      const { set, open, states } = setOf();
      const old = { credentials: { username: 'u', password: 'old' } };
      set.configure([config('a', old)]);
      await open('a');
      assert.deepEqual(states(), ['a failing']);
      set.configure([config('a', { ...old, ...more })]);
      assert.deepEqual(states(), ['a active']);
      set.destroy();
    });
  }

  test('a reload of the same says that nothing changed; another order is a change', () => {
    const { set } = setOf();
    assert.equal(set.configure([config('a'), config('b')]), true);
    assert.equal(set.configure([config('a'), config('b')]), false);
    const [a, b] = set.all;
    assert.equal(set.configure([config('b'), config('a')]), true);
    assert.deepEqual(set.all, [b, a]);
    assert.equal(set.configure([config('b')]), true);
    set.destroy();
  });

  test('a provider whose credentials changed forgets that the old ones were refused', async () => {
    const { set, states, down } = setOf();
    down.add('a');
    set.configure([config('a')]);
    await set.verify();
    set.configure([config('a', { credentials: { username: 'u', password: 'p' } })]);
    assert.deepEqual(states(), ['a active']);
    set.destroy();
  });

  test('who is back is said, so that waiting mail can go', async () => {
    const { set, recovered, open, down } = setOf();
    set.configure([config('a')]);
    await open('a');
    down.clear();
    await set.verify();
    assert.deepEqual(recovered, ['a']);
    set.all[0]?.succeeded();
    assert.deepEqual(recovered, ['a'], 'once, not again at the end of its trial');
    set.destroy();
  });

  describe('the end of a cool-down', () => {
    const throttled = verdict('rate', { effect: 'cool-down', waitMs: 20 });
    const cool = async (
      { set, states, clock }: ReturnType<typeof setOf>,
      meanwhile: () => Promise<unknown> = async () => undefined,
    ) => {
      set.all[0]?.failed(throttled, '421 4.7.0 slow down', `m${clock.now}`);
      assert.equal(states()[0], 'a cooling');
      await meanwhile();
      clock.now += 20;
      await until(() => set.all[0]?.health.kind === 'closed', 'the end of the cool-down');
    };

    test('is no return where another could be used all the time: what waits was deferred by that one', async () => {
      const made = setOf();
      made.set.configure([config('a'), config('b')]);
      await cool(made);
      assert.deepEqual(made.recovered, []);
      made.set.destroy();
    });

    test('is one where no other could be used for any of the time', async () => {
      const made = setOf();
      made.set.configure([config('a'), config('b', { misconfigured: 'password file missing' })]);
      await cool(made);
      assert.deepEqual(made.recovered, ['a']);
      made.set.destroy();
    });

    test('is one where the other failed meanwhile; what has gone since asks for no other return', async () => {
      const made = setOf();
      made.set.configure([config('a'), config('b')]);
      await cool(made, () => made.open('b'));
      assert.deepEqual(made.recovered, ['a']);
      await cool(made, async () => {
        made.down.clear();
        await made.set.verify();
      });
      assert.deepEqual(made.recovered, ['a', 'b'], 'the other is back, and mail goes from then on');
      made.set.destroy();
    });
  });

  test('verify names the failure of each, of misconfigured ones without connecting', async () => {
    const { set, down } = setOf();
    down.add('b');
    set.configure([config('a'), config('b'), config('c', { misconfigured: 'password file missing' })]);
    assert.deepEqual(await set.verify(), [
      { provider: 'a' },
      { provider: 'b', error: 'connect: as scripted' },
      { provider: 'c', error: 'password file missing' },
    ]);
    set.destroy();
  });
});
