/** The Kubernetes API conventions, held by every field of a MailRelay (sig-architecture/api-conventions.md). */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { CrdNode } from '../../../operator/api/crd-schema.ts';
import { allFields } from './crd-fields.ts';

const byPath = new Map(allFields);
const nameOf = (path: string): string => /(\w+)(?:\[\]|\{\})*$/.exec(path)?.[1] ?? '';

function node(path: string): CrdNode {
  const found = byPath.get(path);
  assert.ok(found, path);
  return found;
}

/** Paths of which `breaks` is true. */
function breaking(breaks: (name: string, node: CrdNode) => boolean): string[] {
  return allFields.filter(([path, one]) => breaks(nameOf(path), one)).map(([path]) => path);
}

describe('the API conventions', () => {
  test('time is a whole number with its unit in the name', () => {
    const isNumber = ({ type }: CrdNode): boolean => type === 'integer' || type === 'number';
    const timely =
      /second|minute|hour|timeout|delay|interval|expire|retention|patience|lifetime|duration|period/i;
    const unit = /(Seconds|Milliseconds)$/;
    assert.deepEqual(
      breaking((name, one) => timely.test(name) && isNumber(one) && !unit.test(name)),
      ['spec.forwardProviders[].limits.messagesPerSecond'], // a rate
    );
    assert.deepEqual(
      breaking((name, one) => unit.test(name) && one.type !== 'integer'),
      [],
    );
    const phrase = /timeout|delay|interval|duration|period/i;
    assert.deepEqual(
      breaking((name, one) => one.type === 'string' && phrase.test(name)),
      [],
      'no texts such as 5m',
    );
    assert.ok(breaking(name => unit.test(name)).length > 15);
  });

  test('a choice is among words in CamelCase', () => {
    const choices = allFields.filter(([, { enum: words }]) => words !== undefined);
    assert.ok(choices.length > 15, `${choices.length} choices`);
    // Versions of TLS have their own names.
    const odd = choices.filter(([, { enum: words = [] }]) =>
      words.some(word => !/^[A-Z][A-Za-z]*$|^TLSv1\.\d$/.test(String(word))),
    );
    assert.deepEqual(
      odd.map(([path]) => path),
      [],
    );
  });

  test('nothing outside the namespace of the MailRelay can be named', () => {
    assert.deepEqual(
      breaking(name => name === 'namespace' || name === 'namespaces'),
      [],
    );
    const references = allFields.filter(([path]) => /(Ref|^spec\.imagePullSecrets\[\])$/.test(path));
    assert.ok(references.length >= 5, `${references.length} references`);
    for (const [path, { properties = {} }] of references) {
      const keys = Object.keys(properties).filter(key => key !== 'name' && !/^(key|\w+Key)$/.test(key));
      assert.deepEqual(keys, [], path);
    }
  });

  test('conditions are those of metav1, one of each type, and there is no phase', () => {
    const conditions = node('status.conditions');
    assert.deepEqual(
      [conditions['x-kubernetes-list-type'], conditions['x-kubernetes-list-map-keys']],
      ['map', ['type']],
    );
    const { properties = {}, required = [] } = node('status.conditions[]');
    assert.deepEqual(Object.keys(properties).sort(), [
      'lastTransitionTime',
      'message',
      'observedGeneration',
      'reason',
      'status',
      'type',
    ]);
    assert.deepEqual([...required].sort(), ['lastTransitionTime', 'message', 'reason', 'status', 'type']);
    assert.deepEqual(
      breaking(name => name === 'phase'),
      [],
    );
  });

  test('providers are merged by name, and have the names of the source document', () => {
    const list = node('spec.forwardProviders');
    assert.deepEqual(
      [list['x-kubernetes-list-type'], list['x-kubernetes-list-map-keys'], list.maxItems],
      ['map', ['name'], 32],
    );
    assert.equal(node('spec.forwardSMTP').default, true);
    for (const [key, type] of [
      ['host', 'string'],
      ['port', 'integer'],
      ['ssl', 'boolean'],
      ['priority', 'integer'],
    ] as const) {
      assert.equal(node(`spec.forwardProviders[].${key}`).type, type);
    }
  });
});
