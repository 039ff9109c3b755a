import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { annotations } from '../../../operator/api/names.ts';
import type { MailRelayStatus } from '../../../operator/api/schema-status.ts';
import { type ClaimsView, heldVolumes, remainingVolumes } from '../../../operator/reconcile/held-volumes.ts';
import { emptyBoard, inWords, isUnknown } from '../../../operator/reconcile/on-board.ts';
import type { Departure } from '../../../operator/reconcile/scale.ts';
import type { PersistentVolumeClaim } from '../../../operator/resources/kinds.ts';
import { minimalSpec, perReplicaSpec, relayOf } from '../operator-api/relays.ts';

const made = '2026-01-02T00:00:00Z';
const earlier = '2026-01-01T00:00:00Z';

interface ClaimSketch {
  readonly unsent?: string;
  /** Default: none, where something is said of unsent mail. */
  readonly dead?: string | null;
  readonly quarantined?: string | null;
  readonly by?: string;
  readonly since?: string;
  readonly creationTimestamp?: string;
  readonly phase?: string;
}

function claim(
  name: string,
  {
    unsent,
    dead = '0',
    quarantined = '0',
    by,
    since,
    creationTimestamp = made,
    phase = 'Bound',
  }: ClaimSketch = {},
): PersistentVolumeClaim {
  const marks = {
    ...(unsent !== undefined && {
      [annotations.unsentMessages]: unsent,
      ...(dead !== null && { [annotations.deadMessages]: dead }),
      ...(quarantined !== null && { [annotations.quarantinedFiles]: quarantined }),
    }),
    ...(by !== undefined && { [annotations.unservedBy]: by }),
    ...(since !== undefined && { [annotations.unservedSince]: since }),
  };
  return { metadata: { name, creationTimestamp, annotations: marks }, status: { phase } };
}

function view(
  claims: readonly PersistentVolumeClaim[],
  replicas: number,
  {
    leaving = [],
    status = {},
    mode = 'PerReplica',
  }: {
    readonly leaving?: readonly Departure[];
    readonly status?: MailRelayStatus;
    readonly mode?: 'PerReplica' | 'Shared';
  } = {},
): ClaimsView {
  const relay = relayOf(mode === 'Shared' ? minimalSpec : perReplicaSpec);
  return {
    relay: { ...relay, creationTimestamp: made, status },
    claims,
    plan: { replicas, draining: [], awaited: [], leaving, unsent: 0 },
    workload: undefined,
    released: false,
    wallTimeMs: Date.parse('2026-01-03T00:00:00Z'),
  };
}

const told = (held: ReturnType<typeof heldVolumes>): string[] =>
  held.map(one => `${one.claim}: ${isUnknown(one) ? 'unknown' : inWords(one)}`);

describe('a volume that no pod serves', () => {
  test('is shown since a time that the API server takes, whatever somebody wrote on its claim', () => {
    const since = (text: string): string | undefined =>
      heldVolumes(view([claim('spool-mail-1', { unsent: '4', since: text })], 1))[0]?.since;
    assert.equal(since('2026-01-01T10:00:00Z'), '2026-01-01T10:00:00Z');
    assert.equal(since('2026-01-01T10:00:00.123+02:00'), '2026-01-01T08:00:00Z');
    assert.equal(since('long ago'), '2026-01-03T00:00:00Z');
    assert.equal(since('+012026-01-01T10:00:00Z'), '2026-01-03T00:00:00Z');
    assert.equal(since('9'.repeat(300)), '2026-01-03T00:00:00Z');
  });

  const shown: readonly [string, ReturnType<typeof view>, string[]][] = [
    ['is not shown while one does', view([claim('spool-mail-0', { unsent: '4' })], 1), []],
    [
      'is shown with what its claim says',
      view([claim('spool-mail-1', { unsent: '4' })], 1),
      ['spool-mail-1: 4 unsent messages'],
    ],
    ['is not shown when it is known to be empty', view([claim('spool-mail-1', { unsent: '0' })], 1), []],
    ['is unknown when nothing was said', view([claim('spool-mail-1')], 1), ['spool-mail-1: unknown']],
    [
      'is unknown when its claim speaks of a workload that is no more',
      view([claim('spool-mail-1', { unsent: '0', by: 'a/7' })], 1),
      ['spool-mail-1: unknown'],
    ],
    [
      'is unknown when what its claim says is no number',
      view([claim('spool-mail-1', { unsent: '-3' })], 1),
      ['spool-mail-1: perhaps unsent messages'],
    ],
    [
      'is shown for dead letters alone',
      view([claim('spool-mail-1', { unsent: '0', dead: '3' })], 1),
      ['spool-mail-1: 3 dead letters'],
    ],
    [
      'is shown for quarantined files alone',
      view([claim('spool-mail-1', { unsent: '0', quarantined: '1' })], 1),
      ['spool-mail-1: 1 quarantined file'],
    ],
    [
      'may have what its claim says nothing of',
      view([claim('spool-mail-1', { unsent: '0', dead: null, quarantined: null })], 1),
      ['spool-mail-1: perhaps dead letters or quarantined files'],
    ],
    [
      'may have what its pod did not know',
      view([claim('spool-mail-1')], 1, {
        leaving: [{ pod: 'mail-1', board: { messages: 0, deadMessages: 0 } }],
      }),
      ['spool-mail-1: perhaps quarantined files'],
    ],
    [
      'is not shown when its pod has left nothing',
      view([claim('spool-mail-1', { unsent: '4' })], 1, { leaving: [{ pod: 'mail-1', board: emptyBoard }] }),
      [],
    ],
    [
      'is shown with what the status says when its claim says nothing',
      view([claim('spool-mail-1')], 1, {
        status: {
          heldVolumes: [
            { claim: 'spool-mail-1', messages: 0, deadMessages: 2, quarantinedFiles: 1, since: earlier },
          ],
        },
      }),
      ['spool-mail-1: 2 dead letters, 1 quarantined file'],
    ],
    ['holds nothing before it is bound', view([claim('spool-mail-1', { phase: 'Pending' })], 1), []],
    [
      'is shown with what its pod has left, whatever was said before',
      view([claim('spool-mail-1', { unsent: '0' })], 1, {
        leaving: [{ pod: 'mail-1', board: { ...emptyBoard, messages: 2 } }],
      }),
      ['spool-mail-1: 2 unsent messages'],
    ],
    [
      'is shown with all that the pods on it have left',
      view([claim('mail-spool')], 0, {
        mode: 'Shared',
        leaving: [
          { pod: 'mail-a', board: { ...emptyBoard, messages: 2, quarantinedFiles: 1 } },
          { pod: 'mail-b', board: {} },
        ],
      }),
      ['mail-spool: 2 unsent messages, 1 quarantined file, perhaps dead letters'],
    ],
    [
      'of mode Shared holds nothing before there was a pod',
      view([claim('mail-spool')], 0, { mode: 'Shared' }),
      [],
    ],
    [
      'of mode Shared is unknown after there was a pod',
      view([claim('mail-spool')], 0, { mode: 'Shared', status: { queue: { active: 0 } } }),
      ['mail-spool: unknown'],
    ],
    [
      'of mode Shared is unknown when it is older than the MailRelay',
      view([claim('mail-spool', { creationTimestamp: earlier })], 0, { mode: 'Shared' }),
      ['mail-spool: unknown'],
    ],
    [
      'is shown when it is of the other mode',
      view([claim('spool-mail-0')], 1, { mode: 'Shared' }),
      ['spool-mail-0: unknown'],
    ],
  ];
  for (const [title, seen, wanted] of shown) {
    test(title, () => assert.deepEqual(told(heldVolumes(seen)), wanted));
  }

  test('keeps the time since when it is so', () => {
    const since = '2026-01-02T12:00:00Z';
    const status = { heldVolumes: [{ claim: 'spool-mail-1', since }] };
    const leaving = [{ pod: 'mail-1', board: { ...emptyBoard, messages: 4 } }];
    for (const whoLeaves of [[], leaving]) {
      const seen = view([claim('spool-mail-1')], 1, { status, leaving: whoLeaves });
      assert.equal(heldVolumes(seen)[0]?.since, since);
    }
  });

  test('is shown in a list that the status has room for', () => {
    const claims = Array.from({ length: 150 }, (_, at) => claim(`spool-mail-${at}`));
    assert.equal(heldVolumes(view(claims, 0)).length, 100);
  });

  test('stays at the end of its MailRelay unless it is known to be empty', () => {
    const claims = [
      claim('spool-mail-0'),
      claim('spool-mail-1'),
      claim('spool-mail-2', { unsent: '0' }),
      claim('spool-mail-3', { phase: 'Pending' }),
      claim('spool-mail-4', { unsent: '0', dead: '2' }),
      claim('spool-mail-5', { unsent: '0', quarantined: '1' }),
      claim('spool-mail-6', { unsent: '0', quarantined: null }),
    ];
    const leaving = [{ pod: 'mail-0', board: emptyBoard }];
    assert.deepEqual(told(remainingVolumes(view(claims, 0, { leaving }))), [
      'spool-mail-1: unknown',
      'spool-mail-4: 2 dead letters',
      'spool-mail-5: 1 quarantined file',
      'spool-mail-6: perhaps quarantined files',
    ]);
  });
});
