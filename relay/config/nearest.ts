/** Which known word someone probably meant. */

/**
 * The word with the smallest edit distance (Damerau: swapped neighbours count
 * once), upper and lower case alike; undefined when none is near: more than a
 * third of the letters differ. When no word is, the first that begins with it.
 */
export function nearest(word: string, known: readonly string[]): string | undefined {
  let best: string | undefined;
  let bestDistance = Math.max(2, Math.floor(word.length / 3)) + 1;
  for (const candidate of known) {
    if (Math.abs(candidate.length - word.length) >= bestDistance) continue;
    const distance = editDistance(word.toLowerCase(), candidate.toLowerCase());
    if (distance < bestDistance) [best, bestDistance] = [candidate, distance];
  }
  return best ?? (word.length < 4 ? undefined : known.find(candidate => isBeginning(word, candidate)));
}

/** People leave out the unit: `expireAfter` for `expireAfterSeconds`. */
function isBeginning(word: string, candidate: string): boolean {
  return candidate.toLowerCase().startsWith(word.toLowerCase());
}

function editDistance(a: string, b: string): number {
  let beforeLast: number[] = [];
  let last = Array.from({ length: b.length + 1 }, (_, column) => column);
  for (let row = 1; row <= a.length; row += 1) {
    const line = [row];
    for (let column = 1; column <= b.length; column += 1) {
      line.push(cell(a, b, { row, column, line, last, beforeLast }));
    }
    [beforeLast, last] = [last, line];
  }
  return last[b.length] ?? 0;
}

interface Table {
  readonly row: number;
  readonly column: number;
  readonly line: readonly number[];
  readonly last: readonly number[];
  readonly beforeLast: readonly number[];
}

function cell(a: string, b: string, at: Table): number {
  const { row, column, line, last, beforeLast } = at;
  const same = a[row - 1] === b[column - 1] ? 0 : 1;
  const plain = Math.min(line[column - 1]! + 1, last[column]! + 1, last[column - 1]! + same);
  const swapped = row > 1 && column > 1 && a[row - 1] === b[column - 2] && a[row - 2] === b[column - 1];
  return swapped ? Math.min(plain, beforeLast[column - 2]! + 1) : plain;
}
