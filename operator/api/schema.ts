/**
 * MailRelay v1alpha1: the one definition of its spec. The CRD, its reference
 * page, the TypeScript types and the operator's own check are made from it;
 * what it has in common with config.json comes from relay/config.
 */
import * as z from 'zod';
import { maxProviders } from '../../relay/config/schema.ts';
import { resendSchema, retrySchema } from '../../relay/config/schema-delivery.ts';
import { flag, whole } from '../../relay/config/schema-fields.ts';
import { listMap, type Rule, withRules } from './fields.ts';
import { listenerSchema } from './schema-listener.ts';
import { monitoringSchema } from './schema-monitoring.ts';
import { networkPolicySchema } from './schema-network-policy.ts';
import { podFields } from './schema-pod.ts';
import { providerSchema } from './schema-provider.ts';
import { serviceSchema } from './schema-service.ts';
import { spoolSchema } from './schema-spool.ts';

/** The most replicas; far more than any provider has connections for. */
export const maxReplicas = 100;

const specRules: readonly Rule[] = [
  {
    rule: '!self.forwardSMTP || size(self.forwardProviders) > 0',
    message: 'must list at least one provider, or forwardSMTP must be false',
    fieldPath: '.forwardProviders',
  },
  {
    rule: "self.spool.mode == 'PerReplica' || self.spool.accessMode == 'ReadWriteMany' || self.replicas <= 1",
    message:
      'must be 0 or 1 while spool.mode is Shared and spool.accessMode is not ReadWriteMany; for more use spool.mode PerReplica or spool.accessMode ReadWriteMany',
    fieldPath: '.replicas',
  },
];

/** spec. */
export const specSchema = withRules(
  z
    .strictObject({
      forwardSMTP: flag(
        'The master switch. false: mail is accepted, kept and shown as held, and sent when this becomes true.',
      ).default(true),
      forwardProviders: listMap(providerSchema, {
        key: 'name',
        max: maxProviders,
        description: 'The SMTP providers, tried by priority. At least one while forwardSMTP is true.',
      }).default([]),
      retry: retrySchema.prefault({}),
      resend: withRules(resendSchema, [
        {
          rule: 'self.maxDelaySeconds >= self.initialDelaySeconds',
          message: 'must be at least resend.initialDelaySeconds',
          fieldPath: '.maxDelaySeconds',
        },
      ]).prefault({}),
      listener: listenerSchema.prefault({}),
      service: serviceSchema.prefault({}),
      spool: spoolSchema.prefault({}),
      replicas: whole(
        0,
        maxReplicas,
        'How many pods. More than one needs spool.mode PerReplica or spool.accessMode ReadWriteMany. A replica that goes first sends what it has.',
      ).default(1),
      networkPolicy: networkPolicySchema.prefault({}),
      monitoring: monitoringSchema.prefault({}),
      ...podFields,
      suspend: flag(
        'true: the operator changes nothing until it is false again; condition Ready says whether changes wait. The pods go on. Deletion is not held up.',
      ).default(false),
    })
    .describe('What the relay should be.'),
  specRules,
);

/** spec with its defaults filled in, as the API server stores it. */
export type MailRelaySpec = z.output<typeof specSchema>;

/** spec as people write it. */
export type MailRelaySpecInput = z.input<typeof specSchema>;
