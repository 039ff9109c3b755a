/**
 * How one SMTP provider is written in config.json. The operator builds the
 * providers of the MailRelay resource from the same pieces; where a secret or
 * a certificate comes from is all that differs there.
 */
import * as z from 'zod';
import { choice, flag, fraction, host, matching, optionalText, text, whole } from './schema-fields.ts';

/** TLS options that do not name a file. */
export const providerTlsFields = {
  required: flag(
    'true: no mail without TLS, verified as the keys beside this one say, also where there is no user name; a provider that does not offer STARTTLS is passed over. Set it where the provider knows the relay by its address. Default: true with a user name, else false. With ssl true there is TLS whatever this says.',
  ).optional(),
  serverName: host(
    'The name that the certificate must carry, also sent as SNI. Default: the host. Needed when the provider is reached by an address or an alias.',
  ).optional(),
  insecureSkipVerify: flag(
    'Accept any certificate. The user name and password then go to whoever answers: for tests only. Prefer caFile.',
  ).default(false),
  minVersion: choice(
    ['TLSv1.2', 'TLSv1.3'],
    'The lowest TLS version to accept. TLS 1.0 and 1.1 are not to be had.',
  ).default('TLSv1.2'),
};

/** What one provider is asked to carry at most. */
export const providerLimitsSchema = z
  .strictObject({
    maxConnections: whole(
      1,
      1000,
      'Connections open at the same time. Lower it where the provider answers 421 to further ones.',
    ).default(20),
    messagesPerSecond: fraction(
      0.01,
      100_000,
      'Messages begun per second, evenly, with a burst of at most one second. Absent: unlimited. Set it to what the provider has granted.',
    ).optional(),
    maxRecipientsPerMessage: whole(
      1,
      10_000,
      'Recipients in one transaction; a message with more goes in several. RFC 5321 section 4.5.3.1.8 promises 100; Amazon SES takes 50 and refuses the whole message for more.',
    ).default(50),
    maxMessageBytes: whole(
      1024,
      1_073_741_824,
      'A larger message is not offered to this provider but to the next. Absent: what the provider says in EHLO SIZE.',
    ).optional(),
    messagesPerConnection: whole(
      1,
      1_000_000,
      'A connection is closed after this many messages. Even where TLS and AUTH take as long as ten messages, opening connections then costs one per cent. Lower it for a provider that closes earlier by itself.',
    ).default(1000),
    connectionLifetimeSeconds: whole(
      1,
      86_400,
      "A connection is closed when it is this old and has finished its message, so that a change of the provider's DNS is followed.",
    ).default(600),
    idleTimeoutSeconds: whole(
      1,
      3600,
      'A connection with nothing to do is closed after this long. Many providers close it after a minute or less themselves.',
    ).default(30),
  })
  .describe('What this provider is asked to carry at most.');

/** Longest waits by stage. */
export const providerTimeoutsSchema = z
  .strictObject({
    connectSeconds: whole(1, 300, 'For the TCP connection.').default(5),
    greetingSeconds: whole(1, 600, 'For the greeting (220) and for each TLS handshake.').default(10),
    commandSeconds: whole(
      1,
      600,
      'For the reply to each command (RFC 5321 section 4.5.3.2 says 5 minutes for MAIL and RCPT; a provider that takes longer than a minute is better replaced by the next).',
    ).default(60),
    dataBlockSeconds: whole(1, 1800, 'For the network to take each block of a message.').default(180),
    finalDotSeconds: whole(
      10,
      3600,
      'For the reply to the final dot. Do not shorten it: giving up here is what makes duplicates (RFC 5321 section 4.5.3.2.6 says 10 minutes).',
    ).default(600),
  })
  .describe('How long this provider may take, by stage.');

/** A provider without its credentials and TLS files: what config.json and MailRelay have in common. */
export const providerFields = {
  name: matching(
    /^[A-Za-z0-9](?:[A-Za-z0-9._:-]{0,61}[A-Za-z0-9])?$/,
    'text of 1 to 63 letters, digits, and . _ : - between them',
    'The name in metrics, logs and status; unique. Default: the host, with the port when two providers share the host.',
  ).optional(),
  host: host("The provider's SMTP server."),
  port: whole(1, 65_535, 'Its port: mostly 587 with ssl false, 465 with ssl true.'),
  ssl: flag(
    'true: TLS from the first byte. false: STARTTLS, which is required when there is a user name or tls.required is true, and used when offered otherwise.',
  ).default(false),
  priority: whole(
    -2_147_483_648,
    2_147_483_647,
    'Smaller is tried earlier; equals in the order of the list. Default: the position in the list, from 0.',
  ).optional(),
  limits: providerLimitsSchema.prefault({}),
  timeouts: providerTimeoutsSchema.prefault({}),
};

/** Any path; relative ones start at the directory of config.json. */
export function filePath(description: string) {
  return text(4096, `${description} A relative path starts at the directory of config.json.`);
}

const secretHint =
  // biome-ignore lint/suspicious/noTemplateCurlyInString: this is the syntax that people write
  'May be "${env:NAME}": the value of that environment variable, read when the configuration is loaded.';

export const usernameField = (description: string) => optionalText(1024, `${description} ${secretHint}`);
export const passwordField = (description: string) => optionalText(4096, `${description} ${secretHint}`);

/** A user name and password, each given here or in a file. */
export const credentialFields = {
  username: usernameField('The user name. Empty or absent, with no password: no authentication.').optional(),
  usernameFile: filePath('A file that holds the user name, in place of `username`.').optional(),
  password: passwordField('The password. Empty or absent, with no user name: no authentication.').optional(),
  passwordFile: filePath(
    'A file that holds the password, in place of `password`. Re-read when it changes; line ends at its end do not count.',
  ).optional(),
};

/** One entry of forwardProviders. */
export const providerSchema = z
  .strictObject({
    ...providerFields,
    ...credentialFields,
    tls: z
      .strictObject({
        ...providerTlsFields,
        caFile: filePath("PEM certificates to trust instead of the system's.").optional(),
      })
      .describe('Whether TLS to this provider is demanded, and how it is verified.')
      .prefault({}),
  })
  .describe('One SMTP provider.');

/** A provider as written, defaults filled in. */
export type ProviderDocument = z.output<typeof providerSchema>;
