/**
 * The listener's keys, new and original, → what the listener runs by. Refuses
 * what would make an open relay or lock everybody out. A certificate or an
 * account that is missing outside the file is a warning, and less is offered.
 */
import { X509Certificate } from 'node:crypto';
import { createSecureContext } from 'node:tls';
import type { Credentials, ListenerConfig } from './config.ts';
import {
  type CredentialDocument,
  credentialKeys,
  credentialProblems,
  resolveCredentials,
} from './credentials.ts';
import type { Findings } from './findings.ts';
import { defaultNetworks, isTooWide, loopbackNetworks, withPrefix } from './networks.ts';
import type { ConfigDocument } from './schema.ts';
import type { Sources } from './sources.ts';

const maxPemFileBytes = 262_144;

export function compileListener(
  document: ConfigDocument,
  sources: Sources,
  findings: Findings,
): ListenerConfig {
  const { listener, rateLimits } = document;
  const requireAuth = listener.auth.required || document.security?.requireAuth === true;
  const tls = compileTls(document, sources, findings);
  const { certificateFile } = document.listener.tls ?? {};
  checkAuth(document, requireAuth, findings);
  return {
    host: listenHost(document, sources, findings),
    port: document.smtpPort,
    hostname: listener.hostname ?? sources.hostname,
    maxMessageBytes: listener.maxMessageBytes,
    maxRecipients: listener.maxRecipients,
    maxConnections: listener.maxConnections,
    maxConnectionsPerClient: listener.maxConnectionsPerClient,
    allowedNetworks: allowedNetworks(document, requireAuth, findings),
    ...(tls !== undefined && { tls }),
    ...(certificateFile !== undefined && { certificateEndsAt: endOf(tls?.certificate) }),
    accounts: compileAccounts(document, sources, findings),
    requireAuth,
    allowClearTextAuth: listener.auth.allowClearText,
    bareNewlines: listener.bareNewlines,
    idleTimeoutMs: listener.idleTimeoutSeconds * 1000,
    dataTimeoutMs: listener.dataTimeoutSeconds * 1000,
    maxReceivedHeaders: listener.maxReceivedHeaders,
    ...(rateLimits?.enabled && {
      senderRates: { maxPerHour: rateLimits.maxPerHour, maxPerDay: rateLimits.maxPerDay },
    }),
  };
}

/** allowLocalOnly shuts out remote clients even if they could authenticate: only the address can do that. */
function listenHost(document: ConfigDocument, sources: Sources, findings: Findings): string {
  const host = document.smtpHost ?? sources.defaultHost;
  if (document.security?.allowLocalOnly !== true || isLoopback(host)) return host;
  findings.warnings.push(`smtpHost: ${host} is replaced by 127.0.0.1, since security.allowLocalOnly is true`);
  return '127.0.0.1';
}

function isLoopback(host: string): boolean {
  return host === 'localhost' || host === '::1' || /^127\.[0-9.]+$/.test(host);
}

function allowedNetworks(document: ConfigDocument, requireAuth: boolean, findings: Findings): string[] {
  const written = document.listener.allowedNetworks;
  if (document.security?.allowLocalOnly === true) {
    if (written.join() !== defaultNetworks.join()) {
      findings.warnings.push('listener.allowedNetworks: is ignored, since security.allowLocalOnly is true');
    }
    return [...loopbackNetworks];
  }
  const networks = written.map(withPrefix);
  if (requireAuth) return networks;
  for (const [index, network] of networks.entries()) {
    if (!isTooWide(network)) continue;
    findings.problems.push({
      keys: [`listener.allowedNetworks[${index}]`, 'security.allowLocalOnly', ...whetherRequired],
      sentence: `listener.allowedNetworks[${index}]: ${JSON.stringify(network)} must be /8 or narrower (IPv4) or /16 or narrower (IPv6), unless listener.auth.required is true: this would be an open relay`,
    });
  }
  return networks;
}

/** The keys that say whether authentication is required. */
const whetherRequired = ['listener.auth.required', 'security.requireAuth'];

function checkAuth(document: ConfigDocument, requireAuth: boolean, findings: Findings): void {
  const { auth, tls } = document.listener;
  const anyAccount = writtenAccounts(document).length > 0;
  const offered = tls !== undefined || auth.allowClearText;
  if (requireAuth && !anyAccount) {
    findings.problems.push({
      keys: ['listener.auth.accounts', 'defaultUsername', 'defaultPassword', ...whetherRequired],
      sentence:
        'listener.auth.accounts: must list at least one account (or defaultUsername and defaultPassword must be given), since authentication is required',
    });
  }
  if (requireAuth && !offered) {
    findings.problems.push({
      keys: ['listener.tls', 'listener.auth.allowClearText', ...whetherRequired],
      sentence:
        'listener.tls: must be given, since authentication is required and offered only under TLS (or listener.auth.allowClearText must be true)',
    });
  }
  if (!requireAuth && anyAccount && !offered) {
    findings.warnings.push(
      'listener.auth: AUTH is not offered, since listener.tls is absent and listener.auth.allowClearText is false',
    );
  }
  if (anyAccount && auth.allowClearText) {
    findings.warnings.push(
      'listener.auth.allowClearText: true: passwords of clients may cross the network readably',
    );
  }
}

interface WrittenAccount {
  readonly account: CredentialDocument;
  readonly path: (key: string) => string;
}

function writtenAccounts(document: ConfigDocument): readonly WrittenAccount[] {
  const { defaultUsername: username, defaultPassword: password } = document;
  const accounts: WrittenAccount[] = document.listener.auth.accounts.map((account, index) => ({
    account,
    path: key => `listener.auth.accounts[${index}].${key}`,
  }));
  if (!username && !password) return accounts;
  const path = (key: string) => (key === 'username' ? 'defaultUsername' : 'defaultPassword');
  return [...accounts, { account: { username, password }, path }];
}

function compileAccounts(document: ConfigDocument, sources: Sources, findings: Findings): Credentials[] {
  const accounts = new Map<string, Credentials>();
  for (const written of writtenAccounts(document)) {
    const credentials = compileAccount(written, sources, findings);
    if (credentials === undefined) continue;
    const { username } = credentials;
    if (!accounts.has(username)) accounts.set(username, credentials);
    else findings.warnings.push(`${written.path('username')}: is that of an earlier account, which wins`);
  }
  return [...accounts.values()];
}

function compileAccount(
  { account, path }: WrittenAccount,
  sources: Sources,
  findings: Findings,
): Credentials | undefined {
  const problems = credentialProblems(account, path);
  findings.problems.push(...problems);
  if (problems.length > 0) return undefined;
  const login = resolveCredentials(account, path, sources);
  if (login.kind === 'given') return login.credentials;
  if (login.kind === 'none') {
    findings.problems.push({
      keys: credentialKeys.map(path),
      sentence: `${path('username')}: must be given`,
    });
  }
  if (login.kind === 'unavailable')
    findings.warnings.push(`${login.reason}: this account cannot authenticate`);
  return undefined;
}

/** Of the first one in a chain, which is the listener's own. */
function endOf(certificate: string | undefined): number {
  return certificate === undefined ? 0 : Date.parse(new X509Certificate(certificate).validTo);
}

/** Certificate and key that belong together, or undefined and a warning. */
function compileTls(
  document: ConfigDocument,
  sources: Sources,
  findings: Findings,
): ListenerConfig['tls'] | undefined {
  const files = document.listener.tls;
  if (files === undefined) return undefined;
  const certificate = sources.readFile(files.certificateFile, maxPemFileBytes);
  const key = sources.readFile(files.keyFile, maxPemFileBytes);
  const lost = (name: string, file: string, reason: string) => {
    findings.warnings.push(`listener.tls.${name}: ${file} ${reason}: STARTTLS is not offered`);
    return undefined;
  };
  if (!certificate.found) {
    return lost('certificateFile', files.certificateFile, `cannot be read: ${certificate.reason}`);
  }
  if (!key.found) return lost('keyFile', files.keyFile, `cannot be read: ${key.reason}`);
  try {
    createSecureContext({ cert: certificate.text, key: key.text });
  } catch {
    return lost('certificateFile', files.certificateFile, `and ${files.keyFile} are not a PEM pair`);
  }
  return { certificate: certificate.text, key: key.text };
}
