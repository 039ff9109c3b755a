/** Who may reach the pods of a MailRelay on the network: bounded forms of the core API's peers and selectors. */
import * as z from 'zod';
import { choice, flag } from '../../relay/config/schema-fields.ts';
import { atomicList, labelKey, labelMap, labelValue, withRules } from './fields.ts';
import { network } from './schema-listener.ts';

const expressionSchema = withRules(
  z
    .strictObject({
      key: labelKey('The label.'),
      operator: choice(['In', 'NotIn', 'Exists', 'DoesNotExist'], 'How the label is compared.'),
      values: atomicList(labelValue('A value.'), {
        max: 32,
        description: 'What it is compared with; for In and NotIn only.',
      }).optional(),
    })
    .describe('One comparison.'),
  [
    {
      rule: "(self.operator in ['In', 'NotIn']) == (has(self.values) && size(self.values) > 0)",
      message: 'must be given with operator In and NotIn, and must be absent with Exists and DoesNotExist',
      fieldPath: '.values',
    },
  ],
);

function selector(description: string) {
  return z
    .strictObject({
      matchLabels: labelMap('Labels with their values; all must be there.').optional(),
      matchExpressions: atomicList(expressionSchema, {
        max: 16,
        description: 'Comparisons; all must hold.',
      }).optional(),
    })
    .describe(description);
}

const ipBlockSchema = z
  .strictObject({
    cidr: network('The network.'),
    except: atomicList(network('A network inside it.'), {
      max: 32,
      description: 'Networks inside it that do not count.',
    }).optional(),
  })
  .describe('Addresses outside the cluster. Whether it also fits pods depends on the network plug-in.');

const peerSchema = withRules(
  z
    .strictObject({
      podSelector: selector('Pods with these labels; {} means all.').optional(),
      namespaceSelector: selector(
        'Namespaces with these labels; {} means all. Absent: the namespace of the MailRelay.',
      ).optional(),
      ipBlock: ipBlockSchema.optional(),
    })
    .describe('One source of connections.'),
  [
    {
      rule: 'has(self.ipBlock) != (has(self.podSelector) || has(self.namespaceSelector))',
      message: 'must have either ipBlock, or podSelector, namespaceSelector or both of these',
    },
  ],
);

/** spec.networkPolicy. */
export const networkPolicySchema = z
  .strictObject({
    enabled: flag(
      'Create a NetworkPolicy: in, SMTP from `from` and metrics from monitoring and the operator; out, DNS and the ports of the providers. Takes effect where the network plug-in supports it.',
    ).default(true),
    from: atomicList(peerSchema, {
      max: 32,
      description:
        'Who may connect to the SMTP port. Absent or empty: all pods of the cluster and listener.allowedNetworks; with listener.auth.secretRef everybody, since those who authenticate may come from anywhere.',
    }).optional(),
    metricsFrom: atomicList(peerSchema, {
      max: 32,
      description:
        'Who may read metrics, probes and status (port 8025), besides the operator and the monitoring namespaces that it was started with.',
    }).optional(),
  })
  .describe('The NetworkPolicy of the pods.');

/** The network policy with its defaults filled in. */
export type NetworkPolicySpec = z.output<typeof networkPolicySchema>;
