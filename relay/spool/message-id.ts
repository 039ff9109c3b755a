/**
 * Message ids: when the message arrived, then chance, in 17 characters that
 * sort by time and are safe as a file name. Within a process they only grow,
 * also when the clock steps back; no two processes share one but by a chance
 * of 1 in 2.8 million million a millisecond.
 */
import type { MessageId } from './message.ts';

const TIME_LENGTH = 9;
const CHANCE_LENGTH = 8;
const CHANCE_RANGE = 36 ** CHANCE_LENGTH;
/** Room kept above a fresh random part, so that ids of the same millisecond can grow. */
const STEP_RANGE = 2 ** 16;
const FORM = /^[0-9a-z]{17}$/;

/** Whether the text can be an id, and so a file name that escapes nothing. */
export function isMessageId(text: string): text is MessageId {
  return FORM.test(text);
}

/** Milliseconds since the epoch in an id; of the moment its message began. */
export function timeOfId(id: MessageId): number {
  return Number.parseInt(id.slice(0, TIME_LENGTH), 36);
}

/** A source of ids greater than each other and than `last`. `random(limit)` gives an integer in [0, limit). */
export function messageIds(
  now: () => number,
  random: (limit: number) => number,
  last?: MessageId,
): () => MessageId {
  let time = last === undefined ? 0 : timeOfId(last);
  let chance = last === undefined ? 0 : Number.parseInt(last.slice(TIME_LENGTH), 36);
  return () => {
    const current = now();
    const next = chance + 1 + random(STEP_RANGE);
    if (current > time || next >= CHANCE_RANGE) {
      time = Math.max(current, time + 1);
      chance = random(CHANCE_RANGE);
    } else {
      chance = next;
    }
    const head = time.toString(36).padStart(TIME_LENGTH, '0');
    return `${head}${chance.toString(36).padStart(CHANCE_LENGTH, '0')}` as MessageId;
  };
}
