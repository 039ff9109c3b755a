/** status of a MailRelay: what the operator reports. Coarse and rate-limited, so that a busy relay does not write without end. */
import * as z from 'zod';
import { maxProviders } from '../../relay/config/schema.ts';
import { choice, whole } from '../../relay/config/schema-fields.ts';
import { listMap } from './fields.ts';

const billion = 1_000_000_000;
const longestCount = 9_007_199_254_740_991;
const time = (description: string) => z.string().max(40).meta({ description, format: 'date-time' });
const words = (max: number, description: string) => z.string().max(max).describe(description);

/** What a provider can be, in the words of the API; `cooling` and so on in the relay's. */
export const providerStates = [
  'Active',
  'Standby',
  'Cooling',
  'Failing',
  'Suspended',
  'Misconfigured',
] as const;

const conditionSchema = z
  .strictObject({
    type: words(316, 'The condition.'),
    status: choice(['True', 'False', 'Unknown'], 'Whether it holds.'),
    observedGeneration: whole(
      0,
      longestCount,
      'The generation of the spec that it was made from.',
    ).optional(),
    lastTransitionTime: time('When the status changed last.'),
    reason: words(1024, 'Why, in one CamelCase word; docs/mailrelay.md lists them.'),
    message: words(32_768, 'Why, in words, and what to do.'),
  })
  .describe('One condition, as in metav1.Condition.');

const providerStatusSchema = z
  .strictObject({
    name: words(63, 'The name in the spec.'),
    state: choice(
      providerStates,
      'Active: mail goes through it. Standby: it could be used and is not needed. Cooling: it asked for a pause. Failing: skipped until a probe succeeds. Suspended: it refused the credentials. Misconfigured: credentials or certificate are missing.',
    ),
    since: time('Since when.').optional(),
    reason: words(256, 'Why, in one word.').optional(),
    message: words(
      1024,
      'Why, in words; the reply of the provider where there is one, with [address] for each mail address in it. New words alone are written once a minute.',
    ).optional(),
  })
  .describe('One provider. With several replicas: the worst of what they see.');

const queueSchema = z
  .strictObject({
    active: whole(0, longestCount, 'Messages on their way.').optional(),
    failed: whole(0, longestCount, 'Messages that no provider took and that are sent again.').optional(),
    held: whole(0, longestCount, 'Messages held because forwardSMTP is false.').optional(),
    dead: whole(0, longestCount, 'Messages given up or rejected, kept for a while.').optional(),
    oldestFailedSeconds: whole(0, billion, 'Age of the oldest failed message.').optional(),
  })
  .describe(
    'The queue of all replicas together. Approximate: at most a few changes a minute are written, of the age alone one.',
  );

const heldVolumeSchema = z
  .strictObject({
    claim: words(253, 'The PersistentVolumeClaim.'),
    messages: whole(
      0,
      longestCount,
      'Unsent messages on it when its pod went, held ones included. Absent: nobody knows, so that there may be some.',
    ).optional(),
    deadMessages: whole(
      0,
      longestCount,
      'Dead letters on it: messages given up or rejected, which can be sent again (queue resend) once a pod serves it. They do not expire before. Absent: nobody knows.',
    ).optional(),
    quarantinedFiles: whole(
      0,
      longestCount,
      'Files in emails/quarantine on it: found by the relay, known to no message, and perhaps mail. Absent: nobody knows.',
    ).optional(),
    since: time('When its pod went, or when it was found.'),
  })
  .describe('A volume of the relay that no pod serves, and what is on it.');

/** status. */
export const statusSchema = z
  .strictObject({
    observedGeneration: whole(
      0,
      longestCount,
      'The generation of the spec that the status is about.',
    ).optional(),
    conditions: listMap(conditionSchema, {
      key: 'type',
      max: 16,
      description:
        'Ready, ConfigurationValid, CredentialsAvailable, ProvidersHealthy, SpoolHealthy; Reconciling and Stalled while they are true.',
    }).optional(),
    replicas: whole(0, 1_000, 'Pods there are.').optional(),
    readyReplicas: whole(0, 1_000, 'Pods that take mail.').optional(),
    selector: words(1024, 'Label selector of the pods, for autoscalers.').optional(),
    config: z
      .strictObject({
        fingerprint: words(64, 'Fingerprint of the wanted configuration.').optional(),
        loadedReplicas: whole(0, 1_000, 'Pods that have really loaded it.').optional(),
      })
      .describe('Which configuration the pods run.')
      .optional(),
    activeProvider: words(63, 'The provider that mail goes through now.').optional(),
    usableProviders: words(16, 'How many providers can be used, of how many: "2/3".').optional(),
    providers: listMap(providerStatusSchema, {
      key: 'name',
      max: maxProviders,
      description: 'The providers, in the order in which they are tried.',
    }).optional(),
    queue: queueSchema.optional(),
    heldVolumes: listMap(heldVolumeSchema, {
      key: 'claim',
      max: 100,
      description:
        'Volumes that no pod serves and that hold unsent mail, dead letters or quarantined files, or may hold some. Scale up again to send what is unsent and to get at the rest.',
    }).optional(),
    lastHandledResendAt: words(
      256,
      'The value of the annotation mailrelay.dev/resend-requested-at that was acted on last.',
    ).optional(),
    lastHandledReconcileAt: words(
      256,
      'The value of the annotation mailrelay.dev/reconcile-requested-at that was acted on last.',
    ).optional(),
  })
  .describe('What the operator observed last.');

export type MailRelayStatus = z.output<typeof statusSchema>;
export type ProviderStatus = z.output<typeof providerStatusSchema>;
export type ProviderState = (typeof providerStates)[number];
export type QueueStatus = z.output<typeof queueSchema>;
export type HeldVolume = z.output<typeof heldVolumeSchema>;
