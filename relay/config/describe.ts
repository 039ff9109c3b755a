/**
 * A configuration for people and for programs, as `mailrelay check` prints
 * it: the effective provider order and what the relay runs by. Holds neither
 * passwords nor user names.
 */
import type { ProviderConfig, RelayConfig } from './config.ts';
import { endpoint } from './endpoint.ts';

/** What describeConfig says of one provider. */
export interface ProviderDescription {
  readonly position: number;
  readonly name: string;
  readonly host: string;
  readonly port: number;
  readonly priority: number;
  readonly encryption: 'TLS' | 'STARTTLS required' | 'STARTTLS when offered';
  readonly authenticates: boolean;
  readonly verifiesCertificate: boolean;
  readonly limits: ProviderConfig['limits'];
  readonly timeouts: ProviderConfig['timeouts'];
  readonly misconfigured?: string;
}

/** The JSON form; fields as in RelayConfig, secrets and certificates replaced by whether there are any. */
export interface ConfigDescription
  extends Pick<
    RelayConfig,
    | 'fingerprint'
    | 'forwarding'
    | 'retry'
    | 'resend'
    | 'replyRules'
    | 'dataDir'
    | 'diskReserveBytes'
    | 'health'
    | 'adminPort'
    | 'logLevel'
    | 'shutdown'
    | 'warnings'
  > {
  readonly providers: readonly ProviderDescription[];
  readonly listener: Omit<RelayConfig['listener'], 'tls' | 'accounts'> & {
    readonly startTls: boolean;
    readonly accounts: number;
  };
}

export function describeConfig(config: RelayConfig): ConfigDescription {
  const { credentialsFingerprint: _, providers, listener, ...rest } = config;
  const { tls, accounts, ...openly } = listener;
  return {
    ...rest,
    providers: providers.map(describeProvider),
    listener: { ...openly, startTls: tls !== undefined, accounts: accounts.length },
  };
}

/** Lines for a terminal, the last one without line end. */
export function describeForPeople(config: RelayConfig): string {
  const { listener, health, providers, warnings } = describeConfig(config);
  const usable = providers.filter(provider => provider.misconfigured === undefined);
  return [
    `Forwarding: ${config.forwarding ? 'on' : 'off (mail is accepted and held)'}`,
    'Providers, in the order in which they are tried:',
    ...providers.map(provider => `  ${providerLine(provider)}`),
    ...(usable.length === 0 ? ['  none that can be used: mail waits in emails/failed'] : []),
    `Tries: ${config.retry.attempts} at each provider, first wait ${duration(config.retry.initialDelayMs)}`,
    `Resend: after ${duration(config.resend.initialDelayMs)}, at most ${duration(config.resend.maxDelayMs)} apart, given up after ${duration(config.resend.expireAfterMs)}`,
    `Listener: ${endpoint(listener.host, listener.port)} as ${listener.hostname}, messages up to ${listener.maxMessageBytes} bytes, ${listener.startTls ? 'with' : 'without'} STARTTLS`,
    `Who may send: ${whoMaySend(listener)}`,
    `Health and metrics: ${health.port === undefined ? 'off' : endpoint(health.host, health.port)}; queue operations: ${endpoint('127.0.0.1', config.adminPort)}`,
    `Data: ${config.dataDir}`,
    `Fingerprint: ${config.fingerprint}`,
    ...warnings.map(warning => `Warning: ${warning}`),
  ].join('\n');
}

function describeProvider(provider: ProviderConfig, index: number): ProviderDescription {
  const authenticates = provider.credentials !== undefined;
  return {
    position: index + 1,
    name: provider.name,
    host: provider.host,
    port: provider.port,
    priority: provider.priority,
    encryption: encryption(provider),
    authenticates,
    verifiesCertificate: !provider.tls.insecureSkipVerify,
    limits: provider.limits,
    timeouts: provider.timeouts,
    ...(provider.misconfigured !== undefined && { misconfigured: provider.misconfigured }),
  };
}

function encryption({ ssl, tls }: ProviderConfig): ProviderDescription['encryption'] {
  if (ssl) return 'TLS';
  return tls.required ? 'STARTTLS required' : 'STARTTLS when offered';
}

function providerLine(provider: ProviderDescription): string {
  const where = `${provider.position}. ${provider.name}, ${endpoint(provider.host, provider.port)}, priority ${provider.priority}`;
  if (provider.misconfigured !== undefined) return `${where}: CANNOT BE USED: ${provider.misconfigured}`;
  const parts = [
    where,
    provider.encryption,
    provider.authenticates ? 'with authentication' : 'without authentication',
    ...(provider.verifiesCertificate ? [] : ['certificate NOT verified']),
  ];
  return parts.join(', ');
}

function whoMaySend(listener: ConfigDescription['listener']): string {
  const accounts = `${listener.accounts} ${listener.accounts === 1 ? 'account' : 'accounts'}`;
  if (listener.requireAuth) return `authenticated clients only (${accounts})`;
  return `clients in ${listener.allowedNetworks.join(', ') || 'no network'}; ${accounts} from anywhere`;
}

function duration(ms: number): string {
  const units: [number, string][] = [
    [86_400_000, 'd'],
    [3_600_000, 'h'],
    [60_000, 'min'],
    [1000, 's'],
  ];
  const [size, unit] = units.find(([size]) => ms >= size && ms % size === 0) ?? [1, 'ms'];
  return `${ms / size} ${unit}`;
}
