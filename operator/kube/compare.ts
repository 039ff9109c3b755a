/**
 * Whether a live object has all that a manifest wants, whatever else it has: fields, map keys and list items of
 * others are none of our business, but in what has one owner as a whole (a selector, a rule of a NetworkPolicy), where
 * all is ours. What the API server rewrites (quantities, empty values) or fills in is no difference. Pure.
 */
import { isDeepStrictEqual } from 'node:util';
import { type FieldPlace, isAtomicMap, listKeys } from './merge-rules.ts';
import type { KubeObject } from './object.ts';
import { sameQuantity } from './quantity.ts';

/** Part of a list key that the API server fills in. */
const keyDefaults: Record<string, string> = { protocol: 'TCP' };

/**
 * Fields that Go leaves out of JSON when they are false or 0, so that absent and zero are the same. Everywhere
 * else `false` is a statement (automountServiceAccountToken) and its absence a difference.
 */
const zeroIsAbsent = new Set([
  'hostNetwork',
  'hostPID',
  'hostIPC',
  'readOnly',
  'stdin',
  'stdinOnce',
  'tty',
  'paused',
  'publishNotReadyAddresses',
  'minReadySeconds',
  'initialDelaySeconds',
  'hostPort',
  'nodePort',
]);
/** Plain maps, left out when empty. Elsewhere `{}` is a choice (emptyDir, namespaceSelector) and kept. */
const emptyIsAbsent = new Set([
  'labels',
  'annotations',
  'nodeSelector',
  'limits',
  'requests',
  'matchLabels',
  'data',
  'binaryData',
]);

/** Maps of quantities; the two single fields are those of emptyDir and of resourceFieldRef. */
const quantityMaps = new Set(['limits', 'requests', 'capacity', 'hard']);
const quantityFields = new Set(['sizeLimit', 'divisor']);

/** The API server fills or refuses these itself; a manifest that has them says nothing. */
const serverFields = new Set(['creationTimestamp', 'managedFields', 'resourceVersion', 'uid', 'generation']);

/**
 * What the API server fills in within what has one owner, by the last two names of its path (SetDefaults_… in
 * Kubernetes' pkg/apis/…/v1/defaults.go): in a port of a NetworkPolicy, a fieldRef and a volumeClaimTemplate.
 */
const filledIn: Record<string, unknown> = {
  'ports.protocol': 'TCP',
  'fieldRef.apiVersion': 'v1',
  'spec.volumeMode': 'Filesystem',
  'volumeClaimTemplates.status': { phase: 'Pending' },
};

/** One wanted thing that the live object has not, or has in another way, or one that it must not have. */
export interface FieldDifference {
  /** `spec.template.spec.containers[app].image` */
  path: string;
  /** undefined: nothing, within what is ours as a whole. */
  wanted: unknown;
  live: unknown;
}

/** Where in the object a comparison is, and what it has found so far. */
interface Place extends FieldPlace {
  /** Within what has one owner. */
  readonly whole: boolean;
  readonly found: FieldDifference[];
}

/** All wanted things that `live` does not have, and what it has in the midst of them. `status` is not looked at. */
export function differences(wanted: KubeObject, live: KubeObject): FieldDifference[] {
  const {
    apiVersion: _version,
    kind,
    status: _status,
    ...rest
  } = wanted as KubeObject & { status?: unknown };
  const place: Place = { kind: kind ?? live.kind ?? '', path: [], whole: false, found: [] };
  differMap(rest, live as unknown as Record<string, unknown>, place);
  return place.found;
}

function differ(wanted: unknown, live: unknown, place: Place): void {
  if (wanted === live || isAbsent(wanted)) return;
  if (isAbsent(live)) {
    if (!isNothing(wanted, place)) note(wanted, live, place);
  } else if (Array.isArray(wanted) && Array.isArray(live)) differList(wanted, live, place);
  else if (isMap(wanted) && isMap(live)) differMap(wanted, live, place);
  else if (!sameValue(wanted, live, place)) note(wanted, live, place);
}

function isAbsent(value: unknown): value is null | undefined {
  return value === null || value === undefined;
}

function note(wanted: unknown, live: unknown, place: Place): void {
  place.found.push({ path: place.path.join('.').replaceAll('.[', '['), wanted, live });
}

function inside(place: Place, step: string): Place {
  return { ...place, path: [...place.path, step] };
}

function isMap(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function differMap(wanted: Record<string, unknown>, live: Record<string, unknown>, place: Place): void {
  const inMetadata = place.path.length === 1 && place.path[0] === 'metadata';
  const here = { ...place, whole: place.whole || isAtomicMap(place) };
  for (const [name, value] of Object.entries(wanted)) {
    if (inMetadata && serverFields.has(name)) continue;
    differ(value, live[name], inside(here, name));
  }
  if (here.whole) noteAdditions(wanted, live, here);
}

function noteAdditions(wanted: Record<string, unknown>, live: Record<string, unknown>, place: Place): void {
  for (const [name, value] of Object.entries(live)) {
    if (!isAbsent(wanted[name]) || isAbsent(value)) continue;
    const here = inside(place, name);
    // A label of a selector may well be empty.
    if (value === '' || !(isNothing(value, here) || isFilledIn(value, here))) note(undefined, value, here);
  }
}

function isFilledIn(value: unknown, { path }: Place): boolean {
  const names = path.filter(step => !step.startsWith('[')).slice(-2);
  return isDeepStrictEqual(filledIn[names.join('.')], value);
}

function differList(wanted: unknown[], live: unknown[], place: Place): void {
  const keys = place.whole ? undefined : listKeys(place);
  if (!keys) {
    differAtomic(wanted, live, place);
    return;
  }
  const byKey = new Map(live.map(item => [itemKey(item, keys), item]));
  for (const item of wanted) {
    const key = itemKey(item, keys);
    const here = inside(place, `[${key}]`);
    if (byKey.has(key)) differ(item, byKey.get(key), here);
    else note(item, undefined, here);
  }
}

/** The whole list is ours: an item more or less, or another order, is a difference. */
function differAtomic(wanted: unknown[], live: unknown[], place: Place): void {
  const here = { ...place, whole: true };
  if (wanted.length === live.length) {
    for (const [index, item] of wanted.entries()) differ(item, live[index], inside(here, `[${index}]`));
  } else note(wanted, live, place);
}

/** No key fields: a set of scalars, whose items identify themselves. */
function itemKey(item: unknown, keys: readonly string[]): string {
  if (keys.length === 0) return String(item);
  const fields = (item ?? {}) as Record<string, unknown>;
  return keys.map(key => String(fields[key] ?? keyDefaults[key] ?? '')).join('/');
}

function isNothing(wanted: unknown, { path }: Place): boolean {
  const name = path.at(-1) ?? '';
  if (wanted === '') return true;
  if (Array.isArray(wanted)) return wanted.length === 0;
  if (wanted === false || wanted === 0) return zeroIsAbsent.has(name);
  if (typeof wanted !== 'object' || wanted === null) return false;
  return emptyIsAbsent.has(name) && Object.values(wanted).every(isAbsent);
}

function sameValue(wanted: unknown, live: unknown, { path }: Place): boolean {
  const isQuantity = quantityMaps.has(path.at(-2) ?? '') || quantityFields.has(path.at(-1) ?? '');
  return isQuantity && sameQuantity(wanted, live);
}
