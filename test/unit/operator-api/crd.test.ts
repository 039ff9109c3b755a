import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import process from 'node:process';
import { describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { z } from 'zod';
import { conditionReasons, conditionTypes, eventReasons } from '../../../operator/api/conditions.ts';
import { customResourceDefinition } from '../../../operator/api/crd.ts';
import { type CrdNode, structuralSchema } from '../../../operator/api/crd-schema.ts';
import { referencePage } from '../../../operator/api/reference.ts';
import { specSchema } from '../../../operator/api/schema.ts';
import { jsonSchema } from '../../../relay/config/generate-schema.ts';
import type { SchemaNode } from '../../../relay/config/key-table.ts';
import { allFields as all } from './crd-fields.ts';

describe('the CRD', () => {
  test('and its reference page are up to date', () => {
    const script = fileURLToPath(new URL('../../../operator/api/generate-crd.ts', import.meta.url));
    const run = spawnSync(process.execPath, [script, '--check'], { encoding: 'utf8' });
    assert.deepEqual([run.status, run.stderr], [0, '']);
  });

  test('bounds every list, map, text and number', () => {
    assert.ok(all.length > 150, `${all.length} fields`);
    const unbounded = all.filter(([, node]) => !isBounded(node)).map(([path]) => path);
    assert.deepEqual(unbounded, []);
  });

  test('describes every field that a person writes or reads', () => {
    for (const [path, { description = '' }] of all) {
      if (path.endsWith('{}')) continue;
      assert.match(description, /^[\s\S]{5,}[.)]$/, `${path}: ${JSON.stringify(description)}`);
    }
  });

  test('says of every list how it is merged', () => {
    for (const [path, node] of all) {
      if (node.type === 'array') assert.match(node['x-kubernetes-list-type'] ?? '', /^(map|atomic)$/, path);
    }
  });

  test('leaves one field alone to be checked elsewhere: affinity', () => {
    const open = all.filter(([, node]) => node['x-kubernetes-preserve-unknown-fields']);
    assert.deepEqual(
      open.map(([path]) => path),
      ['spec.affinity'],
    );
  });

  test('has rules that say what must be, in one line', () => {
    const rules = all.flatMap(([, node]) => node['x-kubernetes-validations'] ?? []);
    assert.ok(rules.length > 15, `${rules.length} rules`);
    for (const { message, rule } of rules) {
      assert.match(message, /^must [^\n]{5,}[^.\n]$/);
      assert.doesNotMatch(rule, /\n/);
    }
  });

  test('has the names, bounds, defaults and words of config.json in the groups that both have', () => {
    const config = jsonSchema().properties as Record<string, SchemaNode>;
    const own = structuralSchema(specSchema).properties!;
    const differing: string[] = [];
    compareGroups(own['retry']!, config['retry']!, 'retry', differing);
    compareGroups(own['resend']!, config['resend']!, 'resend', differing);
    compareGroups(own['listener']!, config['listener']!, 'listener', differing);
    compareGroups(own['forwardProviders']!.items!, config['forwardProviders']!.items!, 'provider', differing);
    // What is said differently: where secrets and certificates come from, what follows from that, and words in CamelCase.
    assert.deepEqual(differing.sort(), [
      'listener.auth.accounts',
      'listener.bareNewlines',
      'listener.tls.certificateFile',
      'listener.tls.keyFile',
      'provider.name',
      'provider.password',
      'provider.passwordFile',
      'provider.tls.caFile',
      'provider.tls.insecureSkipVerify',
      'provider.username',
      'provider.usernameFile',
    ]);
  });

  test('is one value, however often it is made', () => {
    assert.deepEqual(customResourceDefinition(), customResourceDefinition());
  });
});

function isBounded(node: CrdNode): boolean {
  if (node['x-kubernetes-int-or-string']) return node.pattern !== undefined;
  if (node.additionalProperties) return node.maxProperties !== undefined;
  if (node.type === 'array') return node.maxItems !== undefined;
  if (node.type === 'string')
    return node.maxLength !== undefined || node.enum !== undefined || boundedPattern(node);
  if (node.type !== 'integer' && node.type !== 'number') return true;
  return node.minimum !== undefined && node.maximum !== undefined && node.format !== undefined;
}

/** A pattern without open repetitions bounds the length by itself. */
function boundedPattern({ pattern }: CrdNode): boolean {
  return pattern !== undefined && !/[*+]/.test(pattern.replaceAll(/\[[^\]]*\]/g, 'x'));
}

function compareGroups(own: CrdNode, config: SchemaNode, path: string, differing: string[]): void {
  for (const [key, theirs] of Object.entries(config.properties ?? {})) {
    const ours = own.properties?.[key];
    const here = `${path}.${key}`;
    if (ours === undefined) differing.push(here);
    else if (theirs.properties) compareGroups(ours, theirs, here, differing);
    else if (!same(ours, theirs)) differing.push(here);
  }
}

function same(ours: CrdNode, theirs: SchemaNode): boolean {
  const whole = (value: number | undefined, round: (value: number) => number) =>
    value === undefined ? undefined : round(value);
  return (
    ours.description === theirs.description &&
    JSON.stringify(ours.default) === JSON.stringify(theirs.default) &&
    JSON.stringify(ours.enum) === JSON.stringify(theirs.enum) &&
    ours.minimum === whole(theirs.minimum, Math.floor) &&
    ours.maximum === whole(theirs.maximum, Math.ceil)
  );
}

describe('a structural schema', () => {
  test('has nothing that the API server does not take', () => {
    const text = JSON.stringify(customResourceDefinition());
    assert.doesNotMatch(text, /"(\$schema|\$ref|\$defs|propertyNames|const|exclusiveM\w+|oneOf|allOf)":/);
    assert.doesNotMatch(text, /"additionalProperties":(false|true|\{\})/);
  });

  test('is refused where zod says something that cannot be said, with the place', () => {
    const unsaid = z.object({ deep: z.object({ word: z.number().gt(3) }) });
    assert.throws(() => structuralSchema(unsaid), /schema\.deep\.word: exclusiveMinimum has no place/);
    assert.throws(
      () => structuralSchema(z.object({ a: z.union([z.string(), z.boolean()]) })),
      /schema\.a: several types have no place/,
    );
  });

  test('says a bound with a fraction as a rule too, since the API server prints whole ones', () => {
    const made = structuralSchema(z.number().min(0.5).max(2));
    assert.deepEqual(made, {
      type: 'number',
      format: 'double',
      minimum: 0,
      maximum: 2,
      'x-kubernetes-validations': [
        { rule: 'self >= 0.5 && self <= 2.0', message: 'must be a number from 0.5 to 2' },
      ],
    });
  });

  test('fills in a default on which rules are tried, and leaves others alone', () => {
    const inner = z.object({ n: z.int().min(0).max(9).default(1) });
    const ruled = inner.meta({ 'x-kubernetes-validations': [{ rule: 'self.n > 0', message: 'must be' }] });
    const made = structuralSchema(z.object({ plain: inner.prefault({}), ruled: ruled.prefault({}) }));
    assert.deepEqual(made.properties?.['plain']?.default, {});
    assert.deepEqual(made.properties?.['ruled']?.default, { n: 1 });
  });
});

describe('the reference page', () => {
  const page = referencePage();

  test('has a row for every field', () => {
    for (const [path] of all) {
      if (path.includes('{}') || path.endsWith('[]') || !path.includes('.')) continue;
      assert.ok(page.includes(`| \`${path}\` |`), path);
    }
  });

  test('has every condition, reason and event', () => {
    for (const type of Object.keys(conditionTypes)) assert.match(page, new RegExp(`^### ${type}$`, 'm'));
    const reasons = Object.values(conditionReasons).flatMap(group => Object.keys(group));
    for (const reason of [...reasons, ...Object.keys(eventReasons)]) {
      assert.match(reason, /^[A-Z][A-Za-z]+$/);
      assert.ok(page.includes(`| \`${reason}\` |`), reason);
    }
  });
});
