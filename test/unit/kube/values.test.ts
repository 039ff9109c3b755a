import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { backoffDelay } from '../../../operator/kube/backoff.ts';
import { removeCondition, setCondition } from '../../../operator/kube/conditions.ts';
import { toConnectionError } from '../../../operator/kube/connection-fault.ts';
import { jsonLines } from '../../../operator/kube/json-lines.ts';
import { mergePatch } from '../../../operator/kube/merge-patch.ts';
import { isOlder, keyOf } from '../../../operator/kube/object.ts';
import { parseQuantity, sameQuantity } from '../../../operator/kube/quantity.ts';
import { collectionPath, defineResource, metricName, objectPath } from '../../../operator/kube/resource.ts';

const maps = defineResource({ apiVersion: 'v1', kind: 'ConfigMap', plural: 'configmaps', namespaced: true });
const roles = defineResource({
  apiVersion: 'rbac.authorization.k8s.io/v1',
  kind: 'ClusterRole',
  plural: 'clusterroles',
  namespaced: false,
});

describe('paths of the API', () => {
  test('differ between the core and named groups, namespaces and the cluster', () => {
    assert.equal(collectionPath(maps), '/api/v1/configmaps');
    assert.equal(collectionPath(maps, 'a'), '/api/v1/namespaces/a/configmaps');
    assert.equal(objectPath(maps, { namespace: 'a', name: 'b' }), '/api/v1/namespaces/a/configmaps/b');
    assert.equal(
      objectPath(roles, { name: 'system:node' }, 'status'),
      '/apis/rbac.authorization.k8s.io/v1/clusterroles/system%3Anode/status',
    );
    assert.equal(metricName(roles), 'rbac.authorization.k8s.io/clusterroles');
  });

  test('are refused for names that would lead elsewhere', () => {
    for (const name of ['', '.', '..', 'a/b', 'a%2fb']) {
      assert.throws(() => objectPath(maps, { namespace: 'a', name }), RangeError, name);
    }
    assert.throws(() => objectPath(maps, { name: 'b' }), /namespace must be given/);
  });
});

describe('keys and versions of objects', () => {
  test('a key is the name, after the namespace where there is one', () => {
    assert.equal(keyOf({ name: 'a' }), 'a');
    assert.equal(keyOf({ namespace: 'n', name: 'a' }), 'n/a');
  });
  test('versions are compared as numbers of any length, anything else is never older', () => {
    assert.ok(isOlder('9', '10'));
    assert.ok(isOlder('99999999999999999998', '99999999999999999999'));
    assert.ok(!isOlder('10', '10') && !isOlder('10', '9') && !isOlder('a', 'b') && !isOlder(undefined, '1'));
  });
});

describe('quantities', () => {
  const equal: [string | number, string | number][] = [
    ['1', '1000m'],
    ['1Gi', '1024Mi'],
    ['0.5', '500m'],
    ['2e3', '2k'],
    ['1E', '1000P'],
    [1, '1'],
    ['1.5Gi', '1536Mi'],
    ['-1', '-1000m'],
    ['100n', '0.1u'],
  ];
  for (const [a, b] of equal) test(`${a} is ${b}`, () => assert.ok(sameQuantity(a, b)));
  for (const [a, b] of [
    ['1', '1001m'],
    ['1G', '1Gi'],
    ['x', 'x'],
    ['', '0'],
  ] as const) {
    test(`${a} is not ${b}`, () => assert.ok(!sameQuantity(a, b)));
  }
  test('whole numbers are exact at any size', () => {
    fc.assert(
      fc.property(fc.bigInt({ min: 0n, max: 2n ** 80n }), n => parseQuantity(`${n}`) === n * 10n ** 18n),
    );
  });
});

describe('conditions', () => {
  const ready = {
    type: 'Ready',
    status: 'True',
    reason: 'Ok',
    message: 'fine',
    observedGeneration: 1,
  } as const;
  const at = (second: number) => Date.UTC(2026, 0, 1, 0, 0, second);

  test('move their transition time only with the status', () => {
    const first = setCondition([], ready, at(1));
    const second = setCondition(first, { ...ready, reason: 'StillOk', observedGeneration: 2 }, at(2));
    assert.equal(second[0]?.lastTransitionTime, '2026-01-01T00:00:01Z');
    assert.equal(second[0]?.reason, 'StillOk');
    const third = setCondition(second, { ...ready, status: 'False' }, at(3));
    assert.equal(third[0]?.lastTransitionTime, '2026-01-01T00:00:03Z');
  });

  test('are sorted by type, and stay as they are when one is taken out', () => {
    const list = setCondition(
      setCondition([], { ...ready, type: 'Z' }, at(1)),
      { ...ready, type: 'A' },
      at(1),
    );
    assert.deepEqual(
      list.map(({ type }) => type),
      ['A', 'Z'],
    );
    assert.deepEqual(removeCondition(list, 'A'), [list[1]]);
  });
});

describe('a merge patch', () => {
  const json = fc.object({
    maxDepth: 3,
    key: fc.string().filter(name => name !== '__proto__'),
    values: [fc.string(), fc.integer(), fc.boolean()],
  });
  const isObject = (value: unknown): value is Record<string, unknown> =>
    typeof value === 'object' && value !== null && !Array.isArray(value);
  /** RFC 7396 section 2, in its own words. */
  const patched = (target: unknown, patch: unknown): unknown => {
    if (!isObject(patch)) return patch;
    const result = isObject(target) ? { ...target } : {};
    for (const [name, value] of Object.entries(patch)) {
      if (value === null) delete result[name];
      else result[name] = patched(result[name], value);
    }
    return result;
  };

  test('leads from any object to any other', () => {
    fc.assert(
      fc.property(json, json, (from, to) => {
        const patch = mergePatch(from, to);
        assert.deepEqual(
          JSON.parse(JSON.stringify(patched(from, patch ?? {}))),
          JSON.parse(JSON.stringify(to)),
        );
      }),
    );
  });
  test('is undefined between equals', () => {
    fc.assert(fc.property(json, value => mergePatch(value, structuredClone(value)) === undefined));
    assert.equal(mergePatch({}, { a: undefined, b: null }), undefined);
  });
  test('removes what is not wanted and replaces lists whole', () => {
    assert.deepEqual(mergePatch({ a: 1, b: [1, 2], c: { d: 1, e: 2 } }, { b: [1], c: { d: 1 } }), {
      a: null,
      b: [1],
      c: { e: null },
    });
  });
});

describe('a stream of JSON lines', () => {
  const read = async (...chunks: string[]) => {
    async function* source() {
      for (const chunk of chunks) yield Buffer.from(chunk, 'latin1');
    }
    const values: unknown[] = [];
    for await (const value of jsonLines(source())) values.push(value);
    return values;
  };

  test('is the same however its bytes are cut, also inside a character', async () => {
    const bytes = Buffer.from('{"a":"ä€"}\n{"b":2}\n', 'utf8');
    for (let cut = 0; cut <= bytes.length; cut++) {
      const parts = [bytes.subarray(0, cut), bytes.subarray(cut)].map(part => part.toString('latin1'));
      assert.deepEqual(await read(...parts), [{ a: 'ä€' }, { b: 2 }]);
    }
  });
  test('ends in an error when it ends inside a line', () =>
    assert.rejects(read('{"a":1}\n{"b"'), /inside an event/));
  test('ends in an error at what is no object', () => assert.rejects(read('12\n'), { kind: 'protocol' }));
});

describe('pauses and faults', () => {
  test('a pause doubles from the first to the longest and lies in its upper half', () => {
    const pauses = [1, 2, 3, 9, 1_000].map(failures => backoffDelay(failures, [100, 1_000], () => 0));
    assert.deepEqual(pauses, [50, 100, 200, 500, 500]);
    assert.equal(
      backoffDelay(1, [100, 1_000], () => 1),
      100,
    );
  });
  for (const [code, kind] of [
    ['ECONNREFUSED', 'refused'],
    ['ECONNRESET', 'reset'],
    ['UND_ERR_SOCKET', 'reset'],
    ['ENOTFOUND', 'dns'],
    ['DEPTH_ZERO_SELF_SIGNED_CERT', 'tls'],
    ['ERR_TLS_CERT_ALTNAME_INVALID', 'tls'],
    ['UND_ERR_CONNECT_TIMEOUT', 'refused'],
    ['HPE_INVALID_CONSTANT', 'protocol'],
  ]) {
    test(`${code} is called ${kind}`, () =>
      assert.equal(toConnectionError(Object.assign(new Error('x'), { code })).kind, kind));
  }
});
