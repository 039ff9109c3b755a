/**
 * What is wrong with the Secrets that a MailRelay refers to. Names and keys
 * only; values never get here. Pure but for the look-up handed in.
 */
import { createHash } from 'node:crypto';
import type { MailRelay } from '../api/mail-relay.ts';
import { referencedSecrets, type SecretReference, secretReferences } from '../resources/secret-references.ts';
import type { SecretFacts } from './secret-facts.ts';

/** A reference that leads nowhere. */
export interface MissingCredential {
  readonly reference: SecretReference;
  /** The Secret is there and lacks the key. */
  readonly keyOnly: boolean;
}

export interface Credentials {
  readonly references: readonly SecretReference[];
  readonly missing: readonly MissingCredential[];
  /** Changes when one of the Secrets is another version; the same after a restart of the operator. */
  readonly revision: string;
}

/** Looks every Secret up. Rejects when the API server refuses or fails. */
export async function readCredentials(
  { spec }: MailRelay,
  factsOf: (secret: string) => Promise<SecretFacts | undefined>,
): Promise<Credentials> {
  const names = referencedSecrets(spec);
  const facts = new Map(await Promise.all(names.map(async name => [name, await factsOf(name)] as const)));
  const references = secretReferences(spec);
  const missing = references.flatMap((reference): MissingCredential[] => {
    const found = facts.get(reference.secret);
    if (found === undefined) return [{ reference, keyOnly: false }];
    return found.fingerprints.has(reference.key) ? [] : [{ reference, keyOnly: true }];
  });
  const versions = names.map(name => `${name}=${facts.get(name)?.resourceVersion ?? ''}`).join('\n');
  const revision = createHash('sha256').update(versions).digest('hex').slice(0, 16);
  return { references, missing, revision };
}

/** `forwardProviders[primary].secretRef: Secret primary-smtp does not exist: create it`. */
export function missingSentence({ reference, keyOnly }: MissingCredential): string {
  const { field, secret, key } = reference;
  return keyOnly
    ? `${field}: Secret ${secret} has no key ${key}, or it is empty: add it`
    : `${field}: Secret ${secret} does not exist: create it`;
}

/** One sentence each; a Secret that is missing is named once per field, not once per key. */
export function missingSentences(missing: readonly MissingCredential[]): string {
  return [...new Set(missing.map(missingSentence))].join('; ');
}
