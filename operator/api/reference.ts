/** docs/mailrelay-reference.md, made from the CRD's schema and the lists of conditions and events: every field with its bounds. */

import { conditionReasons, conditionTypes, eventReasons } from './conditions.ts';
import { columns } from './crd.ts';
import { type CrdNode, structuralSchema } from './crd-schema.ts';
import { annotations, apiVersion, kind } from './names.ts';
import { specSchema } from './schema.ts';
import { statusSchema } from './schema-status.ts';

/** The page, Markdown. */
export function referencePage(): string {
  return [
    `# ${kind} reference`,
    `Every field of \`${apiVersion}\`. How to use them: [MailRelay](mailrelay.md). Made by \`operator/api/generate-crd.ts\` from the schema; \`kubectl explain mailrelay.spec --recursive\` says the same.`,
    '## spec',
    fieldTable(structuralSchema(specSchema), 'spec'),
    '## Rules',
    'What the API server refuses, besides a value out of its bounds. “Changes” are compared with the object as it was.',
    ruleTable(),
    '## status',
    fieldTable(structuralSchema(statusSchema), 'status'),
    '## Conditions',
    conditionTables(),
    '## Events',
    table(
      ['Reason', 'Type', 'Meaning'],
      Object.entries(eventReasons).map(([reason, [type, meaning]]) => [`\`${reason}\``, type, meaning]),
    ),
    '## Columns of `kubectl get`',
    table(
      ['Column', 'Shown', 'Meaning'],
      columns.map(({ name, priority, description }) => [
        name,
        priority ? '`-o wide`' : 'always',
        description,
      ]),
    ),
    '## Annotations',
    table(
      ['Annotation', 'Where', 'Meaning'],
      [
        [`\`${annotations.resendRequestedAt}\``, 'MailRelay', 'A new value: send all failed mail again now.'],
        [`\`${annotations.reconcileRequestedAt}\``, 'MailRelay', 'A new value: reconcile now.'],
        [`\`${annotations.configFingerprint}\``, 'pod', 'The configuration that the kubelet must bring now.'],
        [`\`${annotations.credentialsRevision}\``, 'pod', 'Changes when a mounted Secret does.'],
        [`\`${annotations.appliedHash}\``, 'children', 'Hash of what the operator applied last.'],
      ],
    ),
    '',
  ].join('\n\n');
}

interface Row {
  readonly path: string;
  readonly node: CrdNode;
  readonly required: boolean;
}

function fieldTable(root: CrdNode, name: string): string {
  const cells = below(root, name).map(({ path, node, required }) => [
    `\`${path}\``,
    valueText(node),
    fallback(node, required),
    node.description ?? '',
  ]);
  return table(['Field', 'Value', 'Default', 'Meaning'], cells);
}

function below(node: CrdNode, path: string): Row[] {
  const named = Object.entries(node.properties ?? {}).flatMap(([key, child]) => {
    const row = { path: `${path}.${key}`, node: child, required: node.required?.includes(key) ?? false };
    return [row, ...below(child, row.path)];
  });
  return [...named, ...(node.items ? below(node.items, `${path}[]`) : [])];
}

function valueText(node: CrdNode): string {
  if (node['x-kubernetes-int-or-string']) return 'quantity';
  if (node['x-kubernetes-preserve-unknown-fields']) return 'as in a pod';
  if (node.enum !== undefined) return node.enum.map(value => `\`${String(value)}\``).join(', ');
  if (node.additionalProperties) return `map of at most ${node.maxProperties}`;
  return valueByType(node);
}

function valueByType(node: CrdNode): string {
  switch (node.type) {
    case 'array':
      return `list of ${node.minItems ?? 0} to ${node.maxItems}`;
    case 'integer':
    case 'number':
      return numberRange(node);
    case 'string':
      return node.maxLength === undefined ? 'text' : `text, at most ${node.maxLength}`;
    case 'boolean':
      return '`true`, `false`';
    default:
      return 'group';
  }
}

function numberRange({ type, minimum, maximum }: CrdNode): string {
  const bounds = maximum === Number.MAX_SAFE_INTEGER ? `${minimum} or more` : `${minimum} to ${maximum}`;
  return type === 'integer' ? bounds : `number, ${bounds}`;
}

function fallback(node: CrdNode, required: boolean): string {
  if (required) return '**required**';
  if (node.default === undefined) return '';
  const text = JSON.stringify(node.default);
  return text === '{}' || text === '[]' ? '' : `\`${text.replace(/^"(.*)"$/, '$1')}\``;
}

function ruleTable(): string {
  const rows = rulesBelow(structuralSchema(specSchema), 'spec');
  return table(['Field', 'Refused, since it …'], rows);
}

function rulesBelow(node: CrdNode, path: string): string[][] {
  const own = (node['x-kubernetes-validations'] ?? []).map(rule => [
    `\`${path}${rule.fieldPath ?? ''}\``,
    rule.message,
  ]);
  const named = Object.entries(node.properties ?? {}).flatMap(([key, child]) =>
    rulesBelow(child, `${path}.${key}`),
  );
  return [...own, ...named, ...(node.items ? rulesBelow(node.items, `${path}[]`) : [])];
}

function conditionTables(): string {
  return Object.entries(conditionTypes)
    .map(([type, meaning]) => {
      const reasons = Object.entries(conditionReasons[type as keyof typeof conditionTypes]);
      const rows = reasons.map(([reason, text]) => [`\`${reason}\``, text]);
      return `### ${type}\n\n${meaning}\n\n${table(['Reason', 'Meaning'], rows)}`;
    })
    .join('\n\n');
}

function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const line = (cells: readonly string[]) =>
    `| ${cells.map(cell => cell.replaceAll('|', '\\|')).join(' | ')} |`;
  return [line(head), `|${'---|'.repeat(head.length)}`, ...rows.map(line)].join('\n');
}
