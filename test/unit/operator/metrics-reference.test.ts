import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { test } from 'node:test';

test('docs/operator-metrics.md is what the definitions say', () => {
  const { status, stderr } = spawnSync(process.execPath, ['operator/write-metrics-reference.ts', '--check'], {
    encoding: 'utf8',
  });
  assert.equal(status, 0, stderr);
});
