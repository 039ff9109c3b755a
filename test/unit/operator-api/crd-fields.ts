/** Every field of the schema of a MailRelay with its path, for tests that go through all of them. */
import { type CrdNode, structuralSchema } from '../../../operator/api/crd-schema.ts';
import { specSchema } from '../../../operator/api/schema.ts';
import { statusSchema } from '../../../operator/api/schema-status.ts';

/** `spec.forwardProviders[].port`; items of a list end in `[]`, values of a map in `{}`. */
export type Field = readonly [path: string, node: CrdNode];

function fields(node: CrdNode, path: string): Field[] {
  return [
    [path, node],
    ...Object.entries(node.properties ?? {}).flatMap(([key, child]) => fields(child, `${path}.${key}`)),
    ...(node.items ? fields(node.items, `${path}[]`) : []),
    ...(node.additionalProperties ? fields(node.additionalProperties, `${path}{}`) : []),
  ];
}

export const allFields: readonly Field[] = [
  ...fields(structuralSchema(specSchema), 'spec'),
  ...fields(structuralSchema(statusSchema), 'status'),
];
