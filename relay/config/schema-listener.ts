/**
 * How the listener is written in config.json: what it takes, from whom, and
 * how fast. Host and port stand at the top level (smtpHost, smtpPort), where
 * the original program has them.
 */
import * as z from 'zod';
import { defaultNetworks, isNetwork } from './networks.ts';
import { allowedWords, choice, flag, host, whole } from './schema-fields.ts';
import { credentialFields, filePath } from './schema-provider.ts';

const networkSchema = z
  .string()
  .max(64)
  .refine(isNetwork)
  .describe('A network in CIDR form, or one address.')
  .register(allowedWords, { allowed: 'a network such as "10.0.0.0/8" or "fd00::/8", or an IP address' });

/** Limits and manners that do not name a file: shared with the MailRelay resource. */
export const listenerFields = {
  hostname: host(
    "The relay's own name in its greeting and in Received. Default: the machine's name.",
  ).optional(),
  maxMessageBytes: whole(
    1024,
    1_073_741_824,
    'A larger message is refused (552 5.3.4). The default takes what the largest common providers take; a provider that takes less is skipped for it.',
  ).default(52_428_800),
  maxRecipients: whole(1, 50_000, 'Recipients in one message; more are refused (452 4.5.3).').default(1000),
  maxConnections: whole(1, 100_000, 'Connections at the same time; more are refused (421 4.7.0).').default(
    1000,
  ),
  maxConnectionsPerClient: whole(
    1,
    100_000,
    'The same for one client address. Behind a node port all clients of a node may have one address.',
  ).default(200),
  allowedNetworks: z
    .array(networkSchema)
    .max(256)
    .describe(
      'Client networks that may send without authentication. Default: loopback, private (RFC 1918, RFC 4193) and link-local ones. Very wide public ones need `auth.required`: the relay is never open.',
    )
    .register(allowedWords, { allowed: 'a list of at most 256 networks' })
    .default([...defaultNetworks]),
  bareNewlines: choice(
    ['refuse', 'normalize'],
    'A CR or LF alone inside a message: refuse it (550 5.6.11), or make it CRLF. Either way SMTP smuggling does not pass; normalising breaks a DKIM signature over such a message.',
  ).default('refuse'),
  idleTimeoutSeconds: whole(
    5,
    3600,
    'A client that says nothing for this long is disconnected (RFC 5321 section 4.5.3.2.7: 5 minutes).',
  ).default(300),
  dataTimeoutSeconds: whole(10, 7200, 'The longest time that sending one message may take.').default(600),
  maxReceivedHeaders: whole(
    5,
    500,
    'A message with more Received headers goes in a circle and is refused (554 5.4.6).',
  ).default(50),
};

/** Switches of the listener's AUTH: shared with the MailRelay resource. */
export const listenerAuthFields = {
  required: flag('Refuse mail from clients that have not authenticated, wherever they are.').default(false),
  allowClearText: flag(
    'Offer AUTH without TLS. Passwords then cross the network readably. Without it AUTH needs `listener.tls`.',
  ).default(false),
};

const listenerTlsSchema = z
  .strictObject({
    certificateFile: filePath('PEM certificate with its chain. Re-read when it changes.'),
    keyFile: filePath('PEM private key.'),
  })
  .describe('Certificate for STARTTLS; absent: STARTTLS is not offered.');

const listenerAuthSchema = z
  .strictObject({
    ...listenerAuthFields,
    accounts: z
      .array(z.strictObject(credentialFields).describe('One account.'))
      .max(1000)
      .describe('Accounts that may authenticate; none: AUTH is not offered.')
      .register(allowedWords, { allowed: 'a list of at most 1000 accounts' })
      .default([]),
  })
  .describe('Who may authenticate, and who must.');

/** The `listener` group. */
export const listenerSchema = z
  .strictObject({
    ...listenerFields,
    tls: listenerTlsSchema.optional(),
    auth: listenerAuthSchema.prefault({}),
  })
  .describe('What the listener takes, and from whom.');
