/**
 * A config.json as Kubernetes manifests: one MailRelay and the Secrets it
 * refers to. Says what cannot be said in a MailRelay instead of leaving it out
 * in silence. The result holds the credentials in clear, as config.json did.
 */
import type { ProviderConfig, RelayConfig } from '../config/config.ts';
import type { Json, JsonObject } from '../config/read.ts';

export interface ConvertSource {
  /** config.json as written: what is not in it stays a default of the MailRelay, too. */
  readonly file: JsonObject;
  /** The same compiled: names, order and fetched credentials. */
  readonly config: RelayConfig;
}

export interface ConvertTarget {
  readonly name: string;
  readonly namespace?: string;
}

export interface Converted {
  /** Secrets first, so that they are there when the MailRelay is. */
  readonly manifests: readonly Manifest[];
  /** What is not in them, or needs a look: one sentence each. */
  readonly warnings: readonly string[];
}

export interface Manifest {
  readonly apiVersion: string;
  readonly kind: string;
  readonly metadata: Readonly<Record<string, string>>;
  readonly [field: string]: unknown;
}

/** Stands where a credential could not be read. */
export const placeholder = 'CHANGE-ME';

/** Keys with no place in a MailRelay, and what to do about each. */
const inexpressible: Readonly<Record<string, string>> = {
  smtpHost: 'pods listen on all their addresses; listener.allowedNetworks and networkPolicy say who may send',
  smtpPort: 'clients connect to the Service; service.ports says where',
  healthCheckHost: 'pods serve it on all their addresses',
  healthCheckPort: 'pods serve it on port 8025',
  enableHealthCheck: 'probes, /status and /metrics are always served',
  adminPort: 'pods use port 8026',
  rateLimits: 'limit senders in the applications, or providers by limits.messagesPerSecond',
  replyRules: 'the built-in table of replies is used',
  logLevel: 'info is used',
  diskReserveBytes: 'the default reserve is used',
  shutdown: 'the operator sets it to fit the grace period of the pods',
  sharedDataDir: 'spool.mode and replicas say it',
  draining: 'the operator sets it when a pod is to go',
  resendRequestedAt: 'annotate the MailRelay with mailrelay.dev/resend-requested-at instead',
  dataDir: 'the queue lives on a PersistentVolume; bring waiting mail with `queue export` and `queue import`',
};

/** A pure function of its arguments. */
export function convert({ file, config }: ConvertSource, target: ConvertTarget): Converted {
  const warnings = Object.entries(inexpressible)
    .filter(([key]) => key in file)
    .map(([key, instead]) => `${key}: cannot be said in a MailRelay: ${instead}`);
  const make = { target, warnings, secrets: [] as Manifest[] };
  const listener = convertListener(file, config, make);
  const spec = {
    ...('forwardSMTP' in file && { forwardSMTP: file['forwardSMTP'] }),
    forwardProviders: convertProviders(file, config, make),
    ...group(file, 'retry'),
    ...group(file, 'resend'),
    ...(Object.keys(listener).length > 0 && { listener }),
  };
  const relay = {
    apiVersion: 'mailrelay.dev/v1alpha1',
    kind: 'MailRelay',
    metadata: metadata(target.name, target),
    spec,
  };
  return { manifests: [...make.secrets, relay], warnings };
}

/** What a conversion gathers besides the MailRelay itself. */
interface Making {
  readonly target: ConvertTarget;
  readonly warnings: string[];
  readonly secrets: Manifest[];
}

function convertProviders(file: JsonObject, config: RelayConfig, make: Making): readonly unknown[] {
  const list = file['forwardProviders'];
  const written = Array.isArray(list) && list.length > 0 ? (list as readonly JsonObject[]) : [{}];
  if (config.providers.length === 0) return [];
  const naming: Naming = { make, names: new Set(), taken: new Set() };
  // Compiled providers are in order of priority; the list keeps the order of the file, which is a priority too.
  const order = written
    .map((provider, position) => ({ position, priority: Number(provider['priority'] ?? position) }))
    .sort((a, b) => a.priority - b.priority);
  const compiled = new Map(order.map(({ position }, i) => [position, config.providers[i]!]));
  return written.map((provider, position) => convertProvider(provider, compiled.get(position)!, naming));
}

interface Naming {
  readonly make: Making;
  /** Names of providers in the MailRelay so far. */
  readonly names: Set<string>;
  /** Parts of names of objects so far. */
  readonly taken: Set<string>;
}

function convertProvider(
  file: JsonObject,
  provider: ProviderConfig,
  { make, names, taken }: Naming,
): unknown {
  const name = unique(acceptable(provider.name), names);
  const label = unique(objectName(name), taken);
  if (name !== provider.name) {
    make.warnings.push(
      `${provider.name}: is called ${name} in the MailRelay, in metrics and in status from now on`,
    );
  }
  const tls = convertTls(file, provider, label, make);
  const credentials = hasCredentials(file, provider) && credentialSecret(label, provider, make);
  return {
    name,
    host: provider.host,
    port: provider.port,
    ssl: provider.ssl,
    ...('priority' in file && { priority: file['priority'] }),
    ...(credentials !== false && { secretRef: { name: credentials } }),
    ...(Object.keys(tls).length > 0 && { tls }),
    ...group(file, 'limits'),
    ...group(file, 'timeouts'),
  };
}

function hasCredentials(file: JsonObject, { credentials }: ProviderConfig): boolean {
  return (
    credentials !== undefined || 'usernameFile' in file || 'passwordFile' in file || Boolean(file['username'])
  );
}

function credentialSecret(label: string, provider: ProviderConfig, make: Making): string {
  if (provider.credentials === undefined) {
    make.warnings.push(
      `${provider.name}: its user name or password could not be read (${provider.misconfigured}): put it into the Secret`,
    );
  }
  const { username = placeholder, password = placeholder } = provider.credentials ?? {};
  return secret(`${label}-smtp`, { username, password }, make, 'kubernetes.io/basic-auth');
}

function convertTls(file: JsonObject, provider: ProviderConfig, label: string, make: Making): JsonObject {
  const { caFile, ...tls } = (file['tls'] ?? {}) as JsonObject;
  if (caFile === undefined) return tls;
  if (provider.tls.ca === undefined) {
    make.warnings.push(
      `${provider.name}: ${String(caFile)} could not be read: put the certificates into the Secret`,
    );
  }
  const ca = secret(`${label}-ca`, { 'ca.crt': provider.tls.ca ?? placeholder }, make);
  return { ...tls, caRef: { name: ca, key: 'ca.crt' } };
}

/** A MailRelay has the words of a choice in CamelCase. */
const choices = { refuse: 'Refuse', normalize: 'Normalize' } as const;

function convertListener(file: JsonObject, config: RelayConfig, make: Making): JsonObject {
  const { tls: _tls, auth: _auth, ...plain } = (file['listener'] ?? {}) as JsonObject;
  const security = (file['security'] ?? {}) as JsonObject;
  if (security['allowLocalOnly'] === true) {
    make.warnings.push(
      'security.allowLocalOnly: has no meaning in a cluster; use listener.allowedNetworks and networkPolicy',
    );
  }
  const { tls, requireAuth, allowClearTextAuth, bareNewlines } = config.listener;
  const account = accountSecret(config, make);
  const auth = {
    ...(requireAuth && { required: true }),
    ...(allowClearTextAuth && { allowClearText: true }),
    ...(account !== undefined && { secretRef: { name: account } }),
  };
  const certificate =
    tls &&
    secret('listener-tls', { 'tls.crt': tls.certificate, 'tls.key': tls.key }, make, 'kubernetes.io/tls');
  return {
    ...plain,
    ...('bareNewlines' in plain && { bareNewlines: choices[bareNewlines] }),
    ...(certificate !== undefined && { tls: { secretRef: { name: certificate } } }),
    ...(Object.keys(auth).length > 0 && { auth: auth as JsonObject }),
  };
}

function accountSecret({ listener }: RelayConfig, make: Making): string | undefined {
  const [first, ...others] = listener.accounts;
  if (first === undefined) return undefined;
  if (others.length > 0) {
    make.warnings.push(
      `listener.auth.accounts: only the first of ${others.length + 1} accounts is taken over`,
    );
  }
  return secret(
    'listener-auth',
    { username: first.username, password: first.password },
    make,
    'kubernetes.io/basic-auth',
  );
}

/** Adds a Secret and returns its name. */
function secret(
  suffix: string,
  stringData: Readonly<Record<string, string>>,
  make: Making,
  type = 'Opaque',
): string {
  const name = `${make.target.name}-${suffix}`;
  make.secrets.push({
    apiVersion: 'v1',
    kind: 'Secret',
    metadata: metadata(name, make.target),
    type,
    stringData,
  });
  return name;
}

function metadata(name: string, { namespace }: ConvertTarget): Readonly<Record<string, string>> {
  return { name, ...(namespace !== undefined && { namespace }) };
}

function group(file: JsonObject, key: string): Readonly<Record<string, Json>> {
  return key in file ? { [key]: file[key]! } : {};
}

/** The longest name of a provider in a MailRelay, less room for a number that makes it unique. */
const longestName = 59;

/** A default name may hold what a given one must not: the `#` of a number, the colons of `::1`, any length. */
function acceptable(name: string): string {
  const inner = name
    .replace(/[^A-Za-z0-9._:-]/g, '-')
    .replace(/^[^A-Za-z0-9]+/, '')
    .slice(0, longestName)
    .replace(/[^A-Za-z0-9]+$/, '');
  return inner === '' ? 'provider' : inner;
}

/** RFC 1123 label of at most 40 characters: room for the relay's name and a suffix. */
function objectName(name: string): string {
  const label = name
    .toLowerCase()
    .replace(/[^a-z0-9]+/g, '-')
    .slice(0, 40)
    .replace(/^-|-$/g, '');
  return label === '' ? 'provider' : label;
}

/** `text`, with a number where it is taken already. Takes the result. */
function unique(text: string, taken: Set<string>): string {
  let free = text;
  for (let number = 2; taken.has(free); number += 1) free = `${text}-${number}`;
  taken.add(free);
  return free;
}
