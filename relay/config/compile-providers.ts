/**
 * forwardProviders, or the old single form, → the providers in the order in
 * which they are tried. What is wrong in the file goes to `findings`; what is
 * missing outside it (a password file) makes that provider misconfigured.
 */
import { X509Certificate } from 'node:crypto';
import type { ProviderConfig, ProviderTls } from './config.ts';
import { type CredentialKey, credentialKeys, credentialProblems, resolveCredentials } from './credentials.ts';
import type { Findings, Problem } from './findings.ts';
import { assignNames } from './provider-names.ts';
import type { ConfigDocument } from './schema.ts';
import { type ProviderDocument, providerSchema } from './schema-provider.ts';
import type { Sources } from './sources.ts';

/** Certificates of a private authority; the system's whole bundle has 250 kB. */
const maxCaFileBytes = 1_048_576;

/** A provider as written, and how its keys are called where it stands. */
interface Written {
  readonly provider: ProviderDocument;
  readonly path: (key: string) => string;
}

/** Sorted by priority, then position. */
export function compileProviders(
  document: ConfigDocument,
  sources: Sources,
  findings: Findings,
): readonly ProviderConfig[] {
  const written = writtenProviders(document, findings);
  const names = assignNames(
    written.map(({ provider }) => provider),
    findings,
  );
  for (const entry of written) {
    findings.problems.push(...credentialProblems(entry.provider, entry.path), ...tlsProblems(entry));
  }
  if (findings.problems.length > 0) return [];
  const compiled = written.map((entry, position) => {
    warnAbout(entry, findings);
    return compileProvider(entry, { name: names[position]!, position }, sources);
  });
  return compiled.sort((a, b) => a.priority - b.priority);
}

function writtenProviders(document: ConfigDocument, findings: Findings): readonly Written[] {
  const list = document.forwardProviders ?? [];
  const old = oldForm(document, findings, list.length > 0);
  if (list.length === 0) return old === undefined ? [] : [old];
  return list.map((provider, index) => ({
    provider,
    path: key => `forwardProviders[${index}].${key}`,
  }));
}

function oldForm(document: ConfigDocument, findings: Findings, overruled: boolean): Written | undefined {
  const { forwardHost: host, forwardPort: port } = document;
  if (host === undefined || host === '') return undefined;
  if (overruled) {
    findings.warnings.push('forwardHost: is ignored: forwardProviders is given too, and wins');
    return undefined;
  }
  if (port === undefined) {
    findings.problems.push({
      keys: ['forwardPort', 'forwardHost', 'forwardProviders'],
      sentence: 'forwardPort: must be given: a whole number from 1 to 65535',
    });
    return undefined;
  }
  const { forwardUsername: username, forwardPassword: password, forwardSSL: ssl } = document;
  const credentials = {
    ...(username !== undefined && { username }),
    ...(password !== undefined && { password }),
  };
  return { provider: providerSchema.parse({ host, port, ssl, ...credentials }), path: oldKey };
}

const oldKeys: Readonly<Record<string, string>> = {
  host: 'forwardHost',
  port: 'forwardPort',
  username: 'forwardUsername',
  password: 'forwardPassword',
  ssl: 'forwardSSL',
};

function oldKey(key: string): string {
  return oldKeys[key] ?? key;
}

/** A wish for less than the credentials demand is refused: overruled in silence it would pass for granted. */
function tlsProblems({ provider, path }: Written): Problem[] {
  if (provider.tls.required !== false || provider.ssl || !hasLogin(provider)) return [];
  const key = path('tls.required');
  return [
    {
      keys: [key, path('ssl'), ...credentialKeys.map(path)],
      sentence: `${key}: must not be false where there is a user name: credentials are sent over verified TLS only`,
    },
  ];
}

function warnAbout({ provider, path }: Written, findings: Findings): void {
  const { caFile, serverName, required } = provider.tls;
  const undecided = required === undefined && !provider.ssl && !hasLogin(provider);
  if (undecided && (caFile ?? serverName) !== undefined) {
    findings.warnings.push(
      `${path('tls')}: is followed where ${provider.host} offers STARTTLS; without a user name mail goes in clear where it does not, unless ${path('tls.required')} is true`,
    );
  }
  if (!provider.ssl && provider.port === 465) {
    findings.warnings.push(
      `${path('ssl')}: false with port 465, where providers expect TLS from the first byte: should be true`,
    );
  }
  if (provider.ssl && (provider.port === 587 || provider.port === 25)) {
    findings.warnings.push(
      `${path('ssl')}: true with port ${provider.port}, where providers expect STARTTLS: should be false`,
    );
  }
  if (provider.tls.insecureSkipVerify) {
    findings.warnings.push(
      `${path('tls.insecureSkipVerify')}: true: credentials and mail go to whoever answers at ${provider.host}`,
    );
  }
}

function hasLogin({ username, usernameFile }: ProviderDocument): boolean {
  return usernameFile !== undefined || (username !== undefined && username !== '');
}

function compileProvider(
  { provider, path }: Written,
  place: { readonly name: string; readonly position: number },
  sources: Sources,
): ProviderConfig {
  const login = resolveCredentials(provider, (key: CredentialKey) => path(key), sources);
  const ca = certificates(provider.tls.caFile, path('tls.caFile'), sources);
  const reasons = [
    ...(login.kind === 'unavailable' ? [login.reason] : []),
    ...('reason' in ca ? [ca.reason] : []),
  ];
  return {
    name: place.name,
    host: provider.host,
    port: provider.port,
    ssl: provider.ssl,
    priority: provider.priority ?? place.position,
    ...(login.kind === 'given' && { credentials: login.credentials }),
    tls: compileTls(provider, 'pem' in ca ? ca.pem : undefined),
    limits: compileLimits(provider.limits),
    timeouts: compileTimeouts(provider.timeouts),
    ...(reasons.length > 0 && { misconfigured: reasons.join('; ') }),
  };
}

function compileTls(provider: ProviderDocument, ca: string | undefined): ProviderTls {
  const { ssl, tls } = provider;
  return {
    required: ssl || hasLogin(provider) || tls.required === true,
    ...(tls.serverName !== undefined && { serverName: tls.serverName }),
    ...(ca !== undefined && { ca }),
    insecureSkipVerify: tls.insecureSkipVerify,
    minVersion: tls.minVersion,
  };
}

function compileLimits(limits: ProviderDocument['limits']): ProviderConfig['limits'] {
  const { messagesPerSecond, maxMessageBytes, connectionLifetimeSeconds, idleTimeoutSeconds, ...rest } =
    limits;
  return {
    ...rest,
    ...(messagesPerSecond !== undefined && { messagesPerSecond }),
    ...(maxMessageBytes !== undefined && { maxMessageBytes }),
    connectionLifetimeMs: connectionLifetimeSeconds * 1000,
    idleTimeoutMs: idleTimeoutSeconds * 1000,
  };
}

function compileTimeouts(timeouts: ProviderDocument['timeouts']): ProviderConfig['timeouts'] {
  return {
    connectMs: timeouts.connectSeconds * 1000,
    greetingMs: timeouts.greetingSeconds * 1000,
    commandMs: timeouts.commandSeconds * 1000,
    dataBlockMs: timeouts.dataBlockSeconds * 1000,
    finalDotMs: timeouts.finalDotSeconds * 1000,
  };
}

type Certificates = { readonly pem: string } | { readonly reason: string } | { readonly none: true };

/** Node takes text without a single certificate for a CA list, and then trusts nobody without saying why. */
function certificates(file: string | undefined, path: string, sources: Sources): Certificates {
  if (file === undefined) return { none: true };
  const read = sources.readFile(file, maxCaFileBytes);
  if (!read.found) return { reason: `${path}: ${file} cannot be read: ${read.reason}` };
  const blocks = read.text.match(/-----BEGIN CERTIFICATE-----.*?-----END CERTIFICATE-----/gs) ?? [];
  if (blocks.length === 0) return { reason: `${path}: ${file} holds no PEM certificate` };
  try {
    for (const block of blocks) new X509Certificate(block);
  } catch {
    return { reason: `${path}: ${file} holds a certificate that cannot be decoded` };
  }
  return { pem: read.text };
}
