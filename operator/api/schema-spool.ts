/** Where a MailRelay keeps the mail it has promised to send, and what may become of it. */
import * as z from 'zod';
import { choice, whole } from '../../relay/config/schema-fields.ts';
import { objectName, quantity, withRules } from './fields.ts';

/** The smallest volume that makes sense: the reserve is twice the largest message, 100 MiB by default. */
export const minimumSpoolSize = '256Mi';

/** spec.spool. Its size may grow only; how many volumes there are and of what kind is decided once. */
export const spoolSchema = withRules(
  z
    .strictObject({
      mode: choice(
        ['Shared', 'PerReplica'],
        'Shared: a Deployment and one volume for all replicas. PerReplica: a StatefulSet and a volume for each replica, which needs no shared file system. Cannot be changed.',
      ).default('Shared'),
      size: withRules(
        quantity(
          'The size of the volume, of each one with mode PerReplica. Can be raised where the storage class allows it, never lowered.',
        ),
        [
          {
            rule: "quantity(string(self)).compareTo(quantity('256Mi')) >= 0",
            message: `must be at least ${minimumSpoolSize}`,
          },
          {
            rule: 'quantity(string(self)).compareTo(quantity(string(oldSelf))) >= 0',
            message: 'must not be smaller than before: a volume cannot shrink',
          },
        ],
      ).default('1Gi'),
      storageClassName: objectName(
        "The storage class. Absent: the cluster's default. Must be a block or local file system, or NFS with working locks; the queue rests on fsync. Cannot be changed.",
      ).optional(),
      accessMode: choice(
        ['ReadWriteOnce', 'ReadWriteOncePod', 'ReadWriteMany'],
        'How the volume is mounted. mode Shared with more than one replica needs ReadWriteMany. Cannot be changed.',
      ).default('ReadWriteOnce'),
      retention: choice(
        ['Retain', 'Delete'],
        'What happens to the volumes when the MailRelay is deleted. Retain: they stay, with the mail on them, and a MailRelay of the same name adopts them. Delete: those go that are known to be empty after the drain. One that holds anything of a mail stays all the same: unsent messages, held ones, dead letters until they expire (resend.deadRetentionSeconds) or are deleted, and files in emails/quarantine. So does one of which nobody knows, as one of ReadWriteMany always is.',
      ).default('Retain'),
      drainTimeoutSeconds: whole(
        0,
        86_400,
        'How long a replica that is to go (scale-down, deletion) is given to send what it has. Then it goes, and its mail stays on its volume.',
      ).default(600),
    })
    .describe('Where accepted mail is kept until it is sent.'),
  [
    {
      rule: 'self.mode == oldSelf.mode',
      message: 'must stay as it was created: Shared and PerReplica keep mail on different volumes',
      fieldPath: '.mode',
    },
    {
      rule: 'self.accessMode == oldSelf.accessMode',
      message: 'must stay as it was created: the access mode of a volume cannot be changed',
      fieldPath: '.accessMode',
    },
    {
      rule: 'has(self.storageClassName) == has(oldSelf.storageClassName) && (!has(self.storageClassName) || self.storageClassName == oldSelf.storageClassName)',
      message:
        'must have the storageClassName that it was created with, or none: the class of a volume cannot be changed',
    },
  ],
);

/** The spool with its defaults filled in. */
export type SpoolSpec = z.output<typeof spoolSchema>;
