/**
 * Which Secrets a MailRelay refers to, for what, and where their keys appear
 * in the pod. Both the pod's volume and the paths in config.json are made from
 * this list, so that they cannot disagree. Names only; no value is ever here.
 */
import type { MailRelayObject } from '../api/mail-relay.ts';
import type { MailRelaySpec } from '../api/schema.ts';
import type { ProviderSpec } from '../api/schema-provider.ts';
import { keyOf } from '../kube/object.ts';

/** Where the volume with all Secrets is mounted. */
export const secretsDirectory = '/etc/mailrelay/secrets';

/** One key of one Secret. */
export interface SecretReference {
  readonly secret: string;
  readonly key: string;
  /** Below {@link secretsDirectory}. */
  readonly path: string;
  /** The provider that cannot be used without it; absent: the listener. */
  readonly provider?: string;
  /** Where the spec names it. */
  readonly field: string;
}

export interface CredentialFiles {
  readonly usernameFile: string;
  readonly passwordFile: string;
}

type LoginRef = NonNullable<ProviderSpec['secretRef']>;
type CaRef = NonNullable<ProviderSpec['tls']['caRef']>;

export function providerCredentialFiles({ name }: ProviderSpec, ref: LoginRef): CredentialFiles {
  return {
    usernameFile: file(providerPath(name, 'username', ref.name, ref.usernameKey)),
    passwordFile: file(providerPath(name, 'password', ref.name, ref.passwordKey)),
  };
}

export function providerCaFile({ name }: ProviderSpec, ref: CaRef): string {
  return file(providerPath(name, 'ca', ref.name, ref.key));
}

export const listenerAccountFiles: CredentialFiles = {
  usernameFile: file('listener/username'),
  passwordFile: file('listener/password'),
};

export const listenerTlsFiles: { readonly certificateFile: string; readonly keyFile: string } = {
  certificateFile: file('listener/tls.crt'),
  keyFile: file('listener/tls.key'),
};

/** In the order of the spec. */
export function secretReferences(spec: MailRelaySpec): readonly SecretReference[] {
  return [...spec.forwardProviders.flatMap(providerReferences), ...listenerReferences(spec)];
}

/** The Secrets' names, each once, sorted. */
export function referencedSecrets(spec: MailRelaySpec): readonly string[] {
  return [...new Set(secretReferences(spec).map(({ secret }) => secret))].sort();
}

/**
 * The Secrets' names in a spec that has not been checked, each once: at least those of {@link referencedSecrets} where
 * it is valid. For the index of every MailRelay, where checking each version of each would be most of the work.
 */
export function mentionedSecrets(spec: unknown): string[] {
  const names = new Set<string>();
  const look = (value: unknown, parent: string): void => {
    if (typeof value !== 'object' || value === null) return;
    const { name } = value as { name?: unknown };
    if (parent.endsWith('Ref') && typeof name === 'string') names.add(name);
    for (const [key, inner] of Object.entries(value)) look(inner, key);
  };
  const { forwardProviders, listener } = (spec ?? {}) as { forwardProviders?: unknown; listener?: unknown };
  look(forwardProviders, '');
  look(listener, '');
  return [...names];
}

/** `namespace/name` of every Secret that a MailRelay mentions. */
export function mentionedSecretKeys({ spec, metadata: { namespace = '' } }: MailRelayObject): string[] {
  return mentionedSecrets(spec).map(name => keyOf({ name, namespace }));
}

function providerReferences({ name, secretRef, tls }: ProviderSpec): SecretReference[] {
  const field = `forwardProviders[${name}]`;
  const login =
    secretRef === undefined
      ? []
      : [
          { key: secretRef.usernameKey, what: 'username' as const },
          { key: secretRef.passwordKey, what: 'password' as const },
        ].map(({ key, what }) => ({
          secret: secretRef.name,
          key,
          path: providerPath(name, what, secretRef.name, key),
          provider: name,
          field: `${field}.secretRef`,
        }));
  if (tls.caRef === undefined) return login;
  const { name: secret, key } = tls.caRef;
  return [
    ...login,
    { secret, key, path: providerPath(name, 'ca', secret, key), provider: name, field: `${field}.tls.caRef` },
  ];
}

function listenerReferences({ listener: { tls, auth } }: MailRelaySpec): SecretReference[] {
  const references: SecretReference[] = [];
  if (tls !== undefined) {
    const field = 'listener.tls.secretRef';
    const secret = tls.secretRef.name;
    references.push({ secret, key: 'tls.crt', path: 'listener/tls.crt', field });
    references.push({ secret, key: 'tls.key', path: 'listener/tls.key', field });
  }
  if (auth.secretRef !== undefined) {
    const field = 'listener.auth.secretRef';
    const { name: secret, usernameKey, passwordKey } = auth.secretRef;
    references.push({ secret, key: usernameKey, path: 'listener/username', field });
    references.push({ secret, key: passwordKey, path: 'listener/password', field });
  }
  return references;
}

/**
 * Names Secret and key, since config.json reaches a pod that runs before what it mounts is changed: with another host
 * and another Secret in one edit it finds no file, rather than logging in to the new host with the old password.
 */
function providerPath(
  provider: string,
  what: 'username' | 'password' | 'ca',
  secret: string,
  key: string,
): string {
  return `providers/${provider}/${what}/${secret}/${key}`;
}

function file(path: string): string {
  return `${secretsDirectory}/${path}`;
}
