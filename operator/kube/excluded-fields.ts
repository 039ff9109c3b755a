/**
 * What to take away from a live object before an apply can succeed. Server-side apply leaves a field alone that
 * another manager set, also where validation does not let it stand beside a field of ours (a Deployment's
 * `rollingUpdate` beside `type: Recreate`): the apply is then refused for ever. Pure; it never names a field that
 * the server did not.
 */
import { ApiError } from './api-error.ts';
import type { KubeObject } from './object.ts';

type Fields = Record<string, unknown>;

/**
 * A JSON merge patch (RFC 7396) that removes each field the server called forbidden (cause FieldValueForbidden)
 * and sets those beside it to ours. A field inside a list replaces that list by ours, as a merge patch knows
 * lists only whole. Undefined when `error` is no such refusal, or names nothing beside fields of ours.
 */
export function withoutExcluded(wanted: KubeObject, error: unknown): Fields | undefined {
  if (!(error instanceof ApiError) || error.code !== 422) return undefined;
  const patch: Fields = {};
  for (const { reason, field } of error.details?.causes ?? []) {
    if (reason === 'FieldValueForbidden' && field) exclude(patch, wanted as unknown as Fields, field);
  }
  return Object.keys(patch).length > 0 ? patch : undefined;
}

/** Adds to `patch` what removes `field`, a path as the API server writes it: `spec.containers[0].env`. */
function exclude(patch: Fields, wanted: Fields, field: string): void {
  const inList = field.indexOf('[');
  const path = (inList < 0 ? field : field.slice(0, inList)).split('.');
  const leaf = path.pop();
  if (!leaf) return;
  const ours = path.reduce<unknown>((value, name) => asFields(value)?.[name], wanted);
  const beside = asFields(ours);
  // Without a field of ours beside it, it is nothing that an apply could have met. A field that is ours itself is
  // forbidden to change (a claim's spec): that is another refusal, and taking it away would be no cure.
  if (!beside || (inList < 0 ? leaf in beside : !Array.isArray(beside[leaf]))) return;
  let place = patch;
  for (const name of path) {
    place[name] ??= {};
    place = place[name] as Fields;
  }
  Object.assign(place, inList < 0 ? { ...beside, [leaf]: null } : { [leaf]: beside[leaf] });
}

function asFields(value: unknown): Fields | undefined {
  return value && typeof value === 'object' && !Array.isArray(value) ? (value as Fields) : undefined;
}
