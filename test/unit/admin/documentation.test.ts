import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { test } from 'node:test';
import type { Command } from 'commander';
import { createProgram } from '../../../relay/admin/cli/program.ts';

const silent = { write: () => true };

test('docs/command-line.md names every command and every option', async () => {
  const page = await readFile(new URL('../../../docs/command-line.md', import.meta.url), 'utf8');
  const program = createProgram(
    { version: '1', run: () => Promise.resolve(0), verify: () => Promise.resolve([]) },
    { stdout: silent, stderr: silent, env: {}, now: () => 0 },
    { code: 0 },
  );
  for (const { path, command } of leaves(program, '')) {
    assert.match(page, new RegExp(`\`${path}[ \`]`), path);
    for (const { long } of command.options) assert.ok(page.includes(`${long}`), `${path} ${long}`);
  }
});

function leaves(command: Command, path: string): { path: string; command: Command }[] {
  if (command.commands.length === 0) return [{ path, command }];
  return command.commands.flatMap(child => leaves(child, `${path} ${child.name()}`.trim()));
}
