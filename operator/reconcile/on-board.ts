/**
 * What is on a volume besides room: messages to be sent, dead letters, and
 * files in quarantine. Each is a count, or undefined where nobody knows, so
 * that there may be some. Pure: sums, whether it is surely empty, and words.
 */

export interface OnBoard {
  /** Unsent: under way, failed, held. */
  readonly messages?: number | undefined;
  /** Given up or rejected; people can have them sent again, and nobody waits for that. */
  readonly deadMessages?: number | undefined;
  /** Files that no message knows, which may be mail. */
  readonly quarantinedFiles?: number | undefined;
}

type Sort = keyof OnBoard;

/** From the most urgent, in one and in more. */
const nouns = {
  messages: ['unsent message', 'unsent messages'],
  deadMessages: ['dead letter', 'dead letters'],
  quarantinedFiles: ['quarantined file', 'quarantined files'],
} as const satisfies Readonly<Record<Sort, readonly [string, string]>>;

/** In the order in which they are named. */
const sorts: readonly Sort[] = ['messages', 'deadMessages', 'quarantinedFiles'];

export const emptyBoard: Readonly<Record<Sort, number>> = {
  messages: 0,
  deadMessages: 0,
  quarantinedFiles: 0,
};

/** The counts that `count` gives; what it gives as undefined is left out. */
export function boardOf(count: (sort: Sort) => number | undefined): OnBoard {
  const known = sorts.flatMap(sort => {
    const number = count(sort);
    return number === undefined ? [] : [[sort, number]];
  });
  return Object.fromEntries(known);
}

/** Surely nothing. */
export function isEmpty(board: OnBoard): boolean {
  return sorts.every(sort => board[sort] === 0);
}

/** Nobody waits for what is on it: no message is to be sent, for certain. */
export function isAllSent({ messages }: OnBoard): boolean {
  return messages === 0;
}

export function isUnknown(board: OnBoard): boolean {
  return sorts.every(sort => board[sort] === undefined);
}

/** There may be more than was counted: none counted says nothing. */
export function atLeast(board: OnBoard): OnBoard {
  return boardOf(sort => board[sort] || undefined);
}

/** What several have left on one volume. What one of them may have left makes the sum unknown where it would be 0. */
export function together(boards: readonly OnBoard[]): OnBoard {
  return boardOf(sort => {
    const counts = boards.map(board => board[sort]);
    const sum = counts.reduce((total: number, count) => total + (count ?? 0), 0);
    return sum === 0 && counts.includes(undefined) ? undefined : sum;
  });
}

/** "3 dead letters, 1 quarantined file", "4 unsent messages, perhaps dead letters"; "nothing" where it is empty. */
export function inWords(board: OnBoard): string {
  const counted = sorts
    .filter(sort => (board[sort] ?? 0) > 0)
    .map(sort => `${board[sort]} ${nouns[sort][board[sort] === 1 ? 0 : 1]}`);
  const unknown = sorts.filter(sort => board[sort] === undefined).map(sort => nouns[sort][1]);
  const last = unknown.pop();
  const perhaps =
    last === undefined ? [] : [`perhaps ${[unknown.join(', '), last].filter(Boolean).join(' or ')}`];
  return [...counted, ...perhaps].join(', ') || 'nothing';
}
