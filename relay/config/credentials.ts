/**
 * A user name and password from where config.json says they are: in it, in
 * files, or in the environment. What is wrong in config.json itself is a
 * problem of the file; what is missing outside makes only this one account
 * unavailable, so that one lost Secret never stops the rest.
 */
import type { Credentials } from './config.ts';
import type { Problem } from './findings.ts';
import { environmentReference } from './fingerprint.ts';
import type { Sources } from './sources.ts';

/** The four keys as written; `key` maps each to its path in config.json (the old form has other names). */
export interface CredentialDocument {
  readonly username?: string | undefined;
  readonly usernameFile?: string | undefined;
  readonly password?: string | undefined;
  readonly passwordFile?: string | undefined;
}

export type CredentialKey = keyof CredentialDocument;

export type ResolvedCredentials =
  | { readonly kind: 'none' }
  | { readonly kind: 'given'; readonly credentials: Credentials }
  /** `reason` is a sentence that names key and file or variable. */
  | { readonly kind: 'unavailable'; readonly reason: string };

/** Passwords are short; a file beyond this is not one. */
const maxSecretFileBytes = 16_384;

export const credentialKeys: readonly CredentialKey[] = [
  'username',
  'usernameFile',
  'password',
  'passwordFile',
];

/** One per rule that the four keys break together. */
export function credentialProblems(
  document: CredentialDocument,
  path: (key: CredentialKey) => string,
): Problem[] {
  const has = (key: CredentialKey) => document[key] !== undefined && document[key] !== '';
  const [name, secret] = [has('username') || has('usernameFile'), has('password') || has('passwordFile')];
  const rules: readonly (readonly [broken: boolean, key: CredentialKey, must: string])[] = [
    [
      has('username') && has('usernameFile'),
      'usernameFile',
      `must not be given together with ${path('username')}`,
    ],
    [
      has('password') && has('passwordFile'),
      'passwordFile',
      `must not be given together with ${path('password')}`,
    ],
    [name && !secret, 'password', 'must be given, since there is a user name (or neither of them)'],
    [secret && !name, 'username', 'must be given, since there is a password (or neither of them)'],
  ];
  const keys = credentialKeys.map(path);
  return rules
    .filter(([broken]) => broken)
    .map(([, key, must]) => ({ keys, sentence: `${path(key)}: ${must}` }));
}

/** Fetches the values. Call it only on a document without credentialProblems. */
export function resolveCredentials(
  document: CredentialDocument,
  path: (key: CredentialKey) => string,
  sources: Sources,
): ResolvedCredentials {
  const username = half(document, 'username', path, sources);
  const password = half(document, 'password', path, sources);
  if (username === undefined || password === undefined) return { kind: 'none' };
  if ('reason' in username) return { kind: 'unavailable', reason: username.reason };
  if ('reason' in password) return { kind: 'unavailable', reason: password.reason };
  return { kind: 'given', credentials: { username: username.value, password: password.value } };
}

type Half = { readonly value: string } | { readonly reason: string } | undefined;

function half(
  document: CredentialDocument,
  key: 'username' | 'password',
  path: (key: CredentialKey) => string,
  sources: Sources,
): Half {
  const fileKey = `${key}File` as const;
  const file = document[fileKey];
  if (file !== undefined) return fromFile(file, path(fileKey), sources);
  const text = document[key];
  if (text === undefined || text === '') return undefined;
  const variable = environmentReference.exec(text)?.[1];
  return variable === undefined ? { value: text } : fromEnvironment(variable, path(key), sources);
}

function fromFile(file: string, path: string, sources: Sources): Half {
  const read = sources.readFile(file, maxSecretFileBytes);
  if (!read.found) return { reason: `${path}: ${file} cannot be read: ${read.reason}` };
  return checked(read.text.replace(/[\r\n]+$/, ''), `${path}: ${file}`);
}

function fromEnvironment(variable: string, path: string, sources: Sources): Half {
  const value = sources.env(variable);
  if (value === undefined) return { reason: `${path}: the environment variable ${variable} is not set` };
  return checked(value, `${path}: the environment variable ${variable}`);
}

/** NUL ends a field of AUTH PLAIN; a line break means that the file holds something else. */
function checked(value: string, where: string): Half {
  if (value === '') return { reason: `${where} is empty` };
  // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is looked for
  if (/[\x00-\x1f\x7f]/.test(value)) return { reason: `${where} holds a line break or control character` };
  return { value };
}
