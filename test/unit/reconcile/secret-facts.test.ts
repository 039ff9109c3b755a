import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { MailRelayObject } from '../../../operator/api/mail-relay.ts';
import { systemClock } from '../../../operator/kube/clock.ts';
import type { Informer } from '../../../operator/kube/informer.ts';
import type { KubeObject } from '../../../operator/kube/object.ts';
import type { KubeClient } from '../../../operator/kube/resource.ts';
import { Store } from '../../../operator/kube/store.ts';
import { type ObjectEvent, View } from '../../../operator/kube/view.ts';
import { readCredentials } from '../../../operator/reconcile/credentials.ts';
import { newRevision } from '../../../operator/reconcile/pods.ts';
import { type Secret, SecretFactsCache } from '../../../operator/reconcile/secret-facts.ts';
import { mentionedSecretKeys } from '../../../operator/resources/secret-references.ts';
import { mailRelayObject, minimalSpec, relayOf } from '../operator-api/relays.ts';

const relay = relayOf(minimalSpec);
const start = Date.UTC(2026, 0, 1);

/** What is known of MailRelays, as an informer knows it. */
function relayCache() {
  const store = new Store<MailRelayObject>({ secret: mentionedSecretKeys });
  const handlers = new Set<(event: ObjectEvent<MailRelayObject>) => void>();
  const view = new View(store, systemClock, event => {
    for (const handler of handlers) handler(event);
  });
  const informer: Pick<Informer<MailRelayObject>, 'keysByIndex' | 'subscribe'> = {
    keysByIndex: (index, value) => store.keysByIndex(index, value),
    subscribe: handler => {
      handlers.add(handler);
      return () => handlers.delete(handler);
    },
  };
  let version = 0;
  return {
    informer,
    /** A MailRelay that refers to these Secrets, in the order of its providers. */
    put(name: string, ...secrets: string[]): void {
      const forwardProviders = secrets.map(secret => ({ secretRef: { name: secret } }));
      view.upsert(mailRelayObject({ forwardProviders }, { name, resourceVersion: String(++version) }));
    },
    remove(name: string): void {
      view.remove(`apps/${name}`, String(++version));
    },
  };
}

/** An API server with one Secret, whose watch is up to date unless the test holds it back, and operators on it. */
function world() {
  let [version, wall, reads] = [0, start, 0];
  let stored: Secret | undefined;
  let shown: KubeObject | undefined;
  const relays = relayCache();
  relays.put('mail', 'primary');
  /** What a slow read waits for. */
  let gate: Promise<void> = Promise.resolve();
  const owners = new Map<string, { time: string; keys: Set<string> }>();
  const time = () => `${new Date(wall).toISOString().slice(0, 19)}Z`;
  const store = (data: Secret['data'], labels: Record<string, string>): void => {
    version += 1;
    const managedFields = [...owners].map(([manager, entry]) => ({
      ...{ manager, time: entry.time },
      fieldsV1: { 'f:data': Object.fromEntries([...entry.keys].map(key => [`f:${key}`, {}])) },
    }));
    const metadata = {
      name: 'primary',
      namespace: 'apps',
      resourceVersion: `${version}`,
      labels,
      managedFields,
    };
    stored = { metadata, ...(data !== undefined && { data }) };
  };
  const informer = { get: () => shown } as unknown as Informer<KubeObject>;
  const client = {
    find: async () => {
      reads += 1;
      const answer = structuredClone(stored);
      await gate;
      return answer;
    },
  } as unknown as Pick<KubeClient, 'find'>;
  return {
    relays,
    /** By one manager, as kubectl apply does it. */
    write(values: Record<string, string>, manager = 'kubectl'): void {
      const data = Object.fromEntries(Object.entries(values).map(([key, value]) => [key, btoa(value)]));
      owners.set(manager, { time: time(), keys: new Set(Object.keys(data)) });
      store(data, {});
    },
    label(value: string, manager = 'labeller'): void {
      owners.set(manager, { time: time(), keys: owners.get(manager)?.keys ?? new Set() });
      store(stored?.data, { value });
    },
    remove(): void {
      stored = undefined;
    },
    show(): void {
      shown = stored === undefined ? undefined : { metadata: stored.metadata };
    },
    pass(ms: number): void {
      wall += ms;
    },
    hold(): () => void {
      const { promise, resolve } = Promise.withResolvers<void>();
      gate = promise;
      return resolve;
    },
    get reads(): number {
      return reads;
    },
    /** A new process. */
    operator() {
      const facts = new SecretFactsCache({
        ...{ client, informer, relays: relays.informer, clock: { wallTime: () => wall } },
      });
      const of = () => facts.of({ name: 'primary', namespace: 'apps' });
      const read = () => readCredentials(relay, of);
      return { of, read, told: async () => newRevision(await read(), wall) };
    },
  };
}

const login = { username: 'user', password: 'secret' };

describe('what is known of a Secret', () => {
  test('is read once a version, whoever asks, and again for each version', async () => {
    const secret = world();
    const operator = secret.operator();
    secret.write(login);
    secret.show();
    await Promise.all([operator.of(), operator.of(), operator.of()]);
    await operator.of();
    assert.equal(secret.reads, 1);
    secret.label('x');
    secret.show();
    await Promise.all([operator.of(), operator.of()]);
    assert.equal(secret.reads, 2);
  });

  test('is not read again while the watch is behind what was read', async () => {
    const secret = world();
    const operator = secret.operator();
    secret.write(login);
    secret.show();
    secret.write({ ...login, password: 'new' });
    await operator.of();
    await operator.of();
    secret.show();
    assert.equal((await operator.of()).resourceVersion, '2');
    assert.equal(secret.reads, 1);
  });

  test('is read again when a read under way brought what was before', async () => {
    const secret = world();
    const operator = secret.operator();
    secret.write(login);
    secret.show();
    const release = secret.hold();
    const first = operator.of();
    secret.write({ ...login, password: 'new' });
    secret.show();
    const second = operator.of();
    release();
    assert.deepEqual([(await first).resourceVersion, (await second).resourceVersion], ['2', '2']);
    assert.equal(secret.reads, 2);
  });

  test('holds no value and nothing that two processes could compare', async () => {
    const secret = world();
    secret.write(login);
    secret.show();
    const text = (facts: Awaited<ReturnType<ReturnType<typeof secret.operator>['of']>>): string =>
      JSON.stringify([...facts.keys]);
    const [one, other] = [text(await secret.operator().of()), text(await secret.operator().of())];
    assert.ok(!one.includes('secret') && !one.includes(btoa('secret')));
    assert.notEqual(one, other);
  });
});

describe('what is known of a Secret is forgotten', () => {
  async function known() {
    const secret = world();
    const operator = secret.operator();
    secret.write(login);
    secret.show();
    await operator.of();
    assert.equal(secret.reads, 1);
    return { secret, operator };
  }
  const goes: readonly (readonly [string, (relays: ReturnType<typeof relayCache>) => void])[] = [
    ['is deleted', relays => relays.remove('mail')],
    ['refers to another', relays => relays.put('mail', 'another')],
    ['loses its last provider', relays => relays.put('mail')],
  ];
  for (const [what, happens] of goes) {
    test(`when the last MailRelay that refers to it ${what}`, async () => {
      const { secret, operator } = await known();
      secret.relays.put('other', 'another', 'primary');
      happens(secret.relays);
      await operator.of();
      assert.equal(secret.reads, 1, 'one still does');
      secret.relays.put('other', 'another');
      secret.relays.put('mail', 'primary');
      await operator.of();
      assert.equal(secret.reads, 2, 'of one that is referred to anew nothing is known');
    });
  }

  test('when it was still being read as the last reference went', async () => {
    const secret = world();
    const operator = secret.operator();
    secret.write(login);
    secret.show();
    const release = secret.hold();
    const reading = operator.of();
    secret.relays.remove('mail');
    release();
    assert.equal((await reading).exists, true);
    secret.relays.put('mail', 'primary');
    await operator.of();
    assert.equal(secret.reads, 2);
  });

  test('when it is gone, and with the last reference that it ever was', async () => {
    const { secret, operator } = await known();
    secret.remove();
    secret.show();
    const gone = await operator.of();
    assert.deepEqual([...gone.keys.keys()], ['username', 'password']);
    assert.equal(await operator.of(), gone, 'pods have to be told of it for a while');
    secret.relays.remove('mail');
    assert.equal((await operator.of()).keys.size, 0);
    secret.relays.put('mail', 'primary');
    assert.equal((await operator.of()).keys.size, 0);
    assert.equal(secret.reads, 1);
  });

  test('key by key, once every pod has heard that a key is gone', async () => {
    const { secret, operator } = await known();
    const names = async () => [...(await operator.of()).keys.keys()];
    for (let day = 1; day <= 3; day++) {
      secret.pass(86_400_000);
      secret.write({ ...login, [`key-of-day-${day}`]: 'x' });
      secret.show();
      await operator.of();
    }
    assert.deepEqual(await names(), ['username', 'password', 'key-of-day-2', 'key-of-day-3']);
    secret.remove();
    secret.show();
    await operator.of();
    secret.pass(86_400_000);
    secret.write({ other: 'x' });
    secret.show();
    assert.deepEqual(await names(), ['other']);
  });
});

describe('pods are told of a Secret', () => {
  /** What happens, and whether pods are told: as often as the revision that they are told changes. */
  const cases: readonly (readonly [string, (secret: ReturnType<typeof world>) => void, boolean])[] = [
    ['whose password changed', secret => secret.write({ ...login, password: 'new' }), true],
    [
      'whose password changed in the same second',
      secret => secret.write({ ...login, password: 'new' }, 'k'),
      true,
    ],
    ['that got a label from somebody else', secret => secret.label('x'), false],
    ['that got a label from whom it is', secret => secret.label('x', 'kubectl'), false],
    ['that was written again as it is', secret => secret.write(login), false],
    ['that got a key nobody refers to', secret => secret.write({ ...login, other: 'x' }), false],
    ['that lost a key', secret => secret.write({ username: 'user' }), true],
    ['whose key became blank', secret => secret.write({ ...login, password: ' \n' }), true],
    ['that is gone', secret => secret.remove(), true],
  ];
  for (const [what, happens, told] of cases) {
    test(`${what}: ${told ? 'yes' : 'no'}`, async () => {
      const secret = world();
      const operator = secret.operator();
      secret.write(login);
      secret.show();
      const before = await operator.read();
      secret.pass(what.includes('same second') ? 0 : 3_600_000);
      happens(secret);
      secret.show();
      assert.equal((await operator.read()).revision !== before.revision, told);
      assert.equal((await operator.told()) !== undefined, told || what.includes('same second'));
      secret.pass(3_600_000);
      assert.equal(await operator.told(), undefined, 'later the kubelet has brought it by itself');
    });
  }

  test('that comes after it was missed, and comes back as it was', async () => {
    const secret = world();
    const operator = secret.operator();
    const missed = await operator.read();
    assert.equal(missed.missing.length, 2);
    assert.equal(await operator.told(), undefined);
    secret.write(login);
    secret.show();
    const came = await operator.told();
    assert.ok(came !== undefined && came !== missed.revision);
    secret.remove();
    secret.show();
    const gone = await operator.told();
    secret.pass(5000);
    secret.write(login);
    secret.show();
    const back = await operator.told();
    assert.equal(new Set([came, gone, back]).size, 3);
  });

  test('not after a restart, unless the content is so new that pods may not have it; then in the same words', async () => {
    const secret = world();
    secret.write(login);
    secret.show();
    const fresh = await secret.operator().told();
    assert.notEqual(fresh, undefined);
    secret.label('x');
    secret.show();
    assert.equal(await secret.operator().told(), fresh);
    secret.pass(3_600_000);
    secret.label('y');
    secret.show();
    assert.equal(await secret.operator().told(), undefined);
  });
});
