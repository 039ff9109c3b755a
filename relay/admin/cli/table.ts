/** Rows as aligned columns for people: two spaces apart, no borders, the last column ragged. */
import { printable } from '../../telemetry/printable.ts';

/** No cell is longer; a terminal is narrower. */
const longestCell = 500;

/** Lines with line ends. `width`: cut lines to that many characters; absent = never. */
export function table(head: readonly string[], rows: readonly (readonly string[])[], width?: number): string {
  const cells = [head, ...rows].map(row => row.map(cell => printable(cell, longestCell)));
  const widths = head.map((_, column) => Math.max(...cells.map(row => row[column]?.length ?? 0)));
  const lines = cells.map(row =>
    row
      .map((cell, column) => cell.padEnd(widths[column] ?? 0))
      .join('  ')
      .trimEnd(),
  );
  return lines.map(line => `${cut(line, width)}\n`).join('');
}

/** `Name   value` pairs, one a line. */
export function pairs(rows: readonly (readonly [string, string])[]): string {
  const width = Math.max(...rows.map(([name]) => name.length));
  return rows.map(([name, value]) => `${name.padEnd(width)}  ${printable(value, longestCell)}\n`).join('');
}

function cut(line: string, width: number | undefined): string {
  return width === undefined || line.length <= width ? line : `${line.slice(0, Math.max(1, width - 1))}…`;
}
