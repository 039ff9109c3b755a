import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { PodReports } from '../../../operator/reconcile/pod-reports.ts';
import type { RelayStatus } from '../../../operator/reconcile/relay-status.ts';
import { ManualClock } from '../../kube/manual-clock.ts';

const none = { messages: 0, bytes: 0 };
const answer: RelayStatus = {
  version: '1',
  ready: true,
  draining: false,
  providers: [],
  queue: { active: none, failed: none, held: none, dead: none },
  disk: { freeBytes: 1e9, reserveBytes: 1e6, low: false },
};
const pod = { name: 'mail-a', uid: 'a', ip: '10.0.0.1' };

function rig() {
  const clock = new ManualClock();
  const state = { asked: 0, news: 0, status: answer as RelayStatus | undefined };
  const reports = new PodReports({
    ask: () => {
      state.asked += 1;
      return state.status === undefined
        ? Promise.reject(new Error('refused'))
        : Promise.resolve(structuredClone(state.status));
    },
    clock,
    onNews: () => {
      state.news += 1;
    },
    calmMs: 10_000,
    hurryMs: 500,
  });
  const askedIn = async (ms: number): Promise<number> => {
    const before = state.asked;
    await clock.advance(ms);
    return state.asked - before;
  };
  return { clock, state, reports, askedIn };
}

describe('a pod', () => {
  test('is asked at once, then seldom, and news is told once', async () => {
    const { reports, askedIn, state } = rig();
    reports.follow('apps/mail', [pod]);
    assert.equal(await askedIn(0), 1);
    assert.equal(await askedIn(100_000), 10);
    assert.equal(state.news, 1);
    reports.stop();
    assert.equal(await askedIn(100_000), 0);
  });

  test('is not asked between a stop and a start, also when a reconcile that was under way names it', async () => {
    const { reports, askedIn } = rig();
    reports.follow('apps/mail', [pod]);
    assert.equal(await askedIn(0), 1);
    reports.stop();
    reports.follow('apps/mail', [pod], 'two');
    assert.equal(await askedIn(100_000), 0);
    assert.deepEqual(reports.of('apps/mail'), []);
    reports.start();
    reports.follow('apps/mail', [pod]);
    assert.equal(await askedIn(0), 1);
  });

  test('is asked often while a change is awaited, and not for ever', async () => {
    const { reports, askedIn } = rig();
    reports.follow('apps/mail', [pod], 'two');
    assert.ok((await askedIn(100_000)) >= 200);
    await askedIn(60_000);
    reports.follow('apps/mail', [pod], 'two');
    assert.equal(await askedIn(100_000), 10);
    reports.follow('apps/mail', [pod], 'three');
    assert.ok((await askedIn(10_000)) >= 20);
    await askedIn(200_000);
    reports.follow('apps/mail', [{ ...pod, uid: 'b', name: 'mail-b' }], 'three');
    assert.ok((await askedIn(10_000)) >= 20);
    reports.stop();
  });

  test('has news when what lies in quarantine has changed, or is told for the first time', async () => {
    const { reports, askedIn, state } = rig();
    reports.follow('apps/mail', [pod]);
    await askedIn(0);
    for (const [at, files] of [0, 2, 1].entries()) {
      state.status = { ...answer, quarantine: { files } };
      await askedIn(20_000);
      assert.equal(state.news, at + 2);
    }
    reports.stop();
  });

  test('that does not answer is asked less often, and its last answer stays', async () => {
    const { reports, askedIn, state } = rig();
    reports.follow('apps/mail', [pod]);
    await askedIn(0);
    state.status = undefined;
    await askedIn(100_000);
    assert.equal(await askedIn(90_000), 3);
    const [report] = reports.of('apps/mail');
    assert.equal(report?.error, 'refused');
    assert.equal(report?.status?.version, '1');
    state.status = answer;
    await askedIn(30_000);
    assert.equal(reports.of('apps/mail')[0]?.error, undefined);
    assert.equal(await askedIn(100_000), 10);
    reports.stop();
  });

  test('is not known by what another one says that has its address meanwhile', async () => {
    const { reports, askedIn, state } = rig();
    const full = { ...answer, host: pod.name, queue: { ...answer.queue, failed: { messages: 4, bytes: 4 } } };
    state.status = full;
    reports.follow('apps/mail', [pod]);
    await askedIn(0);
    state.status = { ...answer, host: 'mail-b', draining: true };
    await askedIn(100_000);
    const [report] = reports.of('apps/mail');
    assert.deepEqual(report?.status, full);
    assert.match(report?.error ?? '', /^does not say how it is: host mail-b answers at its address/);
    state.status = { ...answer, host: pod.name };
    await askedIn(30_000);
    assert.deepEqual(reports.of('apps/mail')[0]?.error, undefined);
    assert.equal(reports.of('apps/mail')[0]?.status?.queue.failed.messages, 0);
    reports.stop();
  });

  test('is believed when it is of a version that does not say whose status it is', async () => {
    const { reports, askedIn, state } = rig();
    reports.follow('apps/mail', [pod]);
    await askedIn(0);
    state.status = { ...answer, draining: true };
    await askedIn(20_000);
    const [report] = reports.of('apps/mail');
    assert.deepEqual([report?.status?.draining, report?.error], [true, undefined]);
    reports.stop();
  });

  test('drains since the first of the answers that say so without a break', async () => {
    const { reports, askedIn, state } = rig();
    const draining = { ...answer, draining: true };
    state.status = draining;
    reports.follow('apps/mail', [pod]);
    await askedIn(25_000);
    const [first] = reports.of('apps/mail');
    assert.deepEqual([first?.drainingSince, first?.askedAt], [0, 20_000]);
    state.status = answer;
    await askedIn(10_000);
    assert.equal(reports.of('apps/mail')[0]?.drainingSince, undefined);
    state.status = draining;
    await askedIn(20_000);
    const [again] = reports.of('apps/mail');
    assert.deepEqual([again?.drainingSince, again?.askedAt], [40_000, 50_000]);
    reports.stop();
  });

  test('may have begun to drain while its answer was on its way, not before it was asked', async () => {
    const clock = new ManualClock();
    const reports = new PodReports({
      ask: async () => {
        clock.stall(1900);
        return { ...answer, draining: true };
      },
      clock,
      onNews: () => undefined,
    });
    reports.follow('apps/mail', [pod]);
    await clock.advance(0);
    const [report] = reports.of('apps/mail');
    assert.deepEqual([report?.askedAt, report?.drainingSince], [0, 1900]);
    reports.stop();
  });
});
