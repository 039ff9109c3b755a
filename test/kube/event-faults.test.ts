import assert from 'node:assert/strict';
import { afterEach, beforeEach, describe, test } from 'node:test';
import { createClient } from '../../operator/kube/client.ts';
import { createEventRecorder, type EventRecorder } from '../../operator/kube/events.ts';
import type { TokenSource } from '../../operator/kube/identity.ts';
import type { KubeObject } from '../../operator/kube/object.ts';
import { createTransport, type Transport } from '../../operator/kube/transport.ts';
import { type Fault, FaultyServer } from './faulty-server.ts';
import { ManualClock } from './manual-clock.ts';
import { ObjectStore } from './object-store.ts';
import { waitUntil } from './wait-until.ts';

type Told = KubeObject & { note: string; series?: { count: number } };
const collection = '/apis/events.k8s.io/v1/namespaces/default/events';
const about: KubeObject = {
  apiVersion: 'v1',
  kind: 'ConfigMap',
  metadata: { name: 'about', namespace: 'default', uid: 'uid-about' },
};
const failing = { type: 'Warning', reason: 'Failing', note: 'it fails' } as const;

describe('events on a faulty server', () => {
  let server: FaultyServer;
  let objects: ObjectStore;
  let transport: Transport;
  let recorder: EventRecorder;
  let clock: ManualClock;
  let dropped: string[];
  let isSilence: boolean;

  beforeEach(async () => {
    server = await FaultyServer.start();
    objects = new ObjectStore();
    server.objects = objects;
    [dropped, isSilence] = [[], false];
    let now = 'valid';
    const token: TokenSource = {
      read: async () => now,
      refused: () => {
        now = 'renewed';
      },
    };
    transport = createTransport({ connection: { ...server.connection, token }, userAgent: 'test/1' });
    clock = new ManualClock();
    recorder = createEventRecorder({
      client: createClient(impatient()),
      controller: 'example.com/kit-test',
      instance: 'pod-1',
      clock,
      onDropped: why => dropped.push(why),
    });
  });
  afterEach(async () => {
    await Promise.all([recorder.stop(), clock.advance(5_000)]);
    await transport.close();
    await server.stop();
  });

  /** Silence is not waited for as long as usual. */
  function impatient(): Transport {
    return {
      request: given =>
        transport.request(isSilence && server.pendingFaults > 0 ? { ...given, timeoutMs: 150 } : given),
      stream: given => transport.stream(given),
      close: () => transport.close(),
    };
  }

  function spoil(fault: Fault): void {
    isSilence = fault.kind === 'mute';
    server.script('other', fault);
  }

  function told(): Told[] {
    const { body } = objects.answer({
      method: 'GET',
      path: collection,
      contentType: undefined,
      body: undefined,
    });
    return (body as { items: Told[] }).items;
  }

  /** With how often the story is told when it happens once more: twice where an answer was lost. */
  const single: readonly (readonly [string, Fault, string[], number])[] = [
    ['a reset', { kind: 'reset' }, ['failed'], 1],
    ['a reset when it was told already', { kind: 'reset', done: true }, ['failed'], 2],
    ['409', { kind: 'status', code: 409, reason: 'AlreadyExists' }, ['failed'], 1],
    ['429 with Retry-After', { kind: 'status', code: 429, retryAfter: 1 }, [], 1],
    ['429 with a Retry-After beyond its time', { kind: 'status', code: 429, retryAfter: 60 }, ['failed'], 1],
    ['500', { kind: 'status', code: 500 }, ['failed'], 1],
    ['503 with Retry-After', { kind: 'status', code: 503, retryAfter: 0 }, ['failed'], 1],
    ['half of an answer and a reset', { kind: 'half-answer', reset: true }, ['failed'], 2],
    ['half of an answer and its orderly end', { kind: 'half-answer', reset: false }, ['failed'], 2],
    ['silence', { kind: 'mute' }, ['failed'], 1],
    ['silence when it was told already', { kind: 'mute', done: true }, ['failed'], 2],
  ];
  for (const [what, fault, drops, times] of single) {
    test(`are told or dropped and counted over ${what}, and told when it happens again`, async () => {
      spoil(fault);
      recorder.record(about, failing);
      await recorder.flush();
      assert.equal(server.pendingFaults, 0);
      assert.deepEqual(dropped, drops);
      clock.stall(61_000);
      recorder.record(about, failing);
      await recorder.flush();
      assert.equal(told().length, times);
      assert.equal(told().at(-1)?.series?.count, 2, 'what was dropped is counted');
      assert.deepEqual(dropped, drops);
    });

    test(`go on to count over ${what}`, async () => {
      recorder.record(about, failing);
      await recorder.flush();
      clock.stall(61_000);
      spoil(fault);
      for (let again = 0; again < 2; again++) {
        recorder.record(about, failing);
        await recorder.flush();
      }
      assert.equal(server.pendingFaults, 0);
      clock.stall(61_000);
      recorder.record(about, failing);
      await recorder.flush();
      assert.equal(told().length, 1);
      assert.equal(told()[0]?.series?.count, 4);
    });
  }

  test('are told with a token that was renewed meanwhile', async () => {
    server.token = 'renewed';
    recorder.record(about, failing);
    await recorder.flush();
    assert.equal(told().length, 1);
    assert.deepEqual(dropped, []);
  });

  test('hold nobody up and are bounded while the server is silent', async () => {
    server.always = () => ({ kind: 'mute' });
    for (let number = 0; number < 600; number++) {
      recorder.record(
        { ...about, metadata: { ...about.metadata, uid: `uid-${number}` } },
        { ...failing, note: `number ${number}` },
      );
    }
    // All were taken before the first was sent: one is under way, 500 wait.
    assert.equal(server.requests.length, 0);
    assert.deepEqual([...new Set(dropped)], ['full']);
    assert.equal(dropped.length, 99);
  });

  test('are given up at the end after a while, however many wait on a silent server', async () => {
    server.always = () => ({ kind: 'mute' });
    for (const note of ['one', 'two', 'three']) recorder.record(about, { ...failing, note });
    await waitUntil('the first hangs', () => server.hanging === 1);
    let ended = false;
    const end = recorder.stop(5_000).then(() => {
      ended = true;
    });
    await clock.advance(4_999);
    assert.equal(ended, false);
    await clock.advance(1);
    await end;
    assert.equal(server.count('other'), 1);
    recorder.record(about, failing);
    assert.equal(server.count('other'), 1);
  });

  test('that wait at the end are sent when the server answers', async () => {
    for (const note of ['one', 'two', 'three']) recorder.record(about, { ...failing, note });
    await recorder.stop(5_000);
    assert.deepEqual(
      told().map(({ note }) => note),
      ['one', 'two', 'three'],
    );
    assert.equal(clock.timers, 0);
  });
});
