import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import {
  atLeast,
  emptyBoard,
  inWords,
  isEmpty,
  type OnBoard,
  together,
} from '../../../operator/reconcile/on-board.ts';

describe('what is on a volume', () => {
  const words: readonly [OnBoard, string][] = [
    [emptyBoard, 'nothing'],
    [{ ...emptyBoard, messages: 1 }, '1 unsent message'],
    [{ ...emptyBoard, deadMessages: 3, quarantinedFiles: 1 }, '3 dead letters, 1 quarantined file'],
    [{ messages: 4, deadMessages: 1 }, '4 unsent messages, 1 dead letter, perhaps quarantined files'],
    [{ quarantinedFiles: 2 }, '2 quarantined files, perhaps unsent messages or dead letters'],
    [{}, 'perhaps unsent messages, dead letters or quarantined files'],
  ];
  for (const [board, wanted] of words) {
    test(`is told as "${wanted}"`, () => assert.equal(inWords(board), wanted));
  }

  test('is nothing only where each count is known to be 0', () => {
    assert.ok(isEmpty(emptyBoard));
    for (const sort of Object.keys(emptyBoard)) {
      assert.ok(!isEmpty({ ...emptyBoard, [sort]: 1 }), `some ${sort}`);
      assert.ok(!isEmpty({ ...emptyBoard, [sort]: undefined }), `perhaps ${sort}`);
    }
  });

  test('that several have left is known as far as the sum says it', () => {
    assert.deepEqual(together([emptyBoard, emptyBoard]), emptyBoard);
    assert.deepEqual(
      together([
        { messages: 2, deadMessages: 0 },
        { messages: 3, quarantinedFiles: 1 },
      ]),
      {
        messages: 5,
        quarantinedFiles: 1,
      },
    );
  });

  test('that was counted while more could come is what was counted, and none counted says nothing', () => {
    assert.deepEqual(atLeast({ messages: 0, deadMessages: 3 }), { deadMessages: 3 });
  });
});
