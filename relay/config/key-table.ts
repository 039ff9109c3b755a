/** The table of all keys of config.json in docs/configuration.md, made from its JSON Schema. */

/** The part of JSON Schema that z.toJSONSchema makes of our schema. */
export interface SchemaNode {
  readonly type?: string;
  readonly description?: string;
  readonly default?: unknown;
  readonly enum?: readonly unknown[];
  readonly minimum?: number;
  readonly maximum?: number;
  readonly properties?: Readonly<Record<string, SchemaNode>>;
  readonly required?: readonly string[];
  readonly items?: SchemaNode;
}

/** Markdown, one row per key, groups before their keys. */
export function keyTable(schema: SchemaNode): string {
  return ['| key | value | default | meaning |', '|---|---|---|---|', ...rows(schema, '')].join('\n');
}

function rows(schema: SchemaNode, prefix: string): string[] {
  return Object.entries(schema.properties ?? {}).flatMap(([key, node]) => {
    const path = `${prefix}${key}`;
    const required = schema.required?.includes(key) ?? false;
    return [row(path, node, required), ...rows(node, `${path}.`), ...rows(node.items ?? {}, `${path}[].`)];
  });
}

function row(path: string, node: SchemaNode, required: boolean): string {
  const cells = [`\`${path}\``, kind(node), fallback(node, required), node.description ?? ''];
  return `| ${cells.map(cell => cell.replaceAll('|', '\\|')).join(' | ')} |`;
}

function kind(node: SchemaNode): string {
  if (node.enum !== undefined) return node.enum.map(value => `\`${String(value)}\``).join(', ');
  if (node.type === 'integer' || node.type === 'number') {
    return `${node.type === 'integer' ? '' : 'number, '}${node.minimum} to ${node.maximum}`;
  }
  const names: Readonly<Record<string, string>> = {
    string: 'text',
    boolean: 'true, false',
    array: 'list',
    object: 'group',
  };
  return names[node.type ?? ''] ?? 'anything';
}

function fallback(node: SchemaNode, required: boolean): string {
  if (required) return '**required**';
  if (node.default === undefined || node.type === 'object') return '';
  if (Array.isArray(node.default)) return node.default.length === 0 ? 'none' : 'see there';
  return `\`${String(node.default)}\``;
}
