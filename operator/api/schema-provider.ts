/**
 * One provider of a MailRelay: config.json's provider with its secrets in
 * Secrets of the same namespace instead of in the text or in files.
 */
import * as z from 'zod';
import { allowedWords } from '../../relay/config/schema-fields.ts';
import { providerFields, providerTlsFields } from '../../relay/config/schema-provider.ts';
import { objectName, secretKey, withRules } from './fields.ts';

/** A Secret with a user name and a password. */
export function credentialsRef(description: string) {
  return withRules(
    z
      .strictObject({
        name: objectName('The Secret, in the namespace of the MailRelay.'),
        usernameKey: secretKey('The key that holds the user name.').default('username'),
        passwordKey: secretKey('The key that holds the password.').default('password'),
      })
      .describe(description),
    [
      {
        rule: 'self.usernameKey != self.passwordKey',
        message: 'must differ from usernameKey',
        fieldPath: '.passwordKey',
      },
    ],
  );
}

const caRefSchema = z
  .strictObject({
    name: objectName('The Secret, in the namespace of the MailRelay.'),
    key: secretKey('The key that holds the PEM certificates.').default('ca.crt'),
  })
  .describe("PEM certificates to trust instead of the system's, from a Secret.");

const providerTlsSchema = z
  .strictObject({
    ...providerTlsFields,
    insecureSkipVerify: providerTlsFields.insecureSkipVerify.describe(
      'Accept any certificate. The user name and password then go to whoever answers: for tests only. Prefer caRef.',
    ),
    caRef: caRefSchema.optional(),
  })
  .describe('Whether TLS to this provider is demanded, and how it is verified.');

/** One item of spec.forwardProviders. */
export const providerSchema = withRules(
  z
    .strictObject({
      ...providerFields,
      name: providerFields.name
        .unwrap()
        .describe('The name in status, metrics and logs; unique in the list.')
        .max(63)
        .register(allowedWords, { allowed: 'text of 1 to 63 letters, digits, and . _ : - between them' }),
      secretRef: credentialsRef(
        'The Secret with the user name and password, in the namespace of the MailRelay. Absent: no authentication. While the Secret or a key is missing the provider is left out (Misconfigured) and the others go on.',
      ).optional(),
      tls: providerTlsSchema.prefault({}),
    })
    .describe('One SMTP provider.'),
  [
    {
      rule: '!has(self.tls.required) || self.tls.required || self.ssl || !has(self.secretRef)',
      message: 'must not be false where there is a secretRef: credentials are sent over verified TLS only',
      fieldPath: '.tls.required',
    },
  ],
);

/** A provider with its defaults filled in. */
export type ProviderSpec = z.output<typeof providerSchema>;
