/**
 * How every generator ends: files that are made from the source are written,
 * or, with --check, only compared. Nothing is touched that is as it should be.
 */
import { readFileSync, writeFileSync } from 'node:fs';
import process from 'node:process';

const root = new URL('./', import.meta.url);

/**
 * Writes each file (path from the repository's root → text) that differs. With --check on the command line it names
 * those on stderr instead, and the process will end with 1.
 */
export function writeOrCheck(files: Iterable<readonly [path: string, text: string]>): void {
  for (const [path, text] of files) {
    if (contents(path) === text) continue;
    if (isCheck()) complain(path, 'is out of date');
    else writeFileSync(new URL(path, root), text);
  }
}

/** Whether nothing may be written. */
export function isCheck(): boolean {
  return process.argv.includes('--check');
}

/** Makes the check fail because of this file. */
export function complain(path: string, how: string): void {
  process.stderr.write(`${path} ${how}: run npm run generate\n`);
  process.exitCode = 1;
}

function contents(path: string): string | undefined {
  try {
    return readFileSync(new URL(path, root), 'utf8');
  } catch {
    return undefined;
  }
}
