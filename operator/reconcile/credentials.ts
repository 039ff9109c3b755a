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
  /** Changes when the content of a key does that is referred to. Says nothing of the content. */
  readonly revision: string;
  /** When that was last, ms since 1970, as far as it is known; -Infinity = not. */
  readonly changedAt: number;
}

/** Looks every Secret up. Rejects when the API server refuses or fails. */
export async function readCredentials(
  { spec }: MailRelay,
  factsOf: (secret: string) => Promise<SecretFacts>,
): Promise<Credentials> {
  const names = referencedSecrets(spec);
  const facts = new Map(await Promise.all(names.map(async name => [name, await factsOf(name)] as const)));
  const references = secretReferences(spec);
  const keyOf = ({ secret, key }: SecretReference) => facts.get(secret)?.keys.get(key);
  const missing = references.flatMap((reference): MissingCredential[] => {
    if (keyOf(reference)?.fingerprint !== undefined) return [];
    return [{ reference, keyOnly: facts.get(reference.secret)?.exists === true }];
  });
  const versions = references.map(reference => {
    const { secret, key } = reference;
    return JSON.stringify([secret, key, keyOf(reference)?.version ?? '']);
  });
  const text = [...new Set(versions)].sort().join('\n');
  const revision = createHash('sha256').update(text).digest('hex').slice(0, 16);
  const changes = references.map(reference => keyOf(reference)?.changedAt ?? Number.NEGATIVE_INFINITY);
  return { references, missing, revision, changedAt: Math.max(Number.NEGATIVE_INFINITY, ...changes) };
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
