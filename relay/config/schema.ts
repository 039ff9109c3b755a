/**
 * config.json as people and the operator write it: the one definition of its
 * keys, their bounds, defaults and meaning. The JSON Schema for editors, the
 * table in docs/configuration.md and the MailRelay resource are made from it.
 */
import * as z from 'zod';
import { replyRuleSchema, resendSchema, retrySchema } from './schema-delivery.ts';
import {
  allowedWords,
  choice,
  flag,
  host,
  hostPattern,
  listeningPort,
  matching,
  text,
  whole,
} from './schema-fields.ts';
import { listenerSchema } from './schema-listener.ts';
import { passwordField, providerSchema, usernameField } from './schema-provider.ts';

/** The most providers in one list. */
export const maxProviders = 32;

/** The source document's keys, both forms. */
const forwardingKeys = {
  forwardSMTP: flag(
    'The master switch over both forms of providers. false: mail is accepted, kept and shown as held, and sent when this becomes true. Default: true.',
  ).optional(),
  forwardProviders: z
    .array(providerSchema)
    .max(maxProviders)
    .describe('The SMTP providers.')
    .register(allowedWords, { allowed: `a list of at most ${maxProviders} providers` })
    .optional(),
  forwardHost: matching(
    new RegExp(`^(?:${hostPattern})?$`),
    'a host name or an IP address, without scheme and port',
    'Old form, one provider: its host. Ignored, with a warning, where forwardProviders lists any.',
  ).optional(),
  forwardPort: whole(1, 65_535, 'Old form: its port.').optional(),
  forwardUsername: usernameField('Old form: its user name.').optional(),
  forwardPassword: passwordField('Old form: its password.').optional(),
  forwardSSL: flag('Old form: its `ssl`.').default(false),
};

/** The original program's keys that mean something here. */
const originalKeys = {
  smtpHost: host(
    'The address to listen on; `::` is every address, IPv4 ones included. Default: 127.0.0.1; in the container image `::`.',
  ).optional(),
  smtpPort: listeningPort('The port to listen on.').default(2525),
  defaultUsername: usernameField('One account for clients, besides `listener.auth.accounts`.').optional(),
  defaultPassword: passwordField('Its password.').optional(),
  security: z
    .object({
      requireAuth: flag('The same as `listener.auth.required`.').optional(),
      allowLocalOnly: flag(
        'true: only clients on this machine; the relay then listens on loopback alone, whatever smtpHost says. false: as if absent; `listener.allowedNetworks` decides.',
      ).optional(),
      logAllEmails: z
        .unknown()
        .optional()
        .describe('Ignored with a warning: every attempt is logged, message content never.'),
    })
    .describe("The original program's access rules.")
    .optional(),
  rateLimits: z
    .object({
      enabled: flag('Whether the limits apply.').default(false),
      maxPerHour: whole(1, 1_000_000_000, 'Messages from one sender in an hour.').default(500),
      maxPerDay: whole(1, 1_000_000_000, 'Messages from one sender in a day.').default(2000),
    })
    .describe('How much one sender address may send.')
    .optional(),
  enableHealthCheck: flag('Serve probes, /status and /metrics over HTTP.').default(true),
  healthCheckPort: listeningPort('The port of probes, /status and /metrics.').default(8025),
};

/** Keys of the original program that are read and have no effect here, each with the reason that the warning gives. */
export const ignoredKeys: Readonly<Record<string, string>> = {
  batchSize: 'mail is sent as it arrives, not in batches; see limits.maxConnections',
  batchDelay: 'mail is sent as it arrives, not in batches; see limits.messagesPerSecond',
  directDelivery: "mail goes through providers only, never straight to the recipient's server",
  dkim: 'messages are passed on unchanged; let the provider or the application sign them',
};

const unusedKeys = {
  batchSize: ignored('batchSize'),
  batchDelay: ignored('batchDelay'),
  directDelivery: ignored('directDelivery'),
  dkim: ignored('dkim'),
};

/** Keys of this program. */
const ownKeys = {
  healthCheckHost: host(
    'The address of probes, /status and /metrics. Default: the same as smtpHost.',
  ).optional(),
  adminPort: listeningPort('The port on 127.0.0.1 for queue operations and the command line.').default(8026),
  dataDir: text(
    4096,
    'The directory that holds `emails/`. A relative path starts at the working directory.',
  ).default('.'),
  diskReserveBytes: whole(
    0,
    1_125_899_906_842_624,
    'Below this many free bytes new mail is refused (452 4.3.1) while sending goes on. Default: 5 % of the disk, at most 2 GiB, or twice listener.maxMessageBytes, whichever is more; never more than a quarter of the disk.',
  ).optional(),
  retry: retrySchema.prefault({}),
  resend: resendSchema.prefault({}),
  replyRules: z
    .array(replyRuleSchema)
    .max(100)
    .describe('Additions to the table of known replies.')
    .register(allowedWords, { allowed: 'a list of at most 100 rules' })
    .default([]),
  listener: listenerSchema.prefault({}),
  shutdown: z
    .strictObject({
      graceSeconds: whole(
        0,
        300,
        'After SIGTERM: how long new connections are still taken while load balancers notice.',
      ).default(3),
      deadlineSeconds: whole(
        1,
        3600,
        'Then: how long running transactions may take to finish. Both together belong below the grace period of whoever sends SIGKILL (30 s in Kubernetes by default).',
      ).default(25),
    })
    .describe('How SIGTERM ends the relay.')
    .prefault({}),
  logLevel: choice(['debug', 'info', 'warn', 'error'], 'The least serious lines to log.').default('info'),
  sharedDataDir: flag(
    'Several relays share dataDir: each takes a directory slot-<n> below it that nobody owns, and sends the mail of slots whose relay is gone.',
  ).default(false),
  draining: z
    .array(host('A host name.'))
    // All 100 replicas a MailRelay may have, and those that a rollout has beside them.
    .max(200)
    .describe(
      'Host names of relays that are to go: a relay that finds its own here takes no new mail and sends what it has.',
    )
    .register(allowedWords, { allowed: 'a list of at most 200 host names' })
    .default([]),
  resendRequestedAt: text(
    256,
    'Any new value sends all failed mail again at once. The operator writes what the annotation of the MailRelay says.',
  ).optional(),
  $schema: z.string().optional().describe('For editors: where the JSON Schema is.'),
};

/** The whole file. Unknown keys at the top are left to unknown-keys.ts, which warns; inside our groups they are errors. */
export const configSchema = z
  .object({ ...forwardingKeys, ...originalKeys, ...unusedKeys, ...ownKeys })
  .describe('Configuration of the mail relay.');

/** config.json after validation, defaults filled in. */
export type ConfigDocument = z.output<typeof configSchema>;

/** config.json as it may be written: what the operator produces. */
export type ConfigInput = z.input<typeof configSchema>;

function ignored(key: keyof typeof ignoredKeys) {
  return z.unknown().optional().describe(`Ignored with a warning: ${ignoredKeys[key]}.`);
}
