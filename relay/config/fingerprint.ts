/**
 * Fingerprints: short names for what is loaded, so that who wrote a
 * configuration can see that it is in use.
 *
 * `fingerprint` is over the text of config.json: the operator computes it
 * from what it wrote and waits until each pod reports the same. Passwords
 * written into the file do not enter it, since it is published in metrics and
 * status, where a weak password could be guessed from it.
 *
 * `credentialsFingerprint` is over all secrets and files that the text refers
 * to, keyed by random bytes that never leave the process: it changes when
 * they do and says nothing to anyone else.
 *
 * A rotated Secret leaves the text, and so the fingerprint, unchanged.
 */
import { createHash, createHmac } from 'node:crypto';
import { type Json, readConfigText } from './read.ts';

/** Keys whose text is taken for a secret wherever they stand, misspelt ones included. */
const secretKey = /pas+w|secret|pwd/i;

/** A reference such as `${env:NAME}`; the name is no secret. */
export const environmentReference: RegExp = /^\$\{env:([A-Za-z_][A-Za-z0-9_]*)\}$/;

/**
 * 16 hex digits over the text of config.json; independent of comments, white
 * space and the order of keys. @throws ConfigError when it is not JSON.
 */
export function fingerprintOf(text: string): string {
  return fingerprintOfValue(readConfigText(text));
}

/** The same for text that has been read. */
export function fingerprintOfValue(value: Json): string {
  return createHash('sha256').update(canonical(value, [])).digest('hex').slice(0, 16);
}

/** Every secret that stands in the file itself, in canonical order. */
export function secretsIn(value: Json): readonly string[] {
  const found: string[] = [];
  canonical(value, found);
  return found;
}

/** 16 hex digits over secrets, comparable only under the same key. */
export function credentialsFingerprintOf(secrets: readonly unknown[], key: Uint8Array): string {
  return createHmac('sha256', key).update(JSON.stringify(secrets)).digest('hex').slice(0, 16);
}

/** JSON with sorted keys and without secrets, which go to `secrets`. */
function canonical(value: Json, secrets: string[]): string {
  if (Array.isArray(value)) return `[${value.map(item => canonical(item, secrets)).join(',')}]`;
  if (value === null || typeof value !== 'object') return JSON.stringify(value);
  const entries = Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1));
  return `{${entries.map(([key, item]) => `${JSON.stringify(key)}:${entry(key, item, secrets)}`).join(',')}}`;
}

function entry(key: string, item: Json, secrets: string[]): string {
  const isSecret = typeof item === 'string' && item !== '' && secretKey.test(key) && !key.endsWith('File');
  if (!isSecret || environmentReference.test(item)) return canonical(item, secrets);
  secrets.push(item);
  return '"(secret)"';
}
