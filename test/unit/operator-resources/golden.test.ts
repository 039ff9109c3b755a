/**
 * Compares the children of example relays with golden/*.yaml. After a change
 * that is meant: UPDATE_GOLDEN=1 node --test test/unit/operator-resources/golden.test.ts,
 * and read the difference before committing it.
 */
import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import process from 'node:process';
import { describe, test } from 'node:test';
import { relayOf, specs } from '../operator-api/relays.ts';
import { childrenYaml, contextOf } from './contexts.ts';

describe('the children of', () => {
  for (const [name, spec] of Object.entries(specs)) {
    test(`the relay "${name}" are as in golden/${name}.yaml`, () => {
      const file = new URL(`golden/${name}.yaml`, import.meta.url);
      const relay = relayOf(spec);
      const made = childrenYaml(relay, contextOf(relay));
      if (process.env['UPDATE_GOLDEN'] === '1') writeFileSync(file, made);
      assert.equal(made, readFileSync(file, 'utf8'));
    });
  }
});
