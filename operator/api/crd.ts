/** The CustomResourceDefinition of MailRelay, made from the schema. A pure value: the same on every machine. */
import { structuralSchema } from './crd-schema.ts';
import type { Rule } from './fields.ts';
import {
  category,
  crdName,
  group,
  kind,
  listKind,
  maxNameLength,
  plural,
  shortName,
  singular,
  version,
} from './names.ts';
import { specSchema } from './schema.ts';
import { statusSchema } from './schema-status.ts';

const nameRule: Rule = {
  rule: `size(self.metadata.name) <= ${maxNameLength} && self.metadata.name.matches('^[a-z]([-a-z0-9]*[a-z0-9])?$')`,
  message: `metadata.name must be at most ${maxNameLength} lower-case letters, digits and -, beginning with a letter and not ending with -: Services and pods are named after it`,
};

interface Column {
  readonly name: string;
  readonly type: 'string' | 'integer' | 'date';
  readonly jsonPath: string;
  readonly description: string;
  /** Above 0: only with `-o wide`. */
  readonly priority?: number;
}

/** What `kubectl get mailrelays` shows. */
export const columns: readonly Column[] = [
  {
    name: 'Ready',
    type: 'string',
    jsonPath: '.status.conditions[?(@.type=="Ready")].status',
    description: 'Condition Ready.',
  },
  {
    name: 'Reason',
    type: 'string',
    jsonPath: '.status.conditions[?(@.type=="Ready")].reason',
    description: 'Why it is ready or not.',
  },
  {
    name: 'Providers',
    type: 'string',
    jsonPath: '.status.usableProviders',
    description: 'How many providers can be used, of how many.',
  },
  {
    name: 'Active',
    type: 'string',
    jsonPath: '.status.activeProvider',
    description: 'The provider that mail goes through now.',
  },
  {
    name: 'Failed',
    type: 'integer',
    jsonPath: '.status.queue.failed',
    description: 'Messages that wait to be sent again.',
  },
  {
    name: 'Replicas',
    type: 'integer',
    jsonPath: '.status.readyReplicas',
    description: 'Pods that take mail.',
  },
  {
    name: 'Age',
    type: 'date',
    jsonPath: '.metadata.creationTimestamp',
    description: 'Since it was created.',
  },
  {
    name: 'Queued',
    type: 'integer',
    jsonPath: '.status.queue.active',
    description: 'Messages on their way.',
    priority: 1,
  },
  {
    name: 'Dead',
    type: 'integer',
    jsonPath: '.status.queue.dead',
    description: 'Messages given up or rejected.',
    priority: 1,
  },
  {
    name: 'Config',
    type: 'string',
    jsonPath: '.status.config.fingerprint',
    description: 'Fingerprint of the wanted configuration.',
    priority: 1,
  },
  {
    name: 'Message',
    type: 'string',
    jsonPath: '.status.conditions[?(@.type=="Ready")].message',
    description: 'Why it is ready or not, in words.',
    priority: 1,
  },
];

/** The whole manifest, ready to be applied. */
export function customResourceDefinition(): Readonly<Record<string, unknown>> {
  return {
    apiVersion: 'apiextensions.k8s.io/v1',
    kind: 'CustomResourceDefinition',
    metadata: { name: crdName },
    spec: {
      group,
      names: { kind, listKind, plural, singular, shortNames: [shortName], categories: [category] },
      scope: 'Namespaced',
      versions: [
        {
          name: version,
          served: true,
          storage: true,
          additionalPrinterColumns: columns,
          schema: { openAPIV3Schema: rootSchema() },
          subresources: {
            status: {},
            scale: {
              specReplicasPath: '.spec.replicas',
              statusReplicasPath: '.status.replicas',
              labelSelectorPath: '.status.selector',
            },
          },
        },
      ],
    },
  };
}

/** spec is required, but may be empty only where forwardSMTP is false, which it then is not. */
function rootSchema(): unknown {
  return {
    description:
      'A mail relay: applications send to its Service, it keeps each message on disk until one of several SMTP providers has taken it.',
    type: 'object',
    required: ['spec'],
    properties: {
      apiVersion: { description: `${group}/${version}`, type: 'string' },
      kind: { description: kind, type: 'string' },
      metadata: { type: 'object' },
      spec: structuralSchema(specSchema),
      status: structuralSchema(statusSchema),
    },
    'x-kubernetes-validations': [nameRule],
  };
}
