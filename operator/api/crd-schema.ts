/**
 * JSON Schema as zod writes it → the structural schema that a CRD may hold.
 * Pure. Leaves out what the API server does not take ($schema, $ref,
 * propertyNames, additionalProperties: false: it prunes unknown fields by
 * itself) and says what zod cannot (number formats, int-or-string).
 */
import * as z from 'zod';

/** The part of JSONSchemaProps that our schemas use. */
export interface CrdNode {
  readonly type?: string;
  readonly description?: string;
  readonly default?: unknown;
  readonly enum?: readonly unknown[];
  readonly format?: string;
  readonly pattern?: string;
  readonly minimum?: number;
  readonly maximum?: number;
  readonly minLength?: number;
  readonly maxLength?: number;
  readonly minItems?: number;
  readonly maxItems?: number;
  readonly maxProperties?: number;
  readonly required?: readonly string[];
  readonly properties?: Readonly<Record<string, CrdNode>>;
  readonly additionalProperties?: CrdNode;
  readonly items?: CrdNode;
  readonly anyOf?: readonly { readonly type: string }[];
  readonly 'x-kubernetes-int-or-string'?: true;
  readonly 'x-kubernetes-preserve-unknown-fields'?: true;
  readonly 'x-kubernetes-list-type'?: 'map' | 'atomic' | 'set';
  readonly 'x-kubernetes-list-map-keys'?: readonly string[];
  readonly 'x-kubernetes-validations'?: readonly {
    readonly rule: string;
    readonly message: string;
    readonly fieldPath?: string;
  }[];
}

/** What zod makes, before it is converted. */
type JsonSchema = { readonly [key: string]: unknown };

/** Keys that are taken over as they are, in the order in which they are written. */
const kept = [
  'description',
  'type',
  'format',
  'default',
  'enum',
  'pattern',
  'minLength',
  'maxLength',
  'minimum',
  'maximum',
  'minItems',
  'maxItems',
  'maxProperties',
  'required',
  'x-kubernetes-preserve-unknown-fields',
  'x-kubernetes-list-type',
  'x-kubernetes-list-map-keys',
  'x-kubernetes-validations',
] as const;

/** Converted with everything below it; dropped without harm, since something else says it. */
const handled = new Set(['$schema', 'properties', 'items', 'additionalProperties', 'propertyNames', 'anyOf']);

/** A zod schema as a structural schema. @throws Error for a JSON Schema key that it does not know, with the place. */
export function structuralSchema(schema: z.ZodType): CrdNode {
  const json = z.toJSONSchema(schema, { target: 'draft-07', io: 'input', reused: 'inline' }) as JsonSchema;
  return convert(json, 'schema');
}

function convert(node: JsonSchema, place: string): CrdNode {
  if (node['x-kubernetes-int-or-string'] === true) return intOrString(node);
  refuseUnknown(node, place);
  const made: Record<string, unknown> = {};
  for (const key of kept) if (node[key] !== undefined) made[key] = node[key];
  const format = numberFormat(node);
  if (format !== undefined) made['format'] = format;
  return withWholeDefault({ ...withExactBounds(made), ...children(node, place) });
}

/**
 * The API server prints the bounds of numbers without their fraction ("should be less than or equal to 0" for 0.9).
 * Where there is one, the bound becomes the next whole number and a rule says the exact one.
 */
function withExactBounds(node: CrdNode): CrdNode {
  const { minimum, maximum } = node;
  if (minimum === undefined || maximum === undefined) return node;
  if (Number.isInteger(minimum) && Number.isInteger(maximum)) return node;
  const rule = `self >= ${double(minimum)} && self <= ${double(maximum)}`;
  const message = `must be a number from ${minimum} to ${maximum}`;
  return {
    ...node,
    minimum: Math.floor(minimum),
    maximum: Math.ceil(maximum),
    'x-kubernetes-validations': [...(node['x-kubernetes-validations'] ?? []), { rule, message }],
  };
}

/** CEL compares a number with a number that has a point. */
function double(value: number): string {
  return Number.isInteger(value) ? `${value}.0` : String(value);
}

/**
 * CEL rules are tried on a default as it is written, before the defaults inside it are filled in, and fail on
 * what is missing: where there are rules, `{}` becomes all that it stands for.
 */
function withWholeDefault(node: CrdNode): CrdNode {
  if (!isNode(node.default) || node.type !== 'object' || !hasRules(node)) return node;
  return { ...node, default: filled(node, node.default) };
}

function hasRules(node: CrdNode): boolean {
  if (node['x-kubernetes-validations'] !== undefined) return true;
  return (
    Object.values(node.properties ?? {}).some(hasRules) || (node.items !== undefined && hasRules(node.items))
  );
}

/** `value` with the defaults of everything that it leaves out, as the API server fills them in. */
function filled(node: CrdNode, value: unknown): unknown {
  if (!isNode(value) || node.properties === undefined) return value;
  const made: Record<string, unknown> = { ...value };
  for (const [key, child] of Object.entries(node.properties)) {
    const given = made[key] ?? child.default;
    if (given !== undefined) made[key] = filled(child, given);
  }
  return made;
}

function refuseUnknown(node: JsonSchema, place: string): void {
  const known: readonly string[] = kept;
  const unknown = Object.keys(node).filter(key => !known.includes(key) && !handled.has(key));
  if (unknown.length > 0)
    throw new Error(`${place}: ${unknown.join(', ')} has no place in a structural schema`);
  if (node['anyOf'] !== undefined || Array.isArray(node['type'])) {
    throw new Error(`${place}: several types have no place in a structural schema`);
  }
}

function children(node: JsonSchema, place: string): CrdNode {
  const { properties, items, additionalProperties } = node;
  const open = node['x-kubernetes-preserve-unknown-fields'] === true;
  return {
    ...(isNode(properties) && {
      properties: Object.fromEntries(
        Object.entries(properties).map(([key, child]) => [
          key,
          convert(child as JsonSchema, `${place}.${key}`),
        ]),
      ),
    }),
    ...(isNode(items) && { items: convert(items, `${place}[]`) }),
    ...(isNode(additionalProperties) &&
      !open && {
        additionalProperties: convert(additionalProperties, `${place}{}`),
      }),
  };
}

function isNode(value: unknown): value is JsonSchema {
  return typeof value === 'object' && value !== null;
}

/** The one form of anyOf with types that the API server takes; the pattern holds for the text form. */
function intOrString(node: JsonSchema): CrdNode {
  const made: Record<string, unknown> = {
    anyOf: [{ type: 'integer' }, { type: 'string' }],
    'x-kubernetes-int-or-string': true,
  };
  for (const key of ['description', 'default', 'pattern', 'x-kubernetes-validations']) {
    if (node[key] !== undefined) made[key] = node[key];
  }
  return made;
}

const largestInt32 = 2_147_483_647;

function numberFormat(node: JsonSchema): string | undefined {
  if (node['type'] === 'number') return 'double';
  if (node['type'] !== 'integer') return undefined;
  return Math.max(Number(node['maximum']), -Number(node['minimum'])) > largestInt32 ? 'int64' : 'int32';
}
