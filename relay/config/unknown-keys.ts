/**
 * Keys that nobody knows at the top of config.json and in the original
 * program's own groups, and keys that are known but do nothing here: all
 * warnings, since files written for other versions must go on working.
 * Unknown keys in this program's groups are errors, found by the schema.
 */
import type { z } from 'zod';
import { nearest } from './nearest.ts';
import { knownKeys } from './problems.ts';
import type { Json, JsonObject } from './read.ts';
import { configSchema, ignoredKeys } from './schema.ts';

/** One sentence each, in the order of the file; none of what is no file of ours at all. */
export function unknownKeyWarnings(file: Json): string[] {
  if (!isObject(file)) return [];
  const shape = configSchema.shape;
  return [
    ...among(file, configSchema, ''),
    ...among(file['security'], shape.security, 'security.'),
    ...among(file['rateLimits'], shape.rateLimits, 'rateLimits.'),
    ...ignoredWarnings(file),
  ];
}

function among(group: unknown, schema: z.ZodType, prefix: string): string[] {
  if (group === null || typeof group !== 'object') return [];
  const known = knownKeys(schema);
  return Object.keys(group)
    .filter(key => !known.includes(key))
    .map(key => {
      const near = nearest(key, known);
      const hint = near === undefined ? '' : `; did you mean ${prefix}${near}?`;
      return `${prefix}${key}: is not a known key and is ignored${hint}`;
    });
}

function ignoredWarnings(file: JsonObject): string[] {
  const warnings = Object.entries(ignoredKeys)
    .filter(([key]) => isOn(file[key]))
    .map(([key, reason]) => `${key}: has no effect: ${reason}`);
  const security = file['security'] as JsonObject | undefined;
  if (security?.['logAllEmails'] === true) {
    warnings.push('security.logAllEmails: has no effect: every attempt is logged, message content never');
  }
  return warnings;
}

/** A group that says `enabled: false` asks for nothing. */
function isOn(value: unknown): boolean {
  if (value === undefined || value === null || value === false) return false;
  return typeof value !== 'object' || (value as { enabled?: unknown }).enabled !== false;
}

function isObject(value: Json): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
