import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { parse } from 'yaml';
import { chart, renderText } from './helm.ts';

/** What is refused, and what helm says then. */
const refused: readonly (readonly [set: string, says: RegExp])[] = [
  ['replicas=-1', /'\/replicas': minimum: got -1, want 0/],
  ['replicas=two', /'\/replicas': got string, want integer/],
  ['logLevel=loud', /'\/logLevel': value must be one of 'debug', 'info', 'warn', 'error'/],
  ['watchNamespaces=apps', /'\/watchNamespaces': got string, want array/],
  ['watchNamespaces={Apps}', /'\/watchNamespaces\/0': 'Apps' does not match pattern/],
  ['watchNamespaces={apps,apps}', /'\/watchNamespaces': items at 0 and 1 are equal/],
  ['image.repository=', /'\/image\/repository': '' does not match pattern/],
  ['image.repository=mail:1', /'\/image\/repository': 'mail:1' does not match pattern/],
  ['image.tag=a b', /'\/image\/tag': 'a b' does not match pattern/],
  ['image.digest=abc', /'\/image\/digest': 'abc' does not match pattern/],
  [
    'image.pullPolicy=Sometimes',
    /'\/image\/pullPolicy': value must be one of 'Always', 'IfNotPresent', 'Never'/,
  ],
  ['image.name=x', /'\/image': additional properties 'name' not allowed/],
  ['replicaCount=2', /additional properties 'replicaCount' not allowed/],
  // null takes a default away; what is then missing would make an operator that does not start.
  ['logLevel=null', /missing property 'logLevel'/],
  ['metrics=null', /missing property 'metrics'/],
  ['networkPolicy.apiServerPorts=null', /'\/networkPolicy': missing property 'apiServerPorts'/],
  ['extraEnv[0].name=POD_NAMESPACE', /'\/extraEnv\/0\/name': 'not' failed/],
  ['workers=0', /'\/workers': minimum: got 0, want 1/],
  ['runbookUrl=docs', /'\/runbookUrl': 'docs' does not match pattern '\^https\?:\/\/'/],
  ['serviceMonitor.interval=30', /'\/serviceMonitor\/interval': got number, want string/],
  [
    'networkPolicy.apiServerPorts={70000}',
    /'\/networkPolicy\/apiServerPorts\/0': maximum: got 70,?000, want 65,?535/,
  ],
  ['commonLabels.app\\.kubernetes\\.io/name=x', /invalid propertyName 'app\.kubernetes\.io\/name'/],
  [
    'serviceAccount.create=false',
    /serviceAccount\.name must be the name of an existing ServiceAccount when serviceAccount\.create is false/,
  ],
  [
    'serviceMonitor.enabled=true,metrics.service.enabled=false',
    /serviceMonitor\.enabled needs metrics\.service\.enabled/,
  ],
];

type Schema = { readonly description?: string; readonly properties?: Readonly<Record<string, Schema>> };

/** Paths at which values and schema differ, or the schema says nothing. */
function gaps(values: unknown, schema: Schema, path: string): readonly string[] {
  const here = path !== '' && (schema.description ?? '') === '' ? [`${path} is not described`] : [];
  if (schema.properties === undefined) return here;
  const given = values as Readonly<Record<string, unknown>>;
  const known = Object.entries(schema.properties);
  return [
    ...here,
    ...Object.keys(given)
      .filter(key => !(key in schema.properties!))
      .map(key => `${path}.${key} is not in the schema`),
    ...known.flatMap(([key, part]) =>
      optional.has(`${path}.${key}`)
        ? []
        : key in given
          ? gaps(given[key], part, `${path}.${key}`)
          : [`${path}.${key} is not in values.yaml`],
    ),
  ];
}

/** Without a default. */
const optional = new Set(['.global', '.resources.claims']);

describe('the values', () => {
  for (const [set, says] of refused) {
    test(`"${set}" is refused with a message that names it`, async () => {
      await assert.rejects(renderText(['--set', set]), says);
    });
  }

  test('are all in values.yaml with a default, and all described in the schema', () => {
    const values = parse(readFileSync(join(chart, 'values.yaml'), 'utf8'));
    const schema = JSON.parse(readFileSync(join(chart, 'values.schema.json'), 'utf8')) as Schema;
    assert.deepEqual(gaps(values, schema, ''), []);
  });
});
