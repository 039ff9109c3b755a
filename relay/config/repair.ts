/**
 * A file with wrong values made to pass the schema for a moment, so that what
 * its other values say together can be looked at in the same go. The result
 * is for finding mistakes alone; nothing ever runs by it.
 */
import * as z from 'zod';
import { keyPath, nearestKnown, schemaAt, unwrapped, valueAt } from './problems.ts';

export interface Repaired<Document> {
  readonly document: Document;
  /** Whether the value at that path is not the one that was written, or a misspelt key may have been meant. */
  readonly isMadeUp: (path: string) => boolean;
}

/** A wrong value in a wrong group in a wrong list: each is mended after the one around it. */
const MOST_ROUNDS = 8;

/** undefined when it cannot be made to pass. `file` is not changed. */
export function repair<Schema extends z.ZodType>(
  schema: Schema,
  file: unknown,
): Repaired<z.output<Schema>> | undefined {
  const draft: unknown = structuredClone(file);
  const madeUp = new Set<string>();
  for (let round = 0; round < MOST_ROUNDS; round += 1) {
    const parsed = schema.safeParse(draft);
    if (parsed.success) return { document: parsed.data, isMadeUp: path => isWithin(path, madeUp) };
    for (const issue of parsed.error.issues) mend({ schema, draft, madeUp }, issue);
  }
  return undefined;
}

interface Mending {
  readonly schema: z.ZodType;
  readonly draft: unknown;
  readonly madeUp: Set<string>;
}

type Path = readonly PropertyKey[];
type Group = Record<PropertyKey, unknown>;

function mend({ schema, draft, madeUp }: Mending, issue: z.core.$ZodIssue): void {
  if (issue.code === 'unrecognized_keys') {
    for (const key of issue.keys) {
      put(draft, [...issue.path, key], undefined);
      const meant = nearestKnown(schema, issue.path, key);
      if (meant !== undefined) madeUp.add(keyPath([...issue.path, meant]));
    }
    return;
  }
  // What was mended and is wrong still goes with all around it.
  let path: Path = issue.path;
  while (path.length > 0 && madeUp.has(keyPath(path))) path = path.slice(0, -1);
  madeUp.add(keyPath(path));
  put(draft, path, standIn(schemaAt(schema, path)));
}

function put(draft: unknown, path: Path, value: unknown): void {
  const last = path.at(-1);
  const group = valueAt(draft, path.slice(0, -1));
  if (last === undefined || group === null || typeof group !== 'object') return;
  if (value === undefined) delete (group as Group)[last];
  else (group as Group)[last] = value;
}

/** A value that passes, or undefined where none is needed. The text is a host, a network, a name and a path. */
function standIn(schema: z.ZodType | undefined): unknown {
  if (schema === undefined || schema.safeParse(undefined).success) return undefined;
  const inner = unwrapped(schema);
  if (inner instanceof z.ZodObject) return {};
  if (inner instanceof z.ZodArray) return [];
  if (inner instanceof z.ZodNumber) return inner.minValue ?? 0;
  if (inner instanceof z.ZodBoolean) return false;
  if (inner instanceof z.ZodEnum) return inner.options[0];
  return '127.0.0.1';
}

function isWithin(path: string, groups: ReadonlySet<string>): boolean {
  return [...groups].some(
    group => path === group || path.startsWith(`${group}.`) || path.startsWith(`${group}[`),
  );
}
