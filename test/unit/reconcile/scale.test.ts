import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { emptyBoard, isUnknown, type OnBoard } from '../../../operator/reconcile/on-board.ts';
import type { PodReport } from '../../../operator/reconcile/pod-reports.ts';
import type { RelayStatus } from '../../../operator/reconcile/relay-status.ts';
import { planLoss, planScale, type ScaleInput, type ScalePlan } from '../../../operator/reconcile/scale.ts';
import { shutdownSeconds } from '../../../operator/resources/config-json.ts';

const none = { messages: 0, bytes: 0 };
const some = { messages: 3, bytes: 30 };
/** What a pod leaves that is known to be empty, but for `more`. */
const board = (more: OnBoard = {}): OnBoard => ({ ...emptyBoard, ...more });
const graceMs = shutdownSeconds.graceSeconds * 1000;

function status(more: Partial<RelayStatus> = {}): RelayStatus {
  return {
    version: '1',
    ready: false,
    draining: true,
    providers: [],
    queue: { active: none, failed: none, held: none, dead: none },
    quarantine: { files: 0 },
    disk: { freeBytes: 1e9, reserveBytes: 1e6, low: false },
    ...more,
  };
}

/** Drains since 1000 and answered last at 20 000, well after the grace time. */
function report(pod: string, more: Partial<PodReport> = {}): PodReport {
  return { pod, status: status(), askedAt: 20_000, drainingSince: 1000, ...more };
}

const shared: ScaleInput = {
  wanted: 0,
  live: 1,
  ordinal: false,
  adopted: false,
  podName: at => `mail-${at}`,
  pods: ['mail-a'],
  ending: [],
  mayHoldMail: () => true,
  reports: [report('mail-a')],
  drainingSince: new Map([['mail-a', 1000]]),
  begunAt: 1000,
  now: 20_000,
  timeoutMs: 600_000,
};

function isHeldUp({ replicas }: ScalePlan): boolean {
  return replicas > 0;
}

describe('a pod that drains', () => {
  test('goes when it is empty and its grace time is over', () => {
    assert.deepEqual(planScale(shared), {
      replicas: 0,
      draining: ['mail-a'],
      awaited: ['mail-a'],
      leaving: [{ pod: 'mail-a', board: board() }],
      unsent: 0,
    });
  });

  const stays: Record<string, Partial<ScaleInput>> = {
    'as long as it has mail to send': {
      reports: [report('mail-a', { status: status({ queue: { ...status().queue, failed: some } }) })],
    },
    'while its listener still takes mail: the grace time after its first answer is not over': {
      reports: [report('mail-a', { drainingSince: 20_000 - graceMs })],
    },
    'when the answer is of an earlier drain, called off and begun again': {
      drainingSince: new Map([['mail-a', 20_000 - graceMs]]),
    },
    'when it no longer answers, whatever it said last': { reports: [report('mail-a', { error: 'refused' })] },
    'while a client is still connected': {
      reports: [report('mail-a', { status: status({ listener: { connections: 1 } }) })],
    },
    'while it says itself that it takes mail, whatever the time is here': {
      reports: [report('mail-a', { status: status({ listener: { connections: 0, accepts: true } }) })],
    },
    'before it was told to drain': { drainingSince: new Map() },
    'when it has never answered': { reports: [{ pod: 'mail-a', error: 'refused' }] },
  };
  for (const [why, more] of Object.entries(stays)) {
    test(`stays ${why}`, () => {
      assert.ok(isHeldUp(planScale({ ...shared, ...more })));
      const ordinal = { ...shared, ...more, ordinal: true, podName: () => 'mail-a' };
      assert.ok(isHeldUp(planScale(ordinal)));
    });
  }

  test('goes with its mail when its time is up, and says how much that is, held mail included', () => {
    const queue = { ...status().queue, active: some, held: some };
    const plan = planScale({
      ...shared,
      now: 601_000,
      reports: [report('mail-a', { status: status({ queue }), error: 'refused' })],
    });
    assert.equal(plan.replicas, 0);
    assert.deepEqual(plan.leaving, [{ pod: 'mail-a', board: { messages: 6 } }]);
  });

  const unknown: Record<string, Partial<ScaleInput>> = {
    'has never answered': { reports: [] },
    'was empty once and answers no more': { reports: [report('mail-a', { error: 'refused' })] },
    'still takes mail': { reports: [report('mail-a', { status: status({ draining: false }) })] },
    'is on its way out': { pods: [], ending: ['mail-a'], reports: [] },
    'shares its volume with pods that are gone': { adopted: true },
  };
  for (const [why, more] of Object.entries(unknown)) {
    test(`leaves nobody knows what when it ${why}`, () => {
      const drainingSince = new Map(['', 'mail-a'].map(pod => [pod, 1000]));
      const plan = planScale({ ...shared, drainingSince, now: 601_000, ...more });
      assert.equal(plan.replicas, 0);
      assert.ok(plan.leaving.length > 0 && plan.leaving.every(({ board: left }) => isUnknown(left)));
    });
  }

  test('is waited for while it ends: what it takes until then is for the next pod to send', () => {
    const plan = planScale({ ...shared, ending: ['mail-b'] });
    assert.ok(isHeldUp(plan));
    assert.deepEqual(plan.awaited, ['mail-a', 'mail-b']);
    assert.equal(plan.unsent, undefined);
  });

  test('that is taken away leaves what it said last', () => {
    const queue = { ...status().queue, active: some };
    const reports = [report('mail-a', { status: status({ draining: false, queue }) })];
    const plan = planLoss({ ...shared, ending: ['mail-b'], reports, drainingSince: new Map() });
    assert.equal(plan.replicas, 0);
    assert.deepEqual(plan.leaving, [
      { pod: 'mail-a', board: { messages: 3 } },
      { pod: 'mail-b', board: {} },
    ]);
  });

  test('says what it holds back by hand when it goes, which keeps nobody waiting', () => {
    const queue = { ...status().queue, held: some };
    const plan = planScale({ ...shared, reports: [report('mail-a', { status: status({ queue }) })] });
    assert.equal(plan.replicas, 0);
    assert.deepEqual(plan.leaving, [{ pod: 'mail-a', board: board({ messages: 3 }) }]);
  });

  const left: readonly [string, Partial<RelayStatus>, OnBoard][] = [
    ['dead letters', { queue: { ...status().queue, dead: some } }, board({ deadMessages: 3 })],
    ['files in quarantine', { quarantine: { files: 2 } }, board({ quarantinedFiles: 2 })],
    [
      'all of these',
      { queue: { active: none, failed: none, held: some, dead: some }, quarantine: { files: 1 } },
      { messages: 3, deadMessages: 3, quarantinedFiles: 1 },
    ],
  ];
  for (const [what, more, wanted] of left) {
    test(`does not wait with ${what}, and says that it leaves them`, () => {
      const reports = [report('mail-a', { status: status(more) })];
      for (const input of [shared, { ...shared, ordinal: true, podName: () => 'mail-a' }]) {
        const plan = planScale({ ...input, reports });
        assert.equal(plan.replicas, 0);
        assert.deepEqual(plan.leaving, [{ pod: 'mail-a', board: wanted }]);
      }
    });
  }

  test('leaves perhaps something in quarantine when it is of a version that does not say', () => {
    const { quarantine: _unsaid, ...old } = status();
    const plan = planScale({ ...shared, reports: [report('mail-a', { status: old })] });
    assert.equal(plan.replicas, 0);
    assert.deepEqual(plan.leaving, [{ pod: 'mail-a', board: { messages: 0, deadMessages: 0 } }]);
  });

  test('leaves at least what it counted while mail could still come in', () => {
    const counted = status({ queue: { ...status().queue, dead: some }, draining: false });
    const plan = planLoss({ ...shared, reports: [report('mail-a', { status: counted })] });
    assert.deepEqual(plan.leaving, [{ pod: 'mail-a', board: { deadMessages: 3 } }]);
  });

  test('that shares its volume leaves at least what it counted: slots of pods that are gone are in no count', () => {
    const queue = { ...status().queue, dead: some };
    const reports = [report('mail-a', { status: status({ queue }) })];
    const plan = planScale({ ...shared, adopted: true, reports });
    assert.deepEqual(plan.leaving, [{ pod: 'mail-a', board: { deadMessages: 3 } }]);
  });
});

test('a Deployment without replicas keeps the pod draining that is still there, one with some calls it back', () => {
  assert.deepEqual(planScale({ ...shared, live: 0 }).draining, ['mail-a']);
  assert.deepEqual(planScale({ ...shared, live: 0, wanted: 1 }).draining, []);
});

describe('a volume between two pods', () => {
  const podless = {
    ...{ ...shared, pods: [], reports: [] },
    ...{ drainingSince: new Map<string, number>(), begunAt: undefined },
  };

  test('waits for its next pod, which may have mail to send', () => {
    const plan = planScale(podless);
    assert.deepEqual(plan, { replicas: 1, draining: [], awaited: [''], leaving: [], unsent: undefined });
  });

  test('waits no longer than a drain may take', () => {
    const plan = planScale({ ...podless, drainingSince: new Map([['', 1000]]), now: 601_000 });
    assert.equal(plan.replicas, 0);
  });

  test('waits no longer than that either when pods take turns and none lasts', () => {
    const drainingSince = new Map([['mail-a', 599_000]]);
    const turns = { ...shared, reports: [{ pod: 'mail-a', error: 'refused' }], drainingSince };
    assert.ok(isHeldUp(planScale({ ...turns, now: 600_999 })));
    const plan = planScale({ ...turns, now: 601_000 });
    assert.deepEqual([plan.replicas, plan.leaving], [0, [{ pod: 'mail-a', board: {} }]]);
    const ordinal = { ...turns, ordinal: true, podName: () => 'mail-a' };
    assert.ok(isHeldUp(planScale({ ...ordinal, now: 601_000 })), 'each replica has a volume of its own');
  });

  test('holds up nothing when no pod can have written to it', () => {
    assert.equal(planScale({ ...podless, mayHoldMail: () => false }).replicas, 0);
  });
});

describe('a StatefulSet', () => {
  const three: ScaleInput = {
    ...shared,
    ordinal: true,
    wanted: 1,
    live: 3,
    pods: ['mail-0', 'mail-1', 'mail-2'],
    reports: ['mail-0', 'mail-1', 'mail-2'].map(pod => report(pod)),
    drainingSince: new Map([
      ['mail-1', 1000],
      ['mail-2', 1000],
    ]),
  };

  test('goes down to the highest replica that still has mail', () => {
    const queue = { ...status().queue, active: some };
    const reports = [report('mail-1', { status: status({ queue }) }), report('mail-2')];
    const plan = planScale({ ...three, reports });
    assert.equal(plan.replicas, 2);
    assert.deepEqual(plan.awaited, ['mail-1']);
    assert.equal(plan.unsent, 3);
  });

  test('keeps telling those that go to drain until they are gone: nobody sends what they would take', () => {
    assert.deepEqual(planScale(three).draining.toSorted(), ['mail-1', 'mail-2']);
    const gone = planScale({ ...three, live: 1 });
    assert.deepEqual([gone.replicas, gone.draining, gone.awaited], [1, ['mail-1', 'mail-2'], []]);
    assert.deepEqual(planScale({ ...three, live: 1, pods: ['mail-0', 'mail-2'] }).draining, ['mail-2']);
    assert.deepEqual(planScale({ ...three, live: 1, pods: ['mail-0'] }).draining, []);
  });

  test('keeps an empty replica below one that has mail', () => {
    const queue = { ...status().queue, active: some };
    const reports = [report('mail-1'), report('mail-2', { status: status({ queue }) })];
    assert.deepEqual(planScale({ ...three, reports }).draining, ['mail-1', 'mail-2']);
  });

  test('does not wait for a replica that never came about', () => {
    const mayHoldMail = (pod: string): boolean => pod === 'mail-0';
    const plan = planScale({ ...three, pods: ['mail-0'], reports: [], mayHoldMail });
    assert.deepEqual([plan.replicas, plan.leaving], [1, []]);
  });

  test('drains nobody when it grows or stays', () => {
    for (const wanted of [3, 5]) {
      const plan = planScale({ ...three, wanted });
      assert.deepEqual(plan, { replicas: wanted, draining: [], awaited: [], leaving: [], unsent: 0 });
    }
  });
});

test('replicas that share a volume go at once: the others send what they leave', () => {
  const plan = planScale({ ...shared, adopted: true, wanted: 1, live: 3 });
  assert.deepEqual([plan.replicas, plan.draining], [1, []]);
});
