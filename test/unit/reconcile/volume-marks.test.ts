import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { annotations } from '../../../operator/api/names.ts';
import { emptyBoard } from '../../../operator/reconcile/on-board.ts';
import { markOf, markTexts, type WorkloadVersion } from '../../../operator/reconcile/volume-marks.ts';
import type { PersistentVolumeClaim } from '../../../operator/resources/kinds.ts';
import { minimalSpec, perReplicaSpec, relayOf } from '../operator-api/relays.ts';

const since = '2026-01-01T10:00:00Z';
const perReplica = relayOf(perReplicaSpec);
const shared = relayOf(minimalSpec);

function claim(name: string, unsent: string, by?: string): PersistentVolumeClaim {
  const none = { [annotations.deadMessages]: '0', [annotations.quarantinedFiles]: '0' };
  const texts = { ...none, [annotations.unsentMessages]: unsent, [annotations.unservedSince]: since };
  const said = by === undefined ? {} : { [annotations.unservedBy]: by };
  return { metadata: { name, annotations: { ...texts, ...said } } };
}

const bare = { metadata: { name: 'spool-mail-1', uid: 'first' } };

const workload = (generation: number, replicas: number, uid = 'a'): WorkloadVersion => ({
  uid,
  generation,
  replicas,
});

describe('the numbers on the claim of a replica that is gone', () => {
  /** Of spool-mail-1: what its claim names, what the workload is now, and whether the number is believed. */
  const cases: readonly [string, string | undefined, WorkloadVersion | undefined, boolean][] = [
    ['is believed while nobody has changed the workload', 'a/7', workload(7, 1), true],
    ['is doubted while the replica is there', 'a/7', workload(7, 2), false],
    ['is believed after one change, which cannot have had it back', 'a/7', workload(8, 1), true],
    ['is doubted when that change has it back', 'a/7', workload(8, 2), false],
    ['is doubted after two, which can', 'a/7', workload(9, 1), false],
    ['is doubted when the workload was deleted by somebody', 'a/7', undefined, false],
    ['is doubted when the workload is another one', 'a/7', workload(1, 1, 'b'), false],
    ['is believed when the workload went with its MailRelay', 'a/7/released', undefined, true],
    ['is believed while that workload is still going', 'a/7/released', workload(7, 1), true],
    ['is believed while its replicas go with it', 'a/7/released', workload(7, 2), true],
    ['is doubted when somebody has changed that workload', 'a/7/released', workload(9, 1), false],
    ['is believed beside a new workload', 'a/7/released', workload(1, 1, 'b'), true],
    ['is doubted when the new workload has it back', 'a/7/released', workload(1, 2, 'b'), false],
    ['is doubted when somebody has changed the new workload', 'a/7/released', workload(2, 1, 'b'), false],
    ['is believed without a workload when it names none', undefined, undefined, true],
    ['is believed beside a new workload when it names none', undefined, workload(1, 1), true],
    ['is doubted beside a changed workload when it names none', undefined, workload(2, 1), false],
    ['is doubted when what it names is no workload', 'a', workload(1, 1), false],
    ['is doubted when what it names is no workload, and there is none', '', undefined, false],
  ];
  for (const [title, by, now, believed] of cases) {
    test(title, () => {
      assert.deepEqual(markOf(claim('spool-mail-1', '0', by), perReplica, now), {
        board: believed ? emptyBoard : {},
        since,
      });
    });
  }

  test('is doubted on a shared volume as soon as there is any replica again', () => {
    const seen = (replicas: number) => markOf(claim('mail-spool', '0', 'a/7'), shared, workload(8, replicas));
    assert.deepEqual(seen(0)?.board, emptyBoard);
    assert.deepEqual(seen(1)?.board, {});
  });

  test('is read as it was written', () => {
    const counts = [0, 4, undefined];
    const boards = counts.flatMap(messages =>
      counts.flatMap(deadMessages =>
        counts.map(quarantinedFiles => ({ messages, deadMessages, quarantinedFiles })),
      ),
    );
    for (const board of boards) {
      for (const released of [true, false]) {
        const texts = markTexts({ board, since }, bare, workload(7, 1), released) as Record<string, string>;
        const written = { metadata: { ...bare.metadata, annotations: texts } };
        const known = Object.entries(board).filter(([, count]) => count !== undefined);
        assert.deepEqual(markOf(written, perReplica, workload(8, 1)), {
          board: Object.fromEntries(known),
          since,
        });
      }
    }
  });

  test('says nothing of dead letters and quarantine where only unsent mail was counted', () => {
    const texts = { [annotations.unsentMessages]: '0', [annotations.unservedBy]: 'a/7' };
    const before = { metadata: { name: 'spool-mail-1', annotations: texts } };
    assert.deepEqual(markOf(before, perReplica, workload(7, 1)), { board: { messages: 0 } });
  });

  test('is doubted on a claim that was made anew with the annotations of an earlier one', () => {
    for (const by of [workload(7, 1), undefined]) {
      const marked = Object.entries(markTexts({ board: emptyBoard, since }, bare, by));
      const texts = Object.fromEntries(
        marked.flatMap(([name, text]) => (text === null ? [] : [[name, text]])),
      );
      const seen = (uid: string) =>
        markOf({ metadata: { ...bare.metadata, uid, annotations: texts } }, perReplica, by);
      assert.deepEqual(seen('first'), { board: emptyBoard, since });
      assert.deepEqual(seen('second'), { board: {}, since });
    }
  });

  test('names no workload when nobody knows it', () => {
    assert.equal(markTexts({ board: {}, since }, bare, workload(7, 1))[annotations.unservedBy], null);
  });
});
