/** Keeps docs/source-document.md true: every test that it names is there. */
import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';

const root = join(import.meta.dirname, '..', '..');
const ROW = /^\| (.+) \| `(test\/[^`]+\.test\.ts)` \| (.+) \|$/;

async function rows(): Promise<{ sentence: string; file: string; title: string }[]> {
  const text = await readFile(join(root, 'docs', 'source-document.md'), 'utf8');
  const lines = text.split('\n').filter(line => line.startsWith('| '));
  return lines.slice(1).map(line => {
    const [, sentence, file, title] = ROW.exec(line) ?? [];
    assert.ok(
      sentence !== undefined && file !== undefined && title !== undefined,
      `not a row of the table: ${line}`,
    );
    return { sentence, file, title };
  });
}

/** Titles given to test(), as patterns: what a template leaves open is anything. */
function titles(source: string): RegExp[] {
  const found = [...source.matchAll(/\btest\(\s*(['"`])(.*?)\1\s*,/g)].map(match => match[2] ?? '');
  return found.map(
    title =>
      new RegExp(
        `^${title
          .split(/\$\{[^}]*\}/)
          .map(RegExp.escape)
          .join('.+')}$`,
      ),
  );
}

test('every sentence of the source document names a test that exists', async () => {
  const table = await rows();
  assert.ok(table.length >= 25, `${table.length} rows`);
  for (const { sentence, file, title } of table) {
    const source = await readFile(join(root, file), 'utf8').catch(() => '');
    assert.ok(
      titles(source).some(pattern => pattern.test(title)),
      `"${sentence}": ${file} has no test "${title}"`,
    );
  }
});
