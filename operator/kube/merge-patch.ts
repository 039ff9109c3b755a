/** JSON merge patches (RFC 7396): the smallest patch that turns one value into another. Pure. */
import { isDeepStrictEqual } from 'node:util';

type Json = Record<string, unknown>;

/** The patch from `from` to `to`, or undefined when they are equal. Lists are replaced whole; undefined = absent. */
export function mergePatch(from: object, to: object): object | undefined {
  const patch: Json = {};
  const before = from as Json;
  const after = to as Json;
  for (const name of new Set([...Object.keys(before), ...Object.keys(after)])) {
    const change = changeOf(before[name], after[name]);
    if (change !== undefined) patch[name] = change;
  }
  return Object.keys(patch).length > 0 ? patch : undefined;
}

/** Undefined = no change; null = the field goes. */
function changeOf(from: unknown, to: unknown): unknown {
  if (to === undefined || to === null) return from === undefined || from === null ? undefined : null;
  if (isMap(from) && isMap(to)) return mergePatch(from, to);
  const plain = withoutUndefined(to);
  return isDeepStrictEqual(from, plain) ? undefined : plain;
}

function isMap(value: unknown): value is Json {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** As it will look after its way through JSON. */
function withoutUndefined(value: unknown): unknown {
  return typeof value === 'object' ? (JSON.parse(JSON.stringify(value)) as unknown) : value;
}
