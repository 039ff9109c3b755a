/**
 * Mistakes in config.json, in words: each names the key, what stands there
 * and what is allowed. Values of secrets are never shown, nor user names,
 * nor the part of a text before an @.
 */
import * as z from 'zod';
import { nearest } from './nearest.ts';
import { allowedWords } from './schema-fields.ts';

/** Thrown when a configuration cannot be used; `problems` has one sentence per mistake. */
export class ConfigError extends Error {
  readonly problems: readonly string[];
  /** What is odd in the file beside them, and may be why: a misspelt key. */
  readonly warnings: readonly string[];
  constructor(
    problems: readonly string[],
    { cause, warnings = [] }: { cause?: unknown; warnings?: readonly string[] } = {},
  ) {
    super(problems.join('\n'), { cause });
    this.name = 'ConfigError';
    this.problems = problems;
    this.warnings = warnings;
  }
}

type Path = readonly PropertyKey[];

/** `['forwardProviders', 1, 'port']` → `forwardProviders[1].port`. */
export function keyPath(path: Path): string {
  let text = '';
  for (const step of path) {
    if (typeof step === 'number') text += `[${step}]`;
    else text += text === '' ? String(step) : `.${String(step)}`;
  }
  return text;
}

/** One sentence per key that zod found wrong, in the order of the schema. */
export function problemsOf(schema: z.ZodType, input: unknown, error: z.ZodError): string[] {
  const byPath = new Map<string, string>();
  for (const issue of error.issues) {
    for (const [path, sentence] of sentences(schema, input, issue)) {
      if (!byPath.has(path)) byPath.set(path, sentence);
    }
  }
  return [...byPath.values()];
}

function sentences(
  schema: z.ZodType,
  input: unknown,
  issue: z.core.$ZodIssue,
): [path: string, sentence: string][] {
  if (issue.code === 'unrecognized_keys') return issue.keys.map(key => unknownKey(schema, issue.path, key));
  const path = keyPath(issue.path);
  if (issue.code === 'custom' && issue.message.startsWith('must '))
    return [[path, `${path}: ${issue.message}`]];
  const allowed = allowedIn(schemaAt(schema, issue.path));
  const value = valueAt(input, issue.path);
  if (path === '') return [[path, `the file must be ${allowed}, not ${kind(value)}`]];
  if (value === undefined) return [[path, `${path}: must be given: ${allowed}`]];
  return [[path, `${path}: ${shown(issue.path, value)}must be ${allowed}`]];
}

function unknownKey(schema: z.ZodType, path: Path, key: string): [path: string, sentence: string] {
  const full = keyPath([...path, key]);
  const near = nearestKnown(schema, path, key);
  const known = knownKeys(schemaAt(schema, path)).join(', ');
  const hint = near === undefined ? `must be one of ${known}` : `did you mean ${near}?`;
  return [full, `${full}: is not a known key: ${hint}`];
}

/** The key of the group at `path` that an unknown one there was probably meant to be. */
export function nearestKnown(schema: z.ZodType, path: Path, key: string): string | undefined {
  return nearest(key, knownKeys(schemaAt(schema, path)));
}

/** The value and a space, or nothing where it must not be shown. */
function shown(path: Path, value: unknown): string {
  const hidden = path.some(step => /username|pas+w|secret|pwd/i.test(String(step)));
  if (hidden) return '';
  if (typeof value === 'string') return `${JSON.stringify(shortened(value))} `;
  if (value !== null && typeof value === 'object') return `${kind(value)} `;
  return `${String(value)} `;
}

/** Someone may have put `smtp://user:password@host` where a host belongs. */
function shortened(value: string): string {
  const visible = value.replace(/^.*@/su, '…@');
  return visible.length > 60 ? `${visible.slice(0, 60)}…` : visible;
}

function kind(value: unknown): string {
  if (value === null) return 'null';
  if (Array.isArray(value)) return 'a list';
  if (typeof value === 'object') return 'an object';
  return typeof value === 'string' ? 'text' : `a ${typeof value}`;
}

/** What is allowed at a place in the schema, as the end of "must be …". */
export function allowedIn(schema: z.ZodType | undefined): string {
  const inner = schema === undefined ? undefined : unwrapped(schema);
  if (inner === undefined) return 'what the reference says';
  const words = allowedWords.get(inner)?.allowed;
  if (words !== undefined) return words;
  return inner instanceof z.ZodArray ? 'a list' : 'an object';
}

/** The keys of an object schema; none for anything else. */
export function knownKeys(schema: z.ZodType | undefined): readonly string[] {
  const inner = schema === undefined ? undefined : unwrapped(schema);
  return inner instanceof z.ZodObject ? Object.keys(inner.shape) : [];
}

/** Without default, prefault and optional around it. */
export function unwrapped(schema: z.ZodType): z.ZodType {
  let inner: unknown = schema;
  while (inner instanceof z.ZodDefault || inner instanceof z.ZodPrefault || inner instanceof z.ZodOptional) {
    inner = inner.def.innerType;
  }
  return inner as z.ZodType;
}

/** The schema of what stands at `path`; undefined where there is none. */
export function schemaAt(schema: z.ZodType, path: Path): z.ZodType | undefined {
  let at: z.ZodType | undefined = schema;
  for (const step of path) {
    const inner: z.ZodType | undefined = at === undefined ? undefined : unwrapped(at);
    if (inner instanceof z.ZodObject) at = inner.shape[String(step)] as z.ZodType | undefined;
    else if (inner instanceof z.ZodArray) at = inner.element as z.ZodType;
    else return undefined;
  }
  return at;
}

/** What stands at `path`. */
export function valueAt(input: unknown, path: Path): unknown {
  let at: unknown = input;
  for (const step of path) {
    if (at === null || typeof at !== 'object') return undefined;
    at = (at as Record<PropertyKey, unknown>)[step];
  }
  return at;
}
