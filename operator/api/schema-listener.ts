/**
 * The listener of a MailRelay: config.json's limits and manners, with
 * certificate and account in Secrets. What would make an open relay, or lock
 * everybody out, the API server refuses.
 */
import * as z from 'zod';
import { defaultNetworks, isNetwork } from '../../relay/config/networks.ts';
import { allowedWords, choice } from '../../relay/config/schema-fields.ts';
import { listenerAuthFields, listenerFields } from '../../relay/config/schema-listener.ts';
import { atomicList, objectName, withRules } from './fields.ts';
import { credentialsRef } from './schema-provider.ts';

const byte = '(?:25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])';
const length4 = '(?:/(?:[0-9]|[12][0-9]|3[0-2]))?';
const length6 = '(?:/(?:[0-9]|[1-9][0-9]|1[01][0-9]|12[0-8]))?';
const networkPattern = new RegExp(
  `^(?:${byte}(?:\\.${byte}){3}${length4}|[0-9A-Fa-f]{0,4}:[0-9A-Fa-f:.]{1,41}${length6})$`,
);

/** A network or an address; what the pattern cannot see of IPv6, the operator checks. */
export function network(description: string) {
  return z
    .string()
    .max(64)
    .regex(networkPattern)
    .refine(isNetwork)
    .describe(description)
    .register(allowedWords, { allowed: 'a network such as "10.0.0.0/8" or "fd00::/8", or an IP address' });
}

/** IPv4 shorter than /8, IPv6 shorter than /16 that is neither unique-local nor link-local (see isTooWide). */
const tooWide =
  "n.matches('^[0-9.]+/[0-7]$') || (n.matches(':.*/([0-9]|1[0-5])$') && !n.matches(\
'^[Ff][CcDd][0-9A-Fa-f]{2}:.*/([7-9]|1[0-5])$') && !n.matches('^[Ff][Ee][89ABab][0-9A-Fa-f]:.*/1[0-5]$'))";

const tlsSchema = z
  .strictObject({
    secretRef: z
      .strictObject({ name: objectName('The Secret, in the namespace of the MailRelay.') })
      .describe('A Secret of type kubernetes.io/tls: keys tls.crt and tls.key.'),
  })
  .describe(
    'Certificate for STARTTLS; absent: STARTTLS is not offered. Renewed certificates are taken over live.',
  );

const authSchema = z
  .strictObject({
    ...listenerAuthFields,
    secretRef: credentialsRef(
      'The account that clients may use: a Secret of type kubernetes.io/basic-auth. Absent: AUTH is not offered.',
    ).optional(),
  })
  .describe('Who may authenticate, and who must.');

/** spec.listener. */
export const listenerSchema = withRules(
  z
    .strictObject({
      ...listenerFields,
      // config.json's words, in CamelCase as the API conventions have it.
      bareNewlines: choice(
        ['Refuse', 'Normalize'],
        listenerFields.bareNewlines.unwrap().description ?? '',
      ).default('Refuse'),
      allowedNetworks: atomicList(network('A network in CIDR form, or one address.'), {
        max: 256,
        description:
          'Client networks that may send without authentication. Default: loopback, private (RFC 1918, RFC 4193) and link-local ones. Very wide public ones need `auth.required`: the relay is never open.',
      }).default([...defaultNetworks]),
      tls: tlsSchema.optional(),
      auth: authSchema.prefault({}),
    })
    .describe('What the relay takes, and from whom.'),
  [
    {
      rule: `self.auth.required || !self.allowedNetworks.exists(n, ${tooWide})`,
      message:
        'must be /8 or narrower (IPv4) or /16 or narrower (IPv6), unless listener.auth.required is true: this would be an open relay',
      fieldPath: '.allowedNetworks',
    },
    {
      rule: '!self.auth.required || has(self.auth.secretRef)',
      message: 'must name a Secret in auth.secretRef, since auth.required is true',
      fieldPath: '.auth',
    },
    {
      rule: '!self.auth.required || has(self.tls) || self.auth.allowClearText',
      message:
        'must have tls, since auth.required is true and AUTH is offered only under TLS (or auth.allowClearText must be true)',
      fieldPath: '.auth.required',
    },
  ],
);

/** The listener with its defaults filled in. */
export type ListenerSpec = z.output<typeof listenerSchema>;
