import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { test } from 'node:test';
import { catalogue } from '../../../relay/telemetry/catalogue.ts';
import { eventsReference } from '../../../relay/telemetry/reference.ts';

test('docs/events.md and docs/metrics.md are what the definitions say', () => {
  const { status, stderr } = spawnSync(process.execPath, ['relay/telemetry/write-reference.ts', '--check'], {
    encoding: 'utf8',
  });
  assert.equal(status, 0, stderr);
});

test('the reference of events has every event and no broken table row', () => {
  const text = eventsReference();
  for (const name of Object.keys(catalogue)) assert.ok(text.includes(`\n## ${name}\n`), name);
  for (const line of text.split('\n').filter(line => line.startsWith('|')))
    assert.equal(line.split('|').length, 4, line);
});
